"""The vector index in Postgres itself, by its extension pgvector. See docs/decisions/0028.

A table for each embedding model and dimension, in a schema of its own, which backups leave out. Vectors are kept in
half precision: half the bytes, and graphs (HNSW) of up to 4,000 dimensions.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import numpy as np
import orjson
import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import scalar_row

from llama_service.errors import DependencyUnavailable
from llama_service.settings import Settings, SettingsError
from persistence.session import Database, RawConnection, Statement
from persistence.vectors.port import IndexedPassage, VectorHit, slug

log = structlog.get_logger(__name__)

SCHEMA: Final = "vector_index"
EXTENSION: Final = "vector"
_OLDEST: Final = (0, 8)  # scans that go on while a filter keeps rows out
_WIDEST_EXACT: Final = 50_000
"""Passages of a scope that are compared one by one (measured: docs/decisions/0028)."""
_GRAPH_DIMENSIONS: Final = 4_000  # pgvector's limit for half-precision vectors
_ROWS: Final = 250  # in a statement

_TABLES = Statement(
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"  # noqa: S608
    f" WHERE n.nspname = '{SCHEMA}' AND c.relkind = 'r' ORDER BY c.relname"
)
_READY = Statement(
    f"SELECT to_regtype('halfvec') IS NOT NULL AND has_schema_privilege(to_regnamespace('{SCHEMA}'), 'CREATE') AS ready"
)
# One process at a time makes a table: "IF NOT EXISTS" alone can still collide in the catalogue.
_LOCK = Statement(f"SELECT pg_advisory_xact_lock(hashtextextended('{SCHEMA}', 0))")
# A graph is walked on until enough passages are of the scope, within bounds of time and memory.
WALK = Statement(
    "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '400', true),"
    " set_config('hnsw.max_scan_tuples', '50000', true), set_config('hnsw.scan_mem_multiplier', '4', true),"
    " set_config('enable_sort', 'off', true)"
)


# No right to make it, or nothing there to make it of (as Postgres 15 and newer, and older ones say it).
_REFUSED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.UndefinedFile,
)


def set_up(connection: psycopg.Connection[Any], settings: Settings) -> None:
    """Make the extension and the schema, for the role that the service connects as. Safe to repeat.

    Raises SettingsError, with what an administrator of the database has to do.
    """
    try:
        connection.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}")
        # "IF NOT EXISTS" would ask for the right to make one also where an administrator has made it.
        if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (SCHEMA,)).fetchone() is None:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
    except _REFUSED as refused:
        raise SettingsError(
            f"VECTOR_STORE=pgvector: {str(refused).partition(chr(10))[0]}. Install pgvector on the database's server "
            f"where it is absent, and let its administrator run: CREATE EXTENSION {EXTENSION}; CREATE SCHEMA {SCHEMA} "
            "AUTHORIZATION <the service's role>;"
        ) from None
    with connection.cursor(row_factory=scalar_row) as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = %s", (EXTENSION,))
        version = str(cursor.fetchone())
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise SettingsError(
            f"VECTOR_STORE=pgvector: pgvector {version} is too old, {oldest} is needed: install it on the database's "
            f"server, then run: ALTER EXTENSION {EXTENSION} UPDATE;"
        )
    role, own = (conninfo_to_dict(dsn.libpq).get("user") for dsn in (settings.postgres, settings.postgres_migration))
    if role and role != own:
        connection.execute(
            sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(sql.Identifier(SCHEMA), sql.Identifier(str(role)))
        )


class PgvectorIndex:
    """A VectorIndex in tables of the service's own database.

    Scopes of up to 50,000 passages are compared one by one, which misses nothing; wider ones walk a graph.
    """

    engine = "pgvector"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, model: str, passages: Sequence[IndexedPassage]) -> None:
        """Write passages; what is there already and the same is left as it is."""
        if not passages:
            return
        dimension = len(passages[0].vector)
        table = table_name(model, dimension)
        write = Statement(
            f"INSERT INTO {SCHEMA}.{table} AS kept (passage_id, file_id, position, embedding)"  # noqa: S608
            " SELECT id, file, at, made::halfvec FROM unnest(CAST(:ids AS uuid[]), CAST(:files AS uuid[]),"
            " CAST(:positions AS int[]), CAST(:vectors AS text[])) AS new (id, file, at, made) ORDER BY id"
            " ON CONFLICT (passage_id) DO UPDATE SET file_id = excluded.file_id, position = excluded.position,"
            " embedding = excluded.embedding WHERE (kept.file_id, kept.position, kept.embedding)"
            " IS DISTINCT FROM (excluded.file_id, excluded.position, excluded.embedding)"
        )
        for begin in range(0, len(passages), _ROWS):
            rows = await asyncio.to_thread(_columns, passages[begin : begin + _ROWS])
            try:
                async with self._asking() as connection:
                    await connection.rows(write, rows)
            except _Absent:
                await self._make(table, dimension)
                async with self._asking() as connection:
                    await connection.rows(write, rows)

    async def near(
        self, model: str, vector: Sequence[float], *, file_ids: Sequence[UUID], size: int, count: int
    ) -> list[VectorHit]:
        """Return the nearest passages: of up to 50,000 exactly, of more by the graph."""
        if not file_ids:
            return []
        values = {"vector": _text_of(vector), "files": list(file_ids), "count": count}
        table = table_name(model, len(vector))
        try:
            if size > _WIDEST_EXACT and len(vector) <= _GRAPH_DIMENSIONS:
                rows = await self._walk(table, values)
                if len(rows) >= min(count, size):
                    return _hits(rows)
                # The graph reaches some passages from nowhere.
            async with self._asking(transaction=False) as connection:
                return _hits(await connection.rows(nearest(table, by_graph=False), values))
        except _Absent:
            return []

    async def _walk(self, table: str, values: dict[str, Any]) -> list[Any]:
        async with self._asking() as connection:
            await connection.rows(WALK, {})
            return await connection.rows(nearest(table, by_graph=True), values)

    async def remove(self, file_ids: Sequence[UUID]) -> None:
        """Delete files' passages from each table."""
        for table in await self._tables():
            delete = Statement(f"DELETE FROM {SCHEMA}.{table} WHERE file_id = ANY(CAST(:files AS uuid[]))")  # noqa: S608
            await self._rows_of(delete, {"files": list(file_ids)})

    async def counts(self) -> dict[str, int]:
        """Return how many passages each table has."""
        counts = {}
        for table in await self._tables():
            rows = await self._rows_of(Statement(f"SELECT count(*) AS count FROM {SCHEMA}.{table}"), {})  # noqa: S608
            counts[table] = sum(int(row["count"]) for row in rows)
        return counts

    async def file_count(self, file_id: UUID) -> int:
        """Return how many passages of a file the tables have."""
        count = 0
        for table in await self._tables():
            query = Statement(f"SELECT count(*) AS count FROM {SCHEMA}.{table} WHERE file_id = CAST(:file AS uuid)")  # noqa: S608
            count += sum(int(row["count"]) for row in await self._rows_of(query, {"file": file_id}))
        return count

    async def file_counts(self) -> dict[UUID, int]:
        """Return how many passages of each file the tables have."""
        counts: dict[UUID, int] = {}
        for table in await self._tables():
            query = Statement(f"SELECT file_id, count(*) AS count FROM {SCHEMA}.{table} GROUP BY file_id")  # noqa: S608
            for row in await self._rows_of(query, {}):
                file_id = UUID(bytes=row["file_id"].bytes)
                counts[file_id] = counts.get(file_id, 0) + int(row["count"])
        return counts

    async def drop(self) -> None:
        """Delete the tables."""
        for table in await self._tables():
            await self._rows_of(Statement(f"DROP TABLE IF EXISTS {SCHEMA}.{table}"), {})

    async def ping(self) -> None:
        """Ask whether the extension and the schema are there."""
        async with self._asking(transaction=False) as connection:
            row = await connection.row(_READY, {})
        if row is None or not row["ready"]:
            raise DependencyUnavailable("The database is not set up for pgvector: run `llama-service migrate`.")

    async def close(self) -> None:
        """Do nothing: the connections are the database's."""

    async def _tables(self) -> list[str]:
        async with self._asking(transaction=False) as connection:
            return [row["relname"] for row in await connection.rows(_TABLES, {})]

    async def _rows_of(self, statement: Statement, values: dict[str, Any]) -> list[Any]:
        """Run a statement on one table; nothing is found in one that was dropped meanwhile."""
        try:
            async with self._asking(transaction=False) as connection:
                return await connection.rows(statement, values)
        except _Absent:
            return []

    async def _make(self, table: str, dimension: int) -> None:
        kept = f"{SCHEMA}.{table}"
        statements = [
            f"CREATE TABLE IF NOT EXISTS {kept} (passage_id uuid PRIMARY KEY, file_id uuid NOT NULL,"
            f" position integer NOT NULL, embedding halfvec({dimension}) NOT NULL)",
            f"CREATE INDEX IF NOT EXISTS {table}_file ON {kept} (file_id)",
        ]
        if dimension <= _GRAPH_DIMENSIONS:
            # In the row and not beside it: each comparison reads it.
            statements.append(f"ALTER TABLE {kept} ALTER COLUMN embedding SET STORAGE PLAIN")
            statements.append(
                f"CREATE INDEX IF NOT EXISTS {table}_near ON {kept} USING hnsw (embedding halfvec_cosine_ops)"
                " WITH (m = 16, ef_construction = 200)"
            )
        async with self._asking() as connection:
            await connection.rows(_LOCK, {})
            for statement in statements:
                await connection.rows(Statement(statement), {})

    @asynccontextmanager
    async def _asking(self, *, transaction: bool = True) -> AsyncIterator[RawConnection]:
        """Yield a connection; raise _Absent where a table is missing, DependencyUnavailable for all else."""
        try:
            async with self._database.raw(transaction=transaction) as connection:
                yield connection
        except asyncpg.UndefinedTableError as absent:
            raise _Absent from absent
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("vector_index_failed", engine=self.engine, error=type(error).__name__)
            raise DependencyUnavailable("The vector index can't be asked.") from error


class _Absent(Exception):
    """Nobody has written vectors of that model and dimension."""


def table_name(model: str, dimension: int) -> str:
    """Return the name of the table for a model's vectors, which is an identifier as it stands."""
    return f"of_{slug(model).replace('-', '_')}_{dimension}"


def nearest(table: str, *, by_graph: bool) -> Statement:
    """Return the search in a table: by its graph (after `WALK`, in its transaction), or by comparing one by one."""
    # In a query of its own, which is run once: in a plan for any parameters the text would be read for each row.
    distance = "embedding <=> (SELECT CAST(CAST(:vector AS text) AS halfvec))"
    # With something added it is an order that the graph can't give.
    order = distance if by_graph else f"({distance}) + 0"
    return Statement(
        f"WITH found AS MATERIALIZED (SELECT file_id, position, {distance} AS distance FROM {SCHEMA}.{table}"  # noqa: S608
        f" WHERE file_id = ANY(CAST(:files AS uuid[])) ORDER BY {order} LIMIT CAST(:count AS int))"
        " SELECT file_id, position, distance FROM found ORDER BY distance"
    )


def _hits(rows: Sequence[Any]) -> list[VectorHit]:
    return [VectorHit(UUID(bytes=row["file_id"].bytes), row["position"], 1.0 - row["distance"]) for row in rows]


def _text_of(vector: Sequence[float]) -> str:
    return orjson.dumps(np.asarray(vector, np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _columns(passages: Sequence[IndexedPassage]) -> dict[str, list[Any]]:
    return {
        "ids": [passage.passage_id for passage in passages],
        "files": [passage.file_id for passage in passages],
        "positions": [passage.position for passage in passages],
        "vectors": [_text_of(passage.vector) for passage in passages],
    }
