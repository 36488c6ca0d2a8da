"""What `migrate` is going to do to the configured database: rehearsed on an empty one of the same schema.

The rehearsal tells exactly which tables are locked, rewritten, read whole or given an index; how large those are is
asked of the database itself. Nothing is changed there, and no lock is taken. What LangGraph, the queue and pgvector set
up for themselves is not rehearsed.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from llama_service.dsn import PostgresDsn
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.settings import Settings
from persistence.migrate import STRENGTH, Applied, pending, schema_of, upgrade

_REWRITES: Final = 40_000_000
_READS: Final = 150_000_000
"""Bytes a second: of a table that is written anew, or read whole, on a middling disk."""

_FILES: Final = """
SELECT c.relname, c.relfilenode::bigint,
  (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid),
  (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f') AND k.convalidated),
  (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull)
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""
_SIZES: Final = """
SELECT relname, greatest(reltuples, 0)::bigint, pg_total_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class TableWork:
    """What a migration does to a table that is there: its strongest lock, whether that work grows with the table.

    `seconds` is a guess from the table's bytes; 0 where only the table's description changes.
    """

    table: str
    lock: str
    work: str
    rows: int
    size: int
    seconds: float

    @property
    def blocks(self) -> str:
        """Who waits for as long as it takes."""
        level = STRENGTH.index(self.lock)
        if level == len(STRENGTH) - 1:
            return "readers and writers wait"
        return "writers wait" if level >= STRENGTH.index("ShareLock") else "nobody waits"


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """A migration that the database lacks, and its work on tables that are there."""

    revision: str
    title: str
    tables: Sequence[TableWork]


async def plan(settings: Settings) -> list[PlannedMigration]:
    """Return what `migrate` would do. Raises SchemaMismatch, ChildFailed where there is no embedded Postgres."""
    dsn = settings.postgres_migration
    schema = await asyncio.to_thread(schema_of, dsn)
    lacking = pending(schema)
    if not lacking:
        return []
    sizes = await asyncio.to_thread(_sizes, dsn)
    with tempfile.TemporaryDirectory(prefix="migrate-plan-") as scratch:
        folder = Path(scratch)
        async with EmbeddedPostgres(folder, folder / "logs", fsync=False) as server:
            return await asyncio.to_thread(_rehearse, PostgresDsn.of(server.dsn), schema.revision, lacking, sizes)


def _rehearse(
    dsn: PostgresDsn, current: str | None, lacking: Sequence[tuple[str, str]], sizes: Mapping[str, tuple[int, int]]
) -> list[PlannedMigration]:
    if current is not None:
        upgrade(dsn, current)
    planned = []
    for revision, title in lacking:
        before, applied = _files(dsn), list[Applied]()
        upgrade(dsn, revision, applied.append)
        after = _files(dsn)
        tables = sorted(applied[0].locks) if current is not None else []
        work = [_work(table, applied[0], before[table], after.get(table), sizes) for table in tables]
        planned.append(PlannedMigration(revision, title, work))
    return planned


def _work(
    table: str, applied: Applied, before: "_State", after: "_State | None", sizes: Mapping[str, tuple[int, int]]
) -> TableWork:
    """Return what a migration does to a table, all of it together: work that grows with it is added up."""
    rows, size = sizes.get(table, (0, 0))
    parts: list[tuple[str, float]] = []
    if after is None:
        parts.append(("deleted", 0))
    else:
        if after.file != before.file:
            parts.append(("written anew", size / _REWRITES))
        elif table in applied.written:
            parts.append(("its rows are changed", size / _REWRITES))
        if after.indexes > before.indexes:
            parts.append(("given an index", size / _READS))
        if after.checks > before.checks or after.never_null > before.never_null:
            parts.append(("checked row by row", size / _READS))
    told = ", ".join(part for part, _ in parts) or "its description changes"
    return TableWork(table, applied.locks[table], told, rows, size, sum(seconds for _, seconds in parts))


@dataclass(frozen=True, slots=True)
class _State:
    """What tells the work on a table: the file of its rows, its indexes, checks and columns that can't be null."""

    file: int
    indexes: int
    checks: int
    never_null: int


def _files(dsn: PostgresDsn) -> dict[str, _State]:
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        return {name: _State(*counts) for name, *counts in connection.execute(_FILES)}


def _sizes(dsn: PostgresDsn) -> dict[str, tuple[int, int]]:
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        return {name: (int(rows), int(size)) for name, rows, size in connection.execute(_SIZES)}
