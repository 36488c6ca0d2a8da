"""Bring a database to this version's schema: ours by Alembic, then LangGraph's, the queue's and the index's own.

Versions that are one apart work on one database: a migration adds what the new code needs, and what only old code needs
goes with a later one (expand and contract). `schema_floor` in the database says how old code may be.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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


def alembic_config(dsn: PostgresDsn) -> Config:
    """Return Alembic's configuration for the database at `dsn`."""
    config = Config(Path(__file__).resolve().parent.parent / "alembic.ini")
    config.attributes["dsn"] = dsn
    return config


def _scripts(dsn: PostgresDsn) -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config(dsn))


def revisions(settings: Settings) -> list[str]:
    """Return the revisions of the schema that this version knows, the newest one first."""
    return [revision.revision for revision in _scripts(settings.postgres_migration).walk_revisions()]


def current_revision(dsn: PostgresDsn) -> str | None:
    """Return the revision of a database's schema; None where it is empty. Raises psycopg.OperationalError."""
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        return _current(connection)


def _current(connection: psycopg.Connection[Any]) -> str | None:
    there = connection.execute("SELECT to_regclass('alembic_version') AS there").fetchone()
    if _value(there) is None:
        return None
    revision: str | None = _value(connection.execute("SELECT version_num FROM alembic_version").fetchone())
    return revision


def _value(row: Any) -> Any:
    """Return a row's only column, however the connection gives rows."""
    return None if row is None else next(iter(row.values())) if isinstance(row, dict) else row[0]


def pending(settings: Settings) -> list[tuple[str, str]]:
    """Return the migrations that the database lacks, the oldest first: revision and title. Raises SchemaMismatch."""
    dsn = settings.postgres_migration
    scripts = _scripts(dsn)
    with psycopg.connect(dsn.libpq, autocommit=True) as connection:
        current = _current(connection)
        if _is_newer(connection, current, scripts):
            return []
    found = [(script.revision, _title(script.doc)) for script in scripts.iterate_revisions("heads", current or "base")]
    return found[::-1]


def _title(doc: str) -> str:
    return doc.splitlines()[0] if doc else ""


def _is_newer(connection: psycopg.Connection[Any], current: str | None, scripts: ScriptDirectory) -> bool:
    """Whether a newer version has migrated the database, and this one can work with it. Raises SchemaMismatch."""
    known = {script.revision for script in scripts.walk_revisions()}
    if current is None or current in known:
        return False
    there = _value(connection.execute("SELECT to_regclass('schema_floor') AS there").fetchone())
    floor = _value(connection.execute("SELECT oldest_code FROM schema_floor").fetchone()) if there else None
    if floor not in known:
        raise SchemaMismatch(
            f"the database is of a newer version (schema {current}), which this one can't work with: install that "
            "version, or bring back a backup of this one"
        )
    return True


def check_schema(settings: Settings) -> None:
    """Raise SchemaMismatch where this version can't work with the database; one that is away may come later."""
    dsn = settings.postgres_session
    scripts = _scripts(dsn)
    try:
        with psycopg.connect(dsn.libpq, autocommit=True, connect_timeout=5) as connection:
            current = _current(connection)
            if current == scripts.get_current_head() or _is_newer(connection, current, scripts):
                return
    except psycopg.OperationalError as away:
        log.warning("schema_not_checked", error=type(away).__name__)
        return
    told = f"is of an older version (schema {current})" if current else "is empty"
    raise SchemaMismatch(f"the database {told}: run `llama-service migrate` first")


def migrate(settings: Settings, on_applied: OnApplied | None = None) -> None:
    """Migrate the configured database up to head. Safe to repeat and to run from several processes at once.

    A database that a newer version has migrated is left as it is, where this version can work with it. Raises
    SchemaMismatch where it can't, SettingsError where the vector index is to be kept in it, and can't be.
    """
    dsn = settings.postgres_migration
    libpq = dsn.libpq
    with psycopg.connect(libpq, autocommit=True, row_factory=dict_row) as lock:
        _take(lock)
        try:
            current = _current(lock)
            if _is_newer(lock, current, _scripts(dsn)):
                log.warning("schema_is_newer", schema=current)
                return
            upgrade(dsn, "head", on_applied)
            PostgresSaver(lock).setup()
            _mend_indexes(lock)
            _set_up_queue(libpq)
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
    while not _value(connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (_LOCK,)).fetchone()):
        time.sleep(0.2)


def _mend_indexes(connection: psycopg.Connection[Any]) -> None:
    """Build anew what a migration left invalid that died while it built an index beside running work."""
    broken = connection.execute(
        "SELECT quote_ident(c.relname) AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    for name in map(_value, broken):
        log.warning("index_built_anew", index=name)
        connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.SQL(name)))


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
