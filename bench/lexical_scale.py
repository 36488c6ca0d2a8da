"""Search by words alone, in a million passages of a thousand owners: what it costs in time and on disk, as it grows.

80 distinct files are made by the service's own splitter and index; SQL copies their rows under other ids. There are no
vectors, so that every search goes by its words.
"""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import psycopg

from bench.explain import rows_read
from bench.fill import MODEL, Filler, analyze, crowd, share
from bench.load import median, percentile
from bench.report import Row
from bench.stage import Stage
from llama_service.dsn import PostgresDsn
from llama_service.errors import DependencyUnavailable
from persistence.lexical import query_terms
from persistence.search import Retriever, Scope
from persistence.session import Database
from persistence.vectors import VectorIndex
from persistence.vectors.chroma import ChromaIndex

_DISTINCT = 80  # files that the copies are made of
_OWN = 10  # files of an owner, 100 passages each
_LIBRARY = 1_000  # files of a shared library

_COPY = """
WITH source AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM files WHERE user_id = %(template)s::uuid),
owners AS (SELECT id, row_number() OVER () AS owner FROM unnest(%(owners)s::uuid[]) AS given (id)),
made AS (
  INSERT INTO files (id, user_id, name, mime, size, sha256, status, stage, progress, searchable, chunks_total,
                     chunks_indexed, passage_lengths, embedding_model)
  SELECT gen_random_uuid(), owners.id, files.name, files.mime, files.size, files.sha256, files.status, files.stage, 1,
         true, files.chunks_total, 0, files.passage_lengths, files.embedding_model
  FROM owners CROSS JOIN generate_series(0, %(each)s - 1) AS copy
  JOIN source ON source.number = (owners.owner * %(each)s + copy) %% %(distinct)s JOIN files ON files.id = source.id
  RETURNING id, name
), copies AS (SELECT made.id, files.id AS source FROM made JOIN files USING (name)
              WHERE files.user_id = %(template)s::uuid),
written AS (
  INSERT INTO passages (id, file_id, position, text, start_char, end_char, context_start, context_end, gap)
  SELECT gen_random_uuid(), copies.id, position, text, start_char, end_char, context_start, context_end, gap
  FROM copies JOIN passages ON passages.file_id = copies.source
)
INSERT INTO postings (file_id, term, positions, frequencies)
SELECT copies.id, term, positions, frequencies FROM copies JOIN postings ON postings.file_id = copies.source
"""


class _Words:
    """Embeddings that are away."""

    model = MODEL

    async def of_query(self, _: str) -> tuple[str, Sequence[float]]:
        raise DependencyUnavailable

    async def of_passages(self, _: Sequence[str]) -> Sequence[Sequence[float]]:
        raise DependencyUnavailable


async def run(made: Stage, quick: bool) -> list[Row]:
    """Grow the database tenfold by steps; search the same scopes at each size."""
    database = Database(PostgresDsn.of(made.postgres.dsn), 4)
    index: VectorIndex = ChromaIndex(made.chroma.url, "none")
    filler = Filler(database, index)
    (template,) = crowd(made.postgres.dsn, 1, "template")
    await filler.make(template, _DISTINCT)
    searcher = _Searcher(Retriever(database, index, _Words()), filler, database)
    rows, there = [], 0
    for owners in (10, 100) if quick else (10, 100, 1_000):
        began = time.monotonic()
        added = crowd(made.postgres.dsn, owners - there, f"owner{owners}-")
        await asyncio.to_thread(_copy, made.postgres.dsn, template, added)
        await asyncio.to_thread(analyze, made.postgres.dsn)
        there = owners
        passages = owners * _OWN * filler.size
        note = f"filled in {time.monotonic() - began:.0f} s"
        rows += _sizes(made.postgres.dsn, passages, note)
        rows += await searcher.measure(f"{passages:,} passages, own {_OWN * filler.size:,}", UUID(added[0]))
        if owners * _OWN >= _LIBRARY:
            keeper = added[: _LIBRARY // _OWN]
            member = await asyncio.to_thread(_library, made.postgres.dsn, keeper)
            what = f"{passages:,} passages, library of {_LIBRARY * filler.size:,}"
            rows += await searcher.measure(what, UUID(member))
    await database.close()
    return rows


def _copy(dsn: str, template: str, owners: Sequence[str]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Without a look at the files for each of the many postings.
        connection.execute("SET session_replication_role = replica")
        for begin in range(0, len(owners), 50):
            some = list(owners[begin : begin + 50])
            values = {"template": template, "owners": some, "each": _OWN, "distinct": _DISTINCT}
            connection.execute(_COPY, values)


def _library(dsn: str, owners: Sequence[str]) -> str:
    """Put the files of owners into one library; return somebody who has nothing else."""
    (member,) = crowd(dsn, 1, f"member{owners[0]}")
    share(dsn, owners[0], [member])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO library_files (library_id, file_id) SELECT library_id, files.id"
            " FROM library_members, files WHERE library_members.user_id = %s::uuid AND files.user_id = ANY(%s::uuid[])",
            (member, list(owners[1:])),
        )
    return member


def _sizes(dsn: str, passages: int, note: str) -> list[Row]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT pg_table_size('postings'), pg_indexes_size('postings'), pg_total_relation_size('passages'),"
            " (SELECT reltuples FROM pg_class WHERE oid = 'postings'::regclass)"
        ).fetchone()
    table, indexes, texts, count = row or (0, 0, 0, 0)
    return [
        Row("lexical", f"{passages:,} passages, postings", table / 2**20, "MiB", note=f"{count:,.0f} rows; {note}"),
        Row("lexical", f"{passages:,} passages, postings' key", indexes / 2**20, "MiB"),
        Row("lexical", f"{passages:,} passages, texts", texts / 2**20, "MiB"),
    ]


class _Searcher:
    """Searches a person's scope, by words of its files."""

    def __init__(self, retriever: Retriever, filler: Filler, database: Database) -> None:
        self._retriever = retriever
        self._filler = filler
        self._database = database

    async def measure(self, what: str, user_id: UUID, rounds: int = 60) -> list[Row]:
        """Return the figures of a scope."""
        times, lexical = [], []
        for number in range(rounds):
            began = time.perf_counter()
            found = await self._retriever.retrieve(Scope(user_id), self._filler.words(number), budget=6_000)
            times.append((time.perf_counter() - began) * 1000)
            lexical.append(found.ms["lexical"])
        async with rows_read(self._database) as read:
            question = self._filler.words(0)
            await self._retriever.search(Scope(user_id), question, 10)
        note = f"p95 {percentile(times, 0.95):.1f} ms; of it BM25 {median(lexical):.1f} ms;"
        terms = len(query_terms(question))
        note += f" {terms} terms read {read['postings']:,} postings, {read['files']:,} files"
        return [Row("lexical", f"{what}, p50", median(times), "ms", note=note)]
