"""Bring a database to this version's schema: ours by Alembic, then LangGraph's, the queue's and the index's own."""

from pathlib import Path

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from langgraph.checkpoint.postgres import PostgresSaver
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from psycopg.rows import dict_row

from llama_service.dsn import PostgresDsn
from llama_service.settings import Settings
from persistence.vectors import pgvector

log = structlog.get_logger(__name__)

# Two services that start together must not migrate together. Any number will do, as long as it stays the same.
_LOCK = 7_316_041_992


def alembic_config(dsn: PostgresDsn) -> Config:
    """Return Alembic's configuration for the database at `dsn`."""
    config = Config(Path(__file__).resolve().parent.parent / "alembic.ini")
    config.attributes["dsn"] = dsn
    return config


def revisions(settings: Settings) -> list[str]:
    """Return the revisions of the schema that this version knows, the newest one first."""
    script = ScriptDirectory.from_config(alembic_config(settings.postgres_migration))
    return [revision.revision for revision in script.walk_revisions()]


def migrate(settings: Settings) -> None:
    """Migrate the configured database up to head. Safe to repeat and to run from several processes at once.

    Raises SettingsError where the vector index is to be kept in it, and can't be.
    """
    dsn = settings.postgres_migration
    libpq = dsn.libpq
    with psycopg.connect(libpq, autocommit=True, row_factory=dict_row) as lock:
        lock.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            command.upgrade(alembic_config(dsn), "head")
            PostgresSaver(lock).setup()
            _set_up_queue(libpq)
            if settings.vector_engine == "pgvector":
                pgvector.set_up(lock, settings)
        finally:
            lock.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
    log.info("migrated")


def _set_up_queue(libpq: str) -> None:
    with psycopg.connect(libpq) as connection:
        found = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
    if found and found[0] is None:
        app = App(connector=PsycopgConnector(conninfo=libpq)).with_connector(SyncPsycopgConnector(conninfo=libpq))
        with app.open():
            app.schema_manager.apply_schema()
