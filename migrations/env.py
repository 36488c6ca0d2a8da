"""How Alembic reaches the database: the address comes from `persistence.migrate`, or from the settings."""

from typing import Any

import psycopg
from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from llama_service.settings import load_settings
from persistence.tables import Base

# Tables of LangGraph's checkpointer and of the queue, which set themselves up.
FOREIGN_PREFIXES = ("checkpoint", "procrastinate_")


def _ours(name: str | None, kind: str, parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith(FOREIGN_PREFIXES))


def _connect() -> psycopg.Connection[Any]:
    dsn = context.config.attributes.get("dsn") or load_settings().postgres_migration
    return psycopg.connect(dsn.libpq)


# psycopg reads the operator's string itself: SQLAlchemy knows less of it.
engine = create_engine("postgresql+psycopg://", creator=_connect, poolclass=NullPool, hide_parameters=True)
with engine.connect() as connection:
    if seconds := context.config.attributes.get("lock_seconds"):
        connection.exec_driver_sql(f"SET lock_timeout = '{seconds}s'")
        connection.commit()
    on_applied = context.config.attributes.get("on_applied")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=_ours,
        compare_type=True,
        compare_server_default=False,
        transaction_per_migration=True,
        on_version_apply=on_applied,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
