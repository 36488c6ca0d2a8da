"""What `migrate` is going to do to the configured database: rehearsed on an empty one of the same schema.

The rehearsal tells exactly which tables are locked, rewritten, read whole or given an index; how large those are is
asked of the database itself. Nothing is changed there, and no lock is taken.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from llama_service.dsn import PostgresDsn
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.settings import Settings
from persistence.migrate import STRENGTH, Applied, current_revision, pending, upgrade

_REWRITES: Final = 40_000_000
_READS: Final = 150_000_000
"""Bytes a second: of a table that is written anew, or read whole, on a middling disk."""

_FILES: Final = """
SELECT c.relname, c.relfilenode::bigint,
  (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid),
  (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f') AND k.convalidated)
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
    lacking = await asyncio.to_thread(pending, settings)
    if not lacking:
        return []
    current = await asyncio.to_thread(current_revision, dsn)
    sizes = await asyncio.to_thread(_sizes, dsn)
    with tempfile.TemporaryDirectory(prefix="migrate-plan-") as scratch:
        folder = Path(scratch)
        async with EmbeddedPostgres(folder, folder / "logs", fsync=False) as server:
            return await asyncio.to_thread(_rehearse, PostgresDsn.of(server.dsn), current, lacking, sizes)


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
        locks = applied[0].locks if current is not None else {}
        work = [_work(table, lock, before[table], after.get(table), sizes) for table, lock in sorted(locks.items())]
        planned.append(PlannedMigration(revision, title, work))
    return planned


def _work(table: str, lock: str, before: Any, after: Any, sizes: Mapping[str, tuple[int, int]]) -> TableWork:
    rows, size = sizes.get(table, (0, 0))
    if after is None:
        return TableWork(table, lock, "deleted", rows, size, 0)
    if after[0] != before[0]:
        return TableWork(table, lock, "written anew", rows, size, size / _REWRITES)
    if after[1] > before[1]:
        return TableWork(table, lock, "given an index", rows, size, size / _READS)
    if after[2] > before[2]:
        return TableWork(table, lock, "checked row by row", rows, size, size / _READS)
    if lock == "RowExclusiveLock":
        return TableWork(table, lock, "rows are changed", rows, size, size / _REWRITES)
    return TableWork(table, lock, "its description changes", rows, size, 0)


def _files(dsn: PostgresDsn) -> dict[str, tuple[int, int, int]]:
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        return {name: (file, indexes, checks) for name, file, indexes, checks in connection.execute(_FILES)}


def _sizes(dsn: PostgresDsn) -> dict[str, tuple[int, int]]:
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        return {name: (int(rows), int(size)) for name, rows, size in connection.execute(_SIZES)}
