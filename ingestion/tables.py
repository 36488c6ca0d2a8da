"""Questions in SQL to sheets and CSV files: one sandboxed process for each, which ends with its answer."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from ingestion.documents import ExtractionFailed, Limits
from ingestion.sandbox import query_tables
from llama_service.errors import BadRequest
from llama_service.folders import ScratchFolder
from llama_service.settings import Settings
from persistence.blobs import BlobStore
from persistence.search import ScopeFile

SECONDS = 20.0
_AT_ONCE = 2  # queries of this process; each has a processor for itself


class TableReader:
    """Answers queries over the tables of stored files."""

    def __init__(self, settings: Settings, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._limits = Limits(seconds=SECONDS, memory_mb=settings.ingestion_memory_mb, output_chars=1_000_000)
        self._scratch = ScratchFolder(settings.data_dir / "scratch")
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def query(self, files: Sequence[ScopeFile], sql: str | None) -> str:
        """Return the rows of one SELECT, or a list of the tables. Raises BadRequest for what is wrong with either."""
        async with self._turn, AsyncExitStack() as stack:
            job = []
            for file in files:
                path = await stack.enter_async_context(self._blobs.local(file.sha256))
                job.append({"path": str(path.absolute()), "name": file.name, "mime": file.mime})
            scratch = self._scratch.path
            if scratch is None:
                scratch = await asyncio.to_thread(self._scratch.open)
            try:
                return await query_tables(job, sql, self._limits, scratch=scratch)
            except ExtractionFailed as failed:
                raise BadRequest(failed.message) from None

    def close(self) -> None:
        """Delete the folder of the processes."""
        self._scratch.close()
