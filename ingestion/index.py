"""Keeping the vector index true to Postgres: comparing, repairing, rebuilding."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import structlog
from sqlalchemy import text

from chains.embeddings import EmbeddingsHandle
from llama_service.errors import DependencyUnavailable
from llama_service.kept import Kept
from persistence import files
from persistence.session import Database
from persistence.tables import File
from persistence.vectors import IndexedPassage, VectorIndex

log = structlog.get_logger(__name__)

_BATCH = 500  # passages a write
_FILES = 100
_AT_LEAST_EVERY = 600.0  # seconds
_RECENT = 20.0  # seconds


@dataclass(slots=True)
class IndexHealth:
    """What the last count saw. `passages` and `vectors` are Postgres's counts, `indexed` is the index's."""

    passages: int = 0
    vectors: int = 0
    indexed: int | None = None
    other_model: int = 0


class IndexKeeper:
    """Compares counts, and writes again what the index lacks."""

    def __init__(self, database: Database, index: VectorIndex, embeddings: EmbeddingsHandle) -> None:
        self._database = database
        self._index = index
        self._embeddings = embeddings
        self.health = IndexHealth()
        self.recent = Kept(self.measure, _RECENT)
        self._checked = time.monotonic()

    async def check(self) -> list[UUID]:
        """Compare and repair; return files whose passages still lack a vector.

        While files are being indexed the counts differ by nature: then the comparison waits, but not for ever.
        """
        async with self._database.transaction() as session:
            busy = await files.any_unfinished(session)
        if busy and time.monotonic() - self._checked < _AT_LEAST_EVERY:
            return []
        self._checked = time.monotonic()
        health = await self.measure()
        async with self._database.transaction() as session:
            missing = await files.without_vectors(session, self._embeddings.model)
        if health.other_model:
            log.warning("embeddings_changed", files=health.other_model, hint="run `llama-service reindex`")
        if health.indexed is not None and health.indexed != health.vectors:
            log.warning("index_differs", indexed=health.indexed, vectors=health.vectors)
            with contextlib.suppress(DependencyUnavailable):
                if await self.repair():
                    await self.measure()
        return missing

    async def measure(self) -> IndexHealth:
        """Count what Postgres and the index hold now; the index may be away."""
        async with self._database.transaction() as session:
            self.health.passages, self.health.vectors = await files.vector_counts(session)
            self.health.other_model = await files.other_models(session, self._embeddings.model)
        try:
            self.health.indexed = sum((await self._index.counts()).values())
        except DependencyUnavailable:
            self.health.indexed = None
        return self.health

    async def repair(self) -> bool:
        """Write the files that the index does not hold whole, and drop those that are gone.

        One process at a time does it. Return False where another one is at it.
        """
        async with self._database.transaction() as session:
            # Held until the transaction ends, which reads and writes nothing else.
            mine = await session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtextextended('repair index', 0))"))
            if mine:
                await self._repair()
        return bool(mine)

    async def _repair(self) -> None:
        known = await self._index.file_counts()
        seen: set[UUID] = set()
        async for file in self._all_files():
            seen.add(file.id)
            if known.get(file.id, 0) != file.chunks_indexed:
                # Counted once more: it may have been written since, or its collection be known as ours only now.
                await self.settle(file, file.chunks_indexed)
        for file_id in known.keys() - seen:
            await self._index.remove([file_id])

    async def settle(self, file: File, count: int) -> None:
        """Write a file's passages again where the index holds more or fewer than `count` of them.

        So it is after a worker died between the two writes of a batch, or a file's passages were replaced.
        """
        if await self._index.file_count(file.id) != count:
            await self._rewrite(file)

    async def _rewrite(self, file: File) -> None:
        await self._index.remove([file.id])
        await self.write(file)

    async def _all_files(self) -> AsyncIterator[File]:
        """Yield the searchable files of all owners; no transaction stays open between them."""
        after: UUID | None = None
        while True:
            async with self._database.transaction() as session:
                batch = await files.all_files(session, after, _FILES)
            for file in batch:
                yield file
            if len(batch) < _FILES:
                return
            after = batch[-1].id

    async def write(self, file: File) -> int:
        """Write a file's vectors from Postgres into the index; return how many."""
        position, written = -1, 0
        while True:
            async with self._database.transaction() as session:
                rows = await files.vectors_after(session, file.id, position, _BATCH)
            if not rows:
                return written
            passages = [
                IndexedPassage(id_, file.id, file.user_id, at, np.frombuffer(vector, dtype="<f4").tolist())
                for id_, at, vector in rows
            ]
            await self._index.add(file.embedding_model or self._embeddings.model, passages)
            position, written = rows[-1][1], written + len(rows)

    async def rebuild(self, progress: Callable[[int, int], None]) -> int:
        """Write the whole index anew while searches go on; `progress` hears (passages done, of). Return passages.

        Passages are overwritten in place, so that nothing is missing meanwhile; leftovers go at the end.
        """
        async with self._database.transaction() as session:
            _, total = await files.vector_counts(session)
        done = 0
        progress(0, total)
        async for file in self._all_files():
            done += await self.write(file)
            progress(done, total)
        await self.repair()
        return done
