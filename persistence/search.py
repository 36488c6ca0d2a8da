"""The retriever: exact lexical ranking from Postgres and vectors from Chroma, within what the caller may see."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from llama_service.errors import AppError
from persistence import lexical, ranking
from persistence.exact import WIDEST, ExactVectors
from persistence.ranking import FilePostings, Key, Ranked
from persistence.session import Database
from persistence.tables import ConversationFile, File, Passage, Posting
from persistence.vectors import VectorIndex

log = structlog.get_logger(__name__)

CANDIDATES = 100  # by each half; the fused list is cut to this for the trace
_FETCHED = 60  # passages whose text is read for packing
# The threshold was measured with this model's cosines and says nothing about another's.
THRESHOLD_MODEL = "multilingual-e5-small"
_VECTOR_PATIENCE = 5.0  # seconds; then the lexical half answers alone

Embed = Callable[[str], Awaitable[tuple[str, Sequence[float]]]]
"""Turns a question into (name of the embedding model, vector)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that was considered, with both normalised scores and the final one."""

    file_id: UUID
    file_name: str
    chunk_id: UUID | None
    position: int
    lexical: float
    vector: float
    score: float


@dataclass(frozen=True, slots=True)
class Found:
    """A passage as search gives it, or some neighbours; offsets count characters of the file's extracted text.

    `chunk_id`, `position`, `page`, `heading` and `matched` are of the passage that was looked for, `text` is of all.
    """

    file_id: UUID
    file_name: str
    chunk_id: UUID
    position: int
    page: int | None
    heading: str | None
    start: int
    end: int
    text: str
    score: float
    matched: str


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a question found. `sources` fit the character budget, neighbours joined, best first."""

    query: str
    sources: list[Found] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    files: int = 0
    pending: list[str] = field(default_factory=list)
    gated: bool = False
    vector_error: str | None = None
    ms: dict[str, float] = field(default_factory=dict)

    @property
    def searched(self) -> bool:
        """Whether there was anything to search in."""
        return self.files > 0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may see: the files that are named; else a conversation's own and, with `library`, the library's.

    Where nothing is named, it sees all files of the user.
    """

    user_id: UUID
    conversation_id: UUID | None = None
    file_ids: Sequence[UUID] | None = None
    library: bool = True

    @property
    def is_everything(self) -> bool:
        """Whether all files of the user are searched."""
        return not self.file_ids and self.conversation_id is None


@dataclass(frozen=True, slots=True)
class _Ranking:
    files: Sequence[Any]
    ranked: list[Ranked]
    relevant: bool
    vector_error: str | None
    ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Near:
    """The passages nearest to a question's vector: cosines by key; `exact` where none can have been missed.

    `places` are the files' numbers in the keys.
    """

    model: str
    vector: Sequence[float]
    places: Mapping[UUID, int]
    cosines: dict[Key, float]
    exact: bool


async def files_in(session: AsyncSession, scope: Scope) -> Sequence[Any]:
    """Return the scope's files: the columns that a search needs, and whether a newer one is to come (`outdated`)."""
    newer = aliased(File)
    outdated = select(newer.id).where(newer.replaces_id == File.id).exists().label("outdated")
    columns = (File.id, File.name, File.status, File.searchable, File.passage_lengths)
    query = select(*columns, File.embedding_model, File.updated_at, outdated).where(*within(scope))
    return (await session.execute(query.order_by(File.id))).all()


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions on files: those of the scope's user, as far as it reaches, that could be read."""
    conditions = [File.user_id == scope.user_id, File.status != "failed"]
    if scope.file_ids:
        conditions.append(File.id.in_(scope.file_ids))
    elif scope.conversation_id is not None:
        attached = select(ConversationFile.file_id).where(ConversationFile.conversation_id == scope.conversation_id)
        own = File.id.in_(attached)
        conditions.append(own | File.in_library if scope.library else own)
    return conditions


@dataclass(frozen=True, slots=True)
class ScopeFile:
    """A file that a turn may read: its name, media type and the hash of its bytes."""

    id: UUID
    name: str
    mime: str
    sha256: str


async def list_files(database: Database, scope: Scope) -> list[ScopeFile]:
    """Return the files of a scope that are read already, newest first."""
    query = select(File.id, File.name, File.mime, File.sha256).where(*within(scope), File.searchable)
    async with database.reading() as session:
        return [ScopeFile(*row) for row in await session.execute(query.order_by(File.id.desc()))]


class Retriever:
    """Finds passages. One object for the process; it holds no state of a request.

    Scopes of at most `widest` passages are compared vector by vector; the index answers for wider ones.
    """

    def __init__(self, database: Database, index: VectorIndex, embed: Embed, *, widest: int = WIDEST) -> None:
        self._database = database
        self._index = index
        self._exact = ExactVectors(database)
        self._embed = embed
        self._widest = widest

    async def retrieve(self, scope: Scope, query: str, *, budget: int, wait: float = 0.0) -> Retrieval:
        """Return the sources for a chat turn, `budget` characters of them.

        Files of the scope that are still being read are waited for, up to `wait` seconds, then named in `pending`.
        """
        began = time.perf_counter()
        files, result, passages = await self._look(scope, query, wait=wait)
        pending = [file.name for file in files if file.status in ("pending", "processing") and not file.searchable]
        if not result.files:
            return Retrieval(query, pending=pending, ms=result.ms)
        candidates = self._candidates(result, passages)
        result.ms["total"] = round((time.perf_counter() - began) * 1000, 1)
        sources = self._pack(result, passages, budget) if result.relevant else []
        return Retrieval(
            query,
            sources=sources,
            candidates=candidates,
            files=len(result.files),
            pending=pending,
            gated=bool(result.ranked) and not result.relevant,
            vector_error=result.vector_error,
            ms=result.ms,
        )

    async def search(self, scope: Scope, query: str, k: int) -> list[Found]:
        """Return the `k` best passages, ranked exactly as `retrieve` ranks them."""
        _, result, passages = await self._look(scope, query, best=k)
        return [
            self._found(result.files[item.key[0]], [passages[item.key]], item.score)
            for item in result.ranked
            if item.key in passages
        ]

    async def _look(
        self, scope: Scope, query: str, *, wait: float = 0.0, best: int | None = None
    ) -> tuple[Sequence[Any], _Ranking, dict[Key, Passage]]:
        """Return the scope's files, their ranking and its passages: the `best` alone, or all with their neighbours.

        Where a newer version took a file's place meanwhile, the search begins anew, and finds that one.
        """
        while True:
            files = await self._files(scope, wait)
            result = await self._rank(scope, query, [file for file in files if file.searchable])
            if best is not None:
                result.ranked[best:] = []
            passages = await self._read(result, with_neighbours=best is None)
            outdated = [file.id for file in files if file.outdated]
            if not outdated:
                return files, result, passages
            async with self._database.reading() as session:
                if await session.scalar(select(func.count()).where(File.id.in_(outdated))) == len(outdated):
                    return files, result, passages

    async def _files(self, scope: Scope, wait: float) -> Sequence[Any]:
        deadline = time.monotonic() + wait
        while True:
            async with self._database.reading() as session:
                files = await files_in(session, scope)
            if all(file.searchable or file.status == "completed" for file in files):
                return files
            left = deadline - time.monotonic()
            if left <= 0:
                return files
            await asyncio.sleep(min(0.25, left))

    async def _rank(self, scope: Scope, query: str, files: Sequence[Any]) -> _Ranking:
        weights = lexical.query_weights(query)
        if not files:
            return _Ranking([], [], False, None, {})
        ms: dict[str, float] = {}
        vectors = asyncio.create_task(self._near(scope, query, files))
        try:
            began = time.perf_counter()
            postings = await self._postings([file.id for file in files], list(weights))
            entries = [FilePostings(file.passage_lengths or [], postings.get(file.id, {})) for file in files]
            hits = await asyncio.to_thread(ranking.lexical_hits, entries, weights)
            ms["lexical"] = round((time.perf_counter() - began) * 1000, 1)
            near, vector_error = await vectors
            best = hits.best(CANDIDATES)
            similar = await self._completed(near, best, files)
            ms["vector"] = round((time.perf_counter() - began) * 1000, 1)
        finally:
            vectors.cancel()
        ranked = ranking.fuse(best, similar, trust=hits.trust)
        relevant = bool(ranked)
        if ranked and (near is None or near.model == THRESHOLD_MODEL):
            relevant = ranking.relevant(ranked, hits, similar, subjects=lexical.subjects(query))
        return _Ranking(files, ranked, relevant, vector_error, ms)

    async def _postings(
        self, file_ids: Sequence[UUID], terms: Sequence[str]
    ) -> dict[UUID, dict[str, tuple[Sequence[int], Sequence[int]]]]:
        found: dict[UUID, dict[str, tuple[Sequence[int], Sequence[int]]]] = {}
        if not terms:
            return found
        query = select(Posting.file_id, Posting.term, Posting.positions, Posting.frequencies).where(
            Posting.file_id.in_(file_ids), Posting.term.in_(terms)
        )
        async with self._database.reading() as session:
            for row in await session.execute(query):
                found.setdefault(row.file_id, {})[row.term] = (row.positions, row.frequencies)
        return found

    async def _near(self, scope: Scope, query: str, files: Sequence[Any]) -> tuple[_Near | None, str | None]:
        """Return the nearest passages, or an error's code: without vectors a turn goes on with its words alone."""
        places = {file.id: index for index, file in enumerate(files)}
        exact = sum(len(file.passage_lengths or ()) for file in files) <= self._widest
        try:
            async with asyncio.timeout(_VECTOR_PATIENCE):
                model, vector = await self._embed(query)
                if exact:
                    hits = await self._exact.near(model, vector, files, CANDIDATES)
                else:
                    only = None if scope.is_everything else list(places)
                    hits = await self._index.near(model, vector, owner=scope.user_id, file_ids=only, count=CANDIDATES)
        except AppError as error:
            return None, error.code
        except TimeoutError:
            log.warning("vector_search_too_slow", seconds=_VECTOR_PATIENCE)
            return None, "timeout"
        cosines = {(places[hit.file_id], hit.position): hit.similarity for hit in hits if hit.file_id in places}
        return _Near(model, vector, places, cosines, exact), None

    async def _completed(
        self, near: _Near | None, words: Mapping[Key, float], files: Sequence[Any]
    ) -> Mapping[Key, float]:
        """Return the cosines, with those of passages that the index missed though the question's words stand in them.

        An index that gives nothing for the passage which answers would let any other that it does give pass it.
        """
        if near is None:
            return {}
        unknown = [key for key in words if key not in near.cosines]
        if near.exact or not unknown:
            return near.cosines
        hits = await self._exact.of(near.model, near.vector, [(files[file], position) for file, position in unknown])
        farthest = min(near.cosines.values(), default=-1.0)
        missed = {(near.places[hit.file_id], hit.position): hit.similarity for hit in hits if hit.similarity > farthest}
        return {**near.cosines, **missed}

    async def _read(self, result: _Ranking, *, with_neighbours: bool) -> dict[Key, Passage]:
        wanted: set[Key] = set()
        for item in result.ranked[: _FETCHED if with_neighbours else None]:
            file, position = item.key
            reach = (-1, 0, 1) if with_neighbours else (0,)
            wanted |= {(file, position + step) for step in reach}
        ids = {result.files[file].id: file for file, _ in wanted}
        places = [(result.files[file].id, position) for file, position in wanted]
        if not places:
            return {}
        query = select(Passage).where(tuple_(Passage.file_id, Passage.position).in_(places))
        async with self._database.reading() as session:
            rows = (await session.execute(query)).scalars()
            return {(ids[row.file_id], row.position): row for row in rows}

    def _pack(self, result: _Ranking, passages: Mapping[Key, Passage], budget: int) -> list[Found]:
        places = {key: ranking.Place(row.start_char, row.end_char) for key, row in passages.items()}
        spans = ranking.pack(result.ranked[:_FETCHED], places, budget)
        return [
            self._found(
                result.files[span.file],
                [passages[span.file, at] for at in range(span.first_position, span.last_position + 1)],
                span.score,
                span.best - span.first_position,
            )
            for span in spans
        ]

    @staticmethod
    def _found(file: Any, rows: Sequence[Passage], score: float, best: int = 0) -> Found:
        first, match = rows[0], rows[best]
        text = "".join(row.text + row.gap for row in rows[:-1]) + rows[-1].text
        return Found(
            file.id,
            file.name,
            match.id,
            match.position,
            match.page,
            match.heading,
            first.start_char,
            rows[-1].end_char,
            text,
            round(score, 4),
            match.text,
        )

    @staticmethod
    def _candidates(result: _Ranking, passages: Mapping[Key, Passage]) -> list[Candidate]:
        return [
            Candidate(
                result.files[item.key[0]].id,
                result.files[item.key[0]].name,
                passages[item.key].id if item.key in passages else None,
                item.key[1],
                round(item.lexical, 4),
                round(item.vector, 4),
                round(item.score, 4),
            )
            for item in result.ranked[:CANDIDATES]
        ]
