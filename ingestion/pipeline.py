"""A file's way from bytes to searchable passages. Every stage can be repeated: a killed worker's file goes on."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import structlog

from chains.embeddings import EmbeddingsHandle
from ingestion.cpu import Indexed, Processes
from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.index import IndexKeeper
from ingestion.sandbox import extract
from llama_service.errors import ContentRefused, ContextTooLong, DependencyUnavailable, NotFound, ProviderError
from llama_service.folders import ScratchFolder
from llama_service.ids import new_id
from llama_service.metrics import FILE_FAILURES, INGESTION_SECONDS
from llama_service.settings import Settings
from persistence import files, versions
from persistence.blobs import BlobStore
from persistence.files import Removed
from persistence.leftovers import remove_blobs
from persistence.session import Database
from persistence.tables import File
from persistence.vectors import IndexedPassage, VectorIndex

log = structlog.get_logger(__name__)

BATCH = 32  # passages: one call of the embeddings, one write, one step of the progress bar
_SHORTEST = 100  # characters: a text that is refused at this length is not refused for its length
_WATCH_EVERY = 1.0  # seconds between looks whether a file was deleted while it is read
_FORGOTTEN_AT_ONCE = 200  # files in one call of the index
# Of a file's progress, reading takes this part; the rest is embedding.
_READ_SHARE = 0.2


class Pipeline:
    """Reads, splits, indexes and embeds files."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        blobs: BlobStore,
        index: VectorIndex,
        embeddings: EmbeddingsHandle,
        processes: Processes,
        keeper: IndexKeeper,
    ) -> None:
        self._settings = settings
        self._database = database
        self._blobs = blobs
        self._index = index
        self._embeddings = embeddings
        self._processes = processes
        self._keeper = keeper
        self._scratch = ScratchFolder(settings.data_dir / "scratch")
        self._limits = Limits(seconds=settings.ingestion_timeout_seconds, memory_mb=settings.ingestion_memory_mb)

    def open(self) -> None:
        """Make room for what reading a file needs; delete what a killed process left there."""
        self._scratch.open()

    def close(self) -> None:
        """Delete that room."""
        self._scratch.close()

    async def _note(self, file_id: UUID, *, of_model: str | None = None, **values: object) -> bool:
        async with self._database.transaction() as session:
            return await files.note(session, file_id, of_model=of_model, **values)

    async def read(self, file_id: UUID) -> bool:
        """Extract, split and index a file; it is found by its words from then on. Return whether it is to be embedded.

        A file that can't be read ends as `failed`, with the reason; one that was read before keeps what searches find.
        """
        async with self._database.transaction() as session:
            file = await files.take(session, file_id)
        if file is None:
            return False
        if file.stage == "embed" and file.searchable:
            return True  # its worker died after the last step of this, before it could say so
        if not await self._note(file_id, status="processing", stage="extract", progress=0.02, error=None):
            return False
        try:
            with INGESTION_SECONDS.labels("extract").time():
                document = await self._extract(file)
            if document is None:
                return False
            await self._note(file_id, stage="split", progress=_READ_SHARE / 2)
            size, overlap = self._settings.chunk_size, self._settings.chunk_overlap
            with INGESTION_SECONDS.labels("split").time():
                indexed = await self._processes.index(document, size, overlap)
            if not indexed.passages:
                raise ExtractionFailed("no_text", "No text was found in this file.")
        except ExtractionFailed as failed:
            if file.mime in files.VIEWABLE and failed.code in ("unsupported", "no_text"):
                # A picture without words, or a server that can't read them: there is nothing to search in it.
                await self._complete_without_text(file_id)
                return False
            log.info("file_failed", file_id=str(file_id), code=failed.code)
            FILE_FAILURES.labels(failed.code).inc()
            error = {"code": failed.code, "message": failed.message}
            async with self._database.transaction() as session:
                await files.note_failure(session, file_id, error)
            return False
        with INGESTION_SECONDS.labels("publish").time():
            return await self._publish(file, document, indexed)

    async def _complete_without_text(self, file_id: UUID) -> None:
        replaced = None
        async with self._database.transaction() as session:
            if await files.note(session, file_id, status="completed", stage="finalized", progress=1.0, error=None):
                replaced = await versions.retire(session, file_id)
        if replaced is not None:
            await self.clean_up(replaced)

    async def _extract(self, file: File) -> Extracted | None:
        """Return the file's text, or None where it is deleted while it is read."""
        try:
            async with self._blobs.local(file.sha256) as path:
                return await self._extract_from(path, file)
        except NotFound:
            raise ExtractionFailed("corrupt", "The file's bytes are no longer stored; upload it again.") from None

    async def _extract_from(self, path: Path, file: File) -> Extracted | None:
        scratch = self._scratch.path or self._scratch.open()
        work = asyncio.create_task(extract(path, file.name, file.mime, self._limits, scratch=scratch))
        try:
            while not (await asyncio.wait([work], timeout=_WATCH_EVERY))[0]:
                async with self._database.transaction() as session:
                    if await files.take(session, file.id) is None:
                        return None
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _publish(self, file: File, document: Extracted, indexed: Indexed) -> bool:
        rows = [
            {
                "id": new_id(),
                "file_id": file.id,
                "position": passage.position,
                "text": passage.text,
                "start_char": passage.start,
                "end_char": passage.end,
                "context_start": passage.context_start,
                "context_end": passage.context_end,
                "page": passage.page,
                "heading": passage.heading,
                "searched": None if searched == passage.text else searched,
                "gap": gap,
            }
            for passage, searched, gap in zip(indexed.passages, indexed.searched, indexed.gaps, strict=True)
        ]
        blocks = [
            {"kind": b.kind, "label": b.label, "start": b.start, "end": b.end, "level": b.level}
            for b in document.blocks
        ]
        replaced = None
        async with self._database.transaction() as session:
            # The row is locked first: a deletion either sees nothing of this, or all.
            alive = await files.note(
                session,
                file.id,
                stage="embed",
                progress=_READ_SHARE,
                searchable=True,
                chunks_total=len(rows),
                chunks_indexed=0,
                text=document.text,
                blocks=blocks,
                passage_lengths=indexed.lengths,
                embedding_model=self._embeddings.model,
            )
            if alive:
                await files.replace_passages(session, file.id, rows, indexed.postings)
                replaced = await versions.retire(session, file.id)
        if replaced is not None:
            await self.clean_up(replaced)
        if alive and file.searchable:
            # It was indexed before: its old passages have other ids.
            await self.forget([file.id])
        return alive

    async def embed(self, file_id: UUID, batches: int | None = None) -> bool:
        """Give every passage of a file its vector, in Postgres and in the index; then the file is completed.

        After so many batches it stops, and returns True where passages are left. A file that is to have another
        embedding model's vectors is left to a worker that has this model. Raises an AppError where the embeddings can't
        be reached; what was done so far is kept.
        """
        model = self._embeddings.model
        async with self._database.transaction() as session:
            file = await files.take(session, file_id)
        if file is None or not file.searchable:
            return False
        if file.embedding_model != model:
            await self._leave_to(file)
            return False
        for done_now in itertools.count():
            async with self._database.transaction() as session:
                waiting = await files.without_vector(session, file_id, BATCH)
                left = await files.count_without_vector(session, file_id) if waiting else 0
            if not waiting:
                break
            if done_now == batches:
                return True
            vectors = await self._vectors(file, [text for _, _, text in waiting])
            packed = {
                passage_id: np.asarray(vector, dtype="<f4").tobytes()
                for (passage_id, _, _), vector in zip(waiting, vectors, strict=True)
            }
            indexed = [
                IndexedPassage(passage_id, file_id, file.user_id, position, vector)
                for (passage_id, position, _), vector in zip(waiting, vectors, strict=True)
            ]
            done = file.chunks_total - left + len(waiting)
            share = _READ_SHARE + (1 - _READ_SHARE) * done / max(1, file.chunks_total)
            async with self._database.transaction() as session:
                # The row is locked first, as a deletion does: the other way round, each would wait for the other.
                own = await files.note(
                    session,
                    file_id,
                    of_model=model,
                    status="processing",
                    stage="embed",
                    chunks_indexed=done,
                    progress=round(share, 3),
                )
                if own:
                    await files.set_vectors(session, packed)
            if own:
                await self._index_what_can_be(indexed)
            async with self._database.reading() as session:
                current = await files.take(session, file_id)
            if current is None:
                await self.forget([file_id])
                return False
            if current.embedding_model != model:
                await self._leave_to(current)
                return False
        await self._settle(file)
        await self._note(
            file_id,
            of_model=model,
            status="completed",
            stage="finalized",
            progress=1.0,
            chunks_indexed=file.chunks_total,
            error=None,
        )
        return False

    async def _vectors(self, file: File, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a vector for each passage, so that one which the embeddings refuse does not keep the others waiting.

        Of what is refused, the beginning is embedded; of what is refused to its first words, the file's name.
        """
        try:
            return await self._embeddings.of_passages(texts)
        except ProviderError as error:
            if not _is_about_the_text(error):
                raise
            log.warning("passages_refused", file_id=str(file.id), code=error.code)
        # Where this is refused as well, the fault is not in the passages.
        [instead] = await self._embeddings.of_passages([file.name])
        return await self._in_parts(texts, instead)

    async def _in_parts(self, texts: Sequence[str], instead: Sequence[float]) -> Sequence[Sequence[float]]:
        """Return the vectors of texts that were refused together."""
        if len(texts) > 1:
            parts = [texts[: len(texts) // 2], texts[len(texts) // 2 :]]
        elif len(texts[0]) > _SHORTEST:
            parts = [[texts[0][: len(texts[0]) // 2]]]
        else:
            return [instead]
        vectors: list[Sequence[float]] = []
        for part in parts:
            try:
                vectors += await self._embeddings.of_passages(part)
            except ProviderError as error:
                if not _is_about_the_text(error):
                    raise
                vectors += await self._in_parts(part, instead)
        return vectors

    async def _leave_to(self, file: File) -> None:
        """End the work on a file that has another embedding model; that model's workers find it by the index check."""
        if (file.status, file.stage) == ("processing", "embed"):
            message = "The file can be searched by its words; a worker with its embedding model adds the vectors."
            error = {"code": "other_embedding_model", "message": message}
            await self._note(file.id, of_model=file.embedding_model, status="partial_success", error=error)

    async def _index_what_can_be(self, passages: list[IndexedPassage]) -> None:
        """Write passages into the index; their vectors are kept already, so a missing index is repaired later."""
        try:
            await self._index.add(self._embeddings.model, passages)
        except DependencyUnavailable:
            log.warning("vectors_not_indexed", passages=len(passages))

    async def _settle(self, file: File) -> None:
        try:
            await self._keeper.settle(file, file.chunks_total)
        except DependencyUnavailable:
            log.warning("vectors_not_indexed", passages=file.chunks_total)

    async def give_up_vectors(self, file_id: UUID, code: str) -> None:
        """Leave a file searchable by its words alone; the index check tries again later."""
        message = "The file can be searched by its words; its vectors will follow when the embeddings answer again."
        await self._note(file_id, status="partial_success", stage="embed", error={"code": code, "message": message})

    async def fail(self, file_id: UUID) -> None:
        """End a file whose reading broke in a way that nobody foresaw; the log has the rest."""
        message = "Reading this file failed on our side; the operator finds the reason in the log."
        error = {"code": "corrupt", "message": message}
        async with self._database.transaction() as session:
            await files.note_failure(session, file_id, error)

    async def clean_up(self, removed: Removed) -> None:
        """Delete what lies outside of the database of files that are gone from it."""
        await self.forget(removed.file_ids)
        await remove_blobs(self._database, self._blobs, removed.hashes)

    async def forget(self, file_ids: Sequence[UUID]) -> None:
        """Take deleted files out of the index. A server that does not answer is cleaned up by the next check."""
        for begin in range(0, len(file_ids), _FORGOTTEN_AT_ONCE):
            some = file_ids[begin : begin + _FORGOTTEN_AT_ONCE]
            try:
                await self._index.remove(some)
            except DependencyUnavailable:
                log.warning("vectors_left_behind", file_ids=[str(file_id) for file_id in some])


def _is_about_the_text(error: ProviderError) -> bool:
    """Whether the embeddings refuse what they were given; the same will be refused again."""
    return isinstance(error, ContextTooLong | ContentRefused) or type(error) is ProviderError
