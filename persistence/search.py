"""The retriever: exact lexical ranking from Postgres and vectors of an index, within what the caller may see."""

import asyncio
import time
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

import numpy as np
import structlog
from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from llama_service.errors import AppError
from persistence import lexical, ranking, relevance
from persistence.access import in_reach, is_shared
from persistence.exact import WIDEST, ExactVectors, Floats, sought_vector
from persistence.ranking import FilePostings, Key, LexicalHits, Ranked, Span
from persistence.relevance import Confidence, Judgement, MessageKind, Passages
from persistence.sentences import PassageEmbeddings, SentenceVectors
from persistence.session import Database
from persistence.tables import ConversationFile, File, Passage, Posting
from persistence.vectors import VectorHit, VectorIndex

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

CANDIDATES = 100  # by each half; the fused list is cut to this for the trace
_FETCHED = 60  # passages whose text is read for packing
_READ_TOGETHER = 50  # passages that a reader orders, where there is one
_JUDGED = 10  # passages of a search, at least, whose fit is judged together
_MOST_MEANT = 5  # files that a question names and whose passages are looked at besides
_SMALL_SCOPE = 3  # files, of which "both files" may mean all
_OF_EACH = 5  # passages of a file that is asked about with others
_NAMED = 0.5  # how surely a file is named that a message is about
_VECTOR_PATIENCE = 5.0  # seconds; then the lexical half answers alone
_SENTENCE_PATIENCE = 0.3  # seconds; then the passages whose sentences were not compared keep their places


class QuestionEmbeddings(PassageEmbeddings, Protocol):
    """Turns questions and passages into vectors; `model` is the embedding model's name."""

    model: str

    async def of_query(self, text: str) -> tuple[str, Sequence[float]]:
        """Return the name of the model and the vector of a question. Raises an AppError."""
        ...


class PassageReader(Protocol):
    """Reads a question and passages together."""

    async def scores(self, question: str, passages: Sequence[str]) -> list[float] | None:
        """Return a score for each passage, higher is better; None where it can't be told."""
        ...


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
    `confidence` tells how likely it holds the answer; None where its vectors can't be judged.
    `pages` are where its passages begin, with their pages; `shared` tells whether the file is somebody else's.
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
    confidence: Confidence | None = None
    pages: Sequence[tuple[int, int]] = ()
    shared: bool = False

    def page_at(self, place: int) -> int | None:
        """Return the page of a place in the file's text; that of the match where no more is known."""
        return next((page for start, page in reversed(self.pages) if start <= place), self.page)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a question found. `sources` fit the character budget, neighbours joined, best first.

    `confidence` tells how likely they hold the answer (`probability` in numbers), `kind` what the message is; None
    where the embedding model's vectors can't be judged. `named` are the files whose names the message holds.
    """

    query: str
    sources: list[Found] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    files: int = 0
    pending: list[str] = field(default_factory=list)
    confidence: Confidence | None = None
    probability: float | None = None
    kind: MessageKind | None = None
    named: list[str] = field(default_factory=list)
    vector_error: str | None = None
    ms: dict[str, float] = field(default_factory=dict)

    @property
    def searched(self) -> bool:
        """Whether there was anything to search in."""
        return self.files > 0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may see: the files and shared libraries that are named; else what a conversation searches.

    That are its own files, its project's and its assistant's, its libraries and, with `library`, the user's own
    library. Where nothing is named, it sees all of the user's and their default libraries.
    """

    user_id: UUID
    conversation_id: UUID | None = None
    file_ids: Sequence[UUID] | None = None
    library: bool = True
    library_ids: Sequence[UUID] | None = None


@dataclass(frozen=True, slots=True)
class _Ranking:
    files: Sequence[Any]
    ranked: list[Ranked] = field(default_factory=list)
    hits: LexicalHits | None = None
    near: "_Near | None" = None
    named: list[str] = field(default_factory=list)
    meant: Sequence[int] = ()  # the files that the question names most surely, by their numbers
    together: Sequence[int] = ()  # the files that it asks about at once
    vector_error: str | None = None
    ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Near:
    """The passages nearest to a question's vector: cosines by key; `exact` where none can have been missed.

    `sought` is what passages are compared with, `places` are the files' numbers in the keys.
    """

    model: str
    vector: Sequence[float]
    sought: Floats
    places: Mapping[UUID, int]
    cosines: dict[Key, float]
    exact: bool


async def files_in(session: AsyncSession, scope: Scope) -> Sequence[Any]:
    """Return the scope's files: the columns that a search needs, and whether a newer one is to come (`outdated`)."""
    newer = aliased(File)
    outdated = select(newer.id).where(newer.replaces_id == File.id).exists().label("outdated")
    columns = (File.id, File.name, File.status, File.searchable, File.passage_lengths, is_shared(scope.user_id))
    found = await _each(session, scope, select(*columns, File.embedding_model, File.updated_at, outdated))
    return sorted(found, key=lambda row: row.id)


async def _each(session: AsyncSession, scope: Scope, query: Select[Any]) -> list[Any]:
    """Return a scope's files by a query of them, each once, by whichever way it is reached."""
    parts = [query.where(condition, File.status != "failed") for condition in _reach(scope)]
    rows = (await session.execute(parts[0].union_all(*parts[1:]))).all()
    return list({row.id: row for row in rows}.values())


def _reach(scope: Scope) -> list[ColumnElement[bool]]:
    return in_reach(scope.user_id, scope.conversation_id, scope.file_ids, scope.library_ids, own=scope.library)


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions on a few files that are named: the scope reaches and its user may read them."""
    return [or_(*_reach(scope)), File.status != "failed"]


async def came_with(database: Database, scope: Scope, message_id: UUID) -> bool:
    """Return whether any of the scope's files was attached with this question."""
    with_it = select(ConversationFile.file_id).where(ConversationFile.message_id == message_id)
    async with database.reading() as session:
        found = await session.scalar(select(File.id).where(*within(scope), File.id.in_(with_it)).limit(1))
    return found is not None


@dataclass(frozen=True, slots=True)
class ScopeFile:
    """A file that a turn may read: its name, media type and the hash of its bytes; `shared` if it is another's."""

    id: UUID
    name: str
    mime: str
    sha256: str
    shared: bool


async def list_files(database: Database, scope: Scope) -> list[ScopeFile]:
    """Return the files of a scope that are read already, newest first."""
    columns = (File.id, File.name, File.mime, File.sha256, is_shared(scope.user_id))
    async with database.reading() as session:
        rows = await _each(session, scope, select(*columns).where(File.searchable))
    return [ScopeFile(*row) for row in sorted(rows, key=lambda row: row.id, reverse=True)]


class Retriever:
    """Finds passages. One object for the process; it holds no state of a request.

    Scopes of at most `widest` passages are compared vector by vector; the index answers for wider ones. Where there is
    a `reader`, it orders the best of them anew. Sentences are compared for `sentence_patience` seconds.
    """

    def __init__(
        self,
        database: Database,
        index: VectorIndex,
        embeddings: QuestionEmbeddings,
        reader: PassageReader | None = None,
        *,
        widest: int = WIDEST,
        sentence_patience: float = _SENTENCE_PATIENCE,
    ) -> None:
        self._database = database
        self._index = index
        self._exact = ExactVectors(database)
        self._embeddings = embeddings
        self._sentences = SentenceVectors(embeddings)
        self._sentence_patience = sentence_patience
        self._reader = reader
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
        places = {key: ranking.Place(row.start_char, row.end_char) for key, row in passages.items()}
        spans = ranking.pack(result.ranked[:_FETCHED], places, budget)
        judgement = await self._judge(result, spans)
        sources = [
            self._found(
                result.files[span.file],
                [passages[key] for key in span.keys],
                span.score,
                span.best - span.first_position,
                confidence,
            )
            for span, confidence in zip(spans, _levels(judgement, spans), strict=True)
        ]
        result.ms["total"] = round((time.perf_counter() - began) * 1000, 1)
        return Retrieval(
            query,
            sources=sources,
            candidates=self._candidates(result, passages),
            files=len(result.files),
            pending=pending,
            confidence=judgement.confidence if judgement else None,
            probability=judgement.probability if judgement else None,
            kind=_kind(result.near),
            named=result.named,
            vector_error=result.vector_error,
            ms=result.ms,
        )

    async def search(self, scope: Scope, query: str, k: int) -> tuple[list[Found], Confidence | None]:
        """Return the `k` best passages, ranked exactly as `retrieve` ranks them, and how likely they answer."""
        _, result, passages = await self._look(scope, query, best=max(k, _JUDGED))
        ranked = [item for item in result.ranked if item.key in passages]
        spans = [
            Span(*item.key, item.key[1], passages[item.key].start_char, passages[item.key].end_char, item.score, 0)
            for item in ranked
        ]
        judgement = await self._judge(result, spans)
        found = [
            self._found(result.files[item.key[0]], [passages[item.key]], item.score, confidence=confidence)
            for item, confidence in zip(ranked, _levels(judgement, spans), strict=True)
        ]
        return found[:k], judgement.confidence if judgement else None

    async def kind_of(self, message: str) -> MessageKind | None:
        """Return what a message is, None where the embedding model's vectors do not tell."""
        fitted = relevance.of_model(self._embeddings.model)
        if fitted is None:
            return None
        found, _ = await _patiently(self._embeddings.of_query(message))
        return fitted.kind(found[1]) if found is not None else None

    async def _read_together(self, query: str, result: _Ranking, passages: Mapping[Key, Passage]) -> None:
        """Order the best passages by what the reader says of each; the others stay behind them."""
        first = [item for item in result.ranked[:_READ_TOGETHER] if item.key in passages]
        if self._reader is None or len(first) < 2:
            return
        began = time.perf_counter()
        scores = await self._reader.scores(query, [passages[item.key].text for item in first])
        result.ms["rerank"] = round((time.perf_counter() - began) * 1000, 1)
        if scores is None:
            return
        read = {item.key: score for item, score in zip(first, scores, strict=True)}
        others = [item for item in result.ranked if item.key not in read]
        least = min(scores)
        result.ranked[:] = sorted((replace(item, score=read[item.key]) for item in first), key=lambda item: -item.score)
        # Behind the worst that was read, in their own order.
        result.ranked.extend(replace(item, score=least - 1e-6 * place) for place, item in enumerate(others, 1))

    async def _by_sentences(self, result: _Ranking, passages: Mapping[Key, Passage]) -> None:
        """Order the best passages by their sentences, where words don't tell and the embedding model was measured."""
        near, hits = result.near, result.hits
        fitted = relevance.of_model(near.model) if near else None
        if near is None or fitted is None or hits is None or hits.trust >= ranking.WORDS_TELL:
            return
        # What was deleted meanwhile is gone from here, too.
        first = [item for item in result.ranked[: ranking.BY_SENTENCES] if item.key in passages]
        # Where the question names files, sentences choose among their passages, and not another file.
        meant = [item for item in first if not result.meant or item.key[0] in result.meant]
        first.sort(key=lambda item: item not in meant)
        texts = [passages[item.key] for item in meant]
        began = time.perf_counter()
        try:
            nearest = await self._sentences.nearest(fitted, near.sought, texts, patience=self._sentence_patience)
        except AppError as error:
            log.warning("sentences_not_compared", code=error.code)
            return
        result.ranked[: ranking.BY_SENTENCES] = ranking.by_sentences(first, nearest)
        result.ms["sentences"] = round((time.perf_counter() - began) * 1000, 1)

    async def _judge(self, result: _Ranking, spans: Sequence[Span]) -> Judgement | None:
        """Return how likely these sources hold the answer, None where not all of them have vectors that tell."""
        near, hits = result.near, result.hits
        fitted = relevance.of_model(near.model) if near else None
        if near is None or fitted is None or hits is None or not spans:
            return None
        places = [(result.files[file], position) for span in spans for file, position in span.keys]
        vectors = await self._exact.vectors(near.model, places, len(near.sought))
        sources = []
        for span in spans:
            known = [vectors.get((result.files[file].id, position)) for file, position in span.keys]
            if not (rows := [row for row in known if row is not None]):
                return None
            coverage = max(hits.covered(key) for key in span.keys)
            sources.append(Passages(np.stack(rows), coverage, span.end - span.start))
        size = sum(len(file.passage_lengths or ()) for file in result.files)
        return fitted.judge(near.vector, sources, relevance.Scope(size, hits.trust, hits.known))

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
                result.ranked[max(best, _READ_TOGETHER if self._reader else ranking.BY_SENTENCES) :] = []
            passages = await self._read(result, with_neighbours=best is None)
            if self._reader is None:
                await self._by_sentences(result, passages)
            await self._read_together(query, result, passages)
            result.ranked[:] = ranking.each_first(result.ranked, result.together)
            if best is not None:
                result.ranked[best:] = []
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
            return _Ranking([])
        ms: dict[str, float] = {}
        vectors = asyncio.create_task(self._near(scope, query, files))
        try:
            began = time.perf_counter()
            postings = await self._postings([file.id for file in files], list(weights))
            entries = [FilePostings(file.passage_lengths or [], postings.get(file.id, {})) for file in files]
            hits = await asyncio.to_thread(ranking.lexical_hits, entries, weights)
            ms["lexical"] = round((time.perf_counter() - began) * 1000, 1)
            near, vector_error = await vectors
            names = self._names(files, entries)
            sure = self._named(query, names, entries)
            together = self._together(query, [file.name for file in files], names, sure)
            best = hits.best(CANDIDATES)
            meant = together or _most_sure(sure)
            if 0 < len(meant) <= _MOST_MEANT:
                # Among many files, none of the passages of the one that is meant need be among the best.
                best |= hits.best(CANDIDATES, meant)
            similar = await self._completed(near, best, files)
            ms["vector"] = round((time.perf_counter() - began) * 1000, 1)
        finally:
            vectors.cancel()
        ranked = ranking.fuse(best, similar, trust=hits.trust, names=sure)
        if near is not None and (missing := set(together) - {item.key[0] for item in ranked}):
            others, failed = await _patiently(self._nearest_of(near, missing, files))
            ranked += others or ()
            vector_error = vector_error or failed
        ranked = ranking.each_first(ranked, together)
        named = [file.name for file, each in zip(files, sure, strict=True) if each >= _NAMED]
        return _Ranking(files, ranked, hits, near, named, meant, together, vector_error, ms)

    @staticmethod
    def _names(files: Sequence[Any], entries: Sequence[FilePostings]) -> list[frozenset[str]]:
        """Return the terms of each file's name, or with the years on its first lines where its name has none."""
        names = []
        for file, entry in zip(files, entries, strict=True):
            name = lexical.name_terms(file.name)
            if not any(map(ranking.is_year, name)):
                name |= {term for term, (at, _) in entry.postings.items() if ranking.is_year(term) and at[0] == 0}
            names.append(name)
        return names

    @staticmethod
    def _named(query: str, names: Sequence[frozenset[str]], entries: Sequence[FilePostings]) -> list[float]:
        """Return how surely the question names each file."""
        texts = [entry.postings for entry in entries]
        return ranking.named(names, texts, lexical.subject_terms(query), newest=lexical.asks_for_newest(query))

    @staticmethod
    def _together(
        query: str, file_names: Sequence[str], names: Sequence[frozenset[str]], sure: Sequence[float]
    ) -> Sequence[int]:
        """Return the files that a question asks about at once, each of which its answer needs.

        It names each of them; or it has a word of their names ("both contracts"); or it says "both files" in a small
        scope.
        """
        asked, several = lexical.subject_terms(query), lexical.asks_for_several(query)
        found = ranking.together(names, _most_sure(sure), asked, several=several, most=_MOST_MEANT)
        if found:
            return found
        for term in lexical.asked_several_of(query):
            alike = [at for at, name in enumerate(file_names) if term in lexical.name_words(name)]
            if 1 < len(alike) <= _MOST_MEANT:
                return alike
            if not alike and 1 < len(names) <= _SMALL_SCOPE and lexical.is_word_for_document(term):
                return range(len(names))
        return []

    async def _nearest_of(self, near: _Near, missing: Collection[int], files: Sequence[Any]) -> list[Ranked]:
        """Return the nearest passages of each of the files that are asked about, and have none among the best."""
        found = []
        for at in missing:
            hits = await self._nearest(near.model, near.sought, [files[at]], _OF_EACH, exact=near.exact)
            found += [Ranked((at, hit.position), 0.0, 0.0, 0.0) for hit in hits]
        return found

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
        size = sum(len(file.passage_lengths or ()) for file in files)
        exact = size <= self._widest

        async def look() -> _Near:
            model, vector = await self._embeddings.of_query(query)
            sought = sought_vector(model, vector)
            hits = await self._nearest(model, sought, files, CANDIDATES, exact=exact)
            cosines = {(places[hit.file_id], hit.position): hit.similarity for hit in hits if hit.file_id in places}
            return _Near(model, vector, sought, places, cosines, exact)

        return await _patiently(look())

    async def _nearest(
        self, model: str, sought: Floats, files: Sequence[Any], count: int, *, exact: bool
    ) -> list[VectorHit]:
        if exact:
            return await self._exact.near(model, sought, files, count)
        size = sum(len(file.passage_lengths or ()) for file in files)
        # What tells languages apart has no share in `sought`, so it counts nothing in the index either.
        return await self._index.near(
            model, sought.tolist(), file_ids=[file.id for file in files], size=size, count=count
        )

    async def _completed(
        self, near: _Near | None, words: Mapping[Key, float], files: Sequence[Any]
    ) -> Mapping[Key, float]:
        """Return the cosines; behind an index, those of what it gave and of what holds the question's words, exactly.

        An index that gives nothing for the passage which answers would let any other that it does give pass it.
        """
        if near is None:
            return {}
        if near.exact or not (near.cosines or words):
            return near.cosines
        wanted = [(files[file], position) for file, position in near.cosines.keys() | words.keys()]
        hits = await self._exact.of(near.model, near.sought, wanted)
        known = {(near.places[hit.file_id], hit.position): hit.similarity for hit in hits}
        farthest = min((known[key] for key in near.cosines if key in known), default=-1.0)
        return {key: cosine for key, cosine in known.items() if key in near.cosines or cosine > farthest}

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

    @staticmethod
    def _found(
        file: Any, rows: Sequence[Passage], score: float, best: int = 0, confidence: Confidence | None = None
    ) -> Found:
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
            confidence,
            [(row.start_char, row.page) for row in rows if row.page is not None],
            file.shared,
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


async def _patiently(work: Awaitable[_T]) -> tuple[_T | None, str | None]:
    """Return what comes of work with vectors, or an error's code where it fails or takes too long."""
    try:
        async with asyncio.timeout(_VECTOR_PATIENCE):
            return await work, None
    except AppError as error:
        return None, error.code
    except TimeoutError:
        log.warning("vector_search_too_slow", seconds=_VECTOR_PATIENCE)
        return None, "timeout"


def _most_sure(sure: Sequence[float]) -> list[int]:
    """Return the files that a question names most surely, if any."""
    return [at for at, each in enumerate(sure) if each >= max(_NAMED, *sure)]


def _levels(judgement: Judgement | None, spans: Sequence[Span]) -> Sequence[Confidence | None]:
    return judgement.sources if judgement else [None] * len(spans)


def _kind(near: _Near | None) -> MessageKind | None:
    fitted = relevance.of_model(near.model) if near else None
    return fitted.kind(near.vector) if near and fitted else None
