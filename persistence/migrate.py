"""Bring a database to this version's schema: ours by Alembic, then LangGraph's, the queue's and the index's own.

Versions that are one apart work on one database: a migration adds what the new code needs, and what only old code needs
goes with a later one (expand and contract). `schema_floor` in the database says how old code may be.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from langgraph.checkpoint.postgres import PostgresSaver
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy.exc import OperationalError

from llama_service.dsn import PostgresDsn
from llama_service.errors import OperatorError
from llama_service.settings import Settings
from persistence.vectors import pgvector

log = structlog.get_logger(__name__)

# Two services that start together must not migrate together. Any number will do, as long as it stays the same.
_LOCK = 7_316_041_992
LOCK_SECONDS: Final = 5
"""A migration that waits longer for a table lets others pass and tries again: behind it everybody would wait."""
_TRIES: Final = 24
_ALEMBIC: Final = Path(__file__).resolve().parent.parent / "alembic.ini"


class SchemaMismatch(OperatorError):
    """The database's schema is not one that this version can work with."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that was applied: how long its transaction took, and the strongest lock on each table that was there.

    What is locked, is so until the transaction ends. `written` are those of them whose rows were changed.
    """

    revision: str
    title: str
    seconds: float
    locks: Mapping[str, str]
    written: frozenset[str]


OnApplied = Callable[[Applied], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """A database's schema: its revision, None where it is empty, and how that stands to this version.

    `newer` is one that this version can work with all the same, `too new` one that it can't.
    """

    revision: str | None
    standing: Literal["current", "older", "newer", "too new"]


def alembic_config(dsn: PostgresDsn) -> Config:
    """Return Alembic's configuration for the database at `dsn`."""
    config = Config(_ALEMBIC)
    config.attributes["dsn"] = dsn
    return config


def revisions() -> list[str]:
    """Return the revisions of the schema that this version knows, the newest one first."""
    return [revision.revision for revision in ScriptDirectory.from_config(Config(_ALEMBIC)).walk_revisions()]


def schema_of(dsn: PostgresDsn) -> Schema:
    """Look at a database's schema. Raises psycopg.OperationalError where it can't be reached."""
    with psycopg.connect(dsn.libpq, autocommit=True, connect_timeout=5) as connection:
        return _look(connection)


def _look(connection: psycopg.Connection[Any]) -> Schema:
    revision = _only(connection, "alembic_version", "version_num")
    floor = _only(connection, "schema_floor", "oldest_code")
    known = revisions()
    if revision == known[0]:
        return Schema(revision, "current")
    if revision is None or revision in known:
        return Schema(revision, "older")
    return Schema(revision, "newer" if floor in known else "too new")


def _only(connection: psycopg.Connection[Any], table: str, column: str) -> str | None:
    """Return what stands in the only row of a table, None where there is no row or no table."""
    if connection.execute("SELECT to_regclass(%s) IS NULL", (table,)).fetchone() == (True,):
        return None
    row = connection.execute(sql.SQL("SELECT {} FROM {}").format(*map(sql.Identifier, (column, table)))).fetchone()
    return str(row[0]) if row else None


def _check_not_too_new(schema: Schema) -> None:
    if schema.standing == "too new":
        raise SchemaMismatch(
            f"the database is of a newer version (schema {schema.revision}), which this one can't work with: install "
            "that version, or bring back a backup of this one"
        )


def pending(schema: Schema) -> list[tuple[str, str]]:
    """Return the migrations that a database lacks, the oldest first: revision and title. Raises SchemaMismatch."""
    _check_not_too_new(schema)
    if schema.standing != "older":
        return []
    scripts = ScriptDirectory.from_config(Config(_ALEMBIC))
    found = scripts.iterate_revisions("heads", schema.revision or "base")
    return [(script.revision, _title(script.doc)) for script in found][::-1]


def _title(doc: str) -> str:
    return doc.splitlines()[0] if doc else ""


def check_schema(settings: Settings) -> None:
    """Raise SchemaMismatch where this version can't work with the database; one that is away may come later."""
    try:
        schema = schema_of(settings.postgres_session)
    except psycopg.OperationalError as away:
        log.warning("schema_not_checked", error=type(away).__name__)
        return
    _check_not_too_new(schema)
    if schema.standing == "older":
        told = f"is of an older version (schema {schema.revision})" if schema.revision else "is empty"
        raise SchemaMismatch(f"the database {told}: run `llama-service migrate` first")


def migrate(settings: Settings, on_applied: OnApplied | None = None) -> None:
    """Migrate the configured database up to head. Safe to repeat and to run from several processes at once.

    A database that a newer version has migrated is left as it is, where this version can work with it. Raises
    SchemaMismatch where it can't, SettingsError where the vector index is to be kept in it, and can't be.
    """
    dsn = settings.postgres_migration
    with psycopg.connect(dsn.libpq, autocommit=True) as lock:
        _take(lock)
        try:
            schema = _look(lock)
            _check_not_too_new(schema)
            if schema.standing == "newer":
                log.warning("schema_is_newer", schema=schema.revision)
                return
            upgrade(dsn, "head", on_applied)
            with psycopg.connect(dsn.libpq, autocommit=True, row_factory=dict_row) as connection:
                PostgresSaver(connection).setup()
            _mend_indexes(lock)
            _set_up_queue(dsn.libpq)
            if settings.vector_engine == "pgvector":
                pgvector.set_up(lock, settings)
        finally:
            lock.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
    log.info("migrated")


def _take(connection: psycopg.Connection[Any]) -> None:
    """Wait for the lock that keeps migrations apart.

    By asking again and again: whoever waits within a statement holds a snapshot, for which indexes that are built
    beside running work (LangGraph's) wait in turn.
    """
    while connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() == (False,):
        time.sleep(0.2)


def _mend_indexes(connection: psycopg.Connection[Any]) -> None:
    """Build anew what a migration left invalid that died while it built an index beside running work."""
    broken = connection.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    for (name,) in broken:
        log.warning("index_built_anew", index=name)
        connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(name)))


def upgrade(dsn: PostgresDsn, revision: str, on_applied: OnApplied | None = None) -> None:
    """Apply our migrations up to a revision, each in a transaction of its own."""
    config = alembic_config(dsn)
    config.attributes["lock_seconds"] = LOCK_SECONDS
    config.attributes["on_applied"] = _reporter(dsn, on_applied) if on_applied else None
    for left in reversed(range(_TRIES)):
        try:
            command.upgrade(config, revision)
            return
        except OperationalError as failed:
            if not isinstance(failed.orig, psycopg.errors.LockNotAvailable) or not left:
                raise
            log.warning("migration_waits_for_a_lock", tries_left=left)
            time.sleep(1)


_LOCKS: Final = """
SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind IN ('r', 'p')
  AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
"""
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
STRENGTH: Final = (
    *("AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock"),
    *("ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"),
)
"""Postgres's table locks, the strongest last: from ShareLock on writers wait, at the last one readers too."""


def _reporter(dsn: PostgresDsn, on_applied: OnApplied) -> Callable[..., None]:
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        there = {str(table) for (table,) in connection.execute(_TABLES)}

    def report(ctx: Any, step: Any, **_: Any) -> None:
        locks: dict[str, str] = {}
        written = set()
        for table, mode in ctx.connection.exec_driver_sql(_LOCKS):
            if table in there:  # nobody waits for one that was made just now
                locks[table] = max(locks.get(table, mode), mode, key=STRENGTH.index)
                written |= {table} if mode == "RowExclusiveLock" else set()
        there.update(table for (table,) in ctx.connection.exec_driver_sql(_TABLES))
        seconds = ctx.connection.exec_driver_sql(
            "SELECT extract(epoch FROM clock_timestamp() - transaction_timestamp())::float"
        ).scalar_one()
        script = step.up_revision
        on_applied(Applied(script.revision, _title(script.doc), seconds, locks, frozenset(written)))

    return report


def _set_up_queue(libpq: str) -> None:
    with psycopg.connect(libpq) as connection:
        found = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
    if found and found[0] is None:
        app = App(connector=PsycopgConnector(conninfo=libpq)).with_connector(SyncPsycopgConnector(conninfo=libpq))
        with app.open():
            app.schema_manager.apply_schema()
