"""LangGraph's checkpoints in Postgres: pooled, without the lock that would put all turns in one queue."""

import asyncio
import os
from types import TracebackType
from typing import Any

# Before LangGraph reads it: a forged blob must not become a call (see docs/decisions/0004).
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


class _NoLock(asyncio.Lock):
    """Locks nothing: each call has a connection of its own from the pool."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class PooledSaver(AsyncPostgresSaver):
    """AsyncPostgresSaver whose calls run side by side (langgraph 7259)."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(conn=pool)
        self.lock = _NoLock()


def checkpoint_pool(dsn: str, size: int) -> Pool:
    """Return a closed pool for checkpoints; the lifespan opens it."""
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    return AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=size,
        kwargs=options,
        open=False,
        check=AsyncConnectionPool.check_connection,
        name="checkpoints",
    )


_TABLES = ("checkpoints", "checkpoint_writes", "checkpoint_blobs")


async def forget(session: AsyncSession, thread_ids: list[str]) -> None:
    """Delete all checkpoints of threads."""
    for table in _TABLES:
        await session.execute(text(f"DELETE FROM {table} WHERE thread_id = ANY(:ids)"), {"ids": thread_ids})  # noqa: S608


async def size(session: AsyncSession) -> int:
    """Return the bytes that checkpoints take on disk."""
    total = 0
    for table in _TABLES:
        total += int(
            await session.scalar(text("SELECT pg_total_relation_size(CAST(:t AS regclass))"), {"t": table}) or 0
        )
    return total


_PRUNE = text(
    """
    WITH ranked AS (
        SELECT thread_id, checkpoint_ns, checkpoint_id,
               row_number() OVER (PARTITION BY thread_id, checkpoint_ns ORDER BY checkpoint_id DESC) AS age
        FROM checkpoints
    ), gone AS (
        DELETE FROM checkpoints c USING ranked r
        WHERE r.age > :keep AND (c.thread_id, c.checkpoint_ns, c.checkpoint_id)
              = (r.thread_id, r.checkpoint_ns, r.checkpoint_id)
        RETURNING c.thread_id, c.checkpoint_ns, c.checkpoint_id
    ), writes AS (
        DELETE FROM checkpoint_writes w USING gone g
        WHERE (w.thread_id, w.checkpoint_ns, w.checkpoint_id) = (g.thread_id, g.checkpoint_ns, g.checkpoint_id)
    )
    SELECT count(*) FROM gone
    """
)

# A blob is named by channel and version; what no checkpoint that is left refers to can go.
_PRUNE_BLOBS = text(
    """
    DELETE FROM checkpoint_blobs b
    WHERE NOT EXISTS (
        SELECT FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
          AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
    ) AND NOT EXISTS (
        SELECT FROM runs WHERE runs.status = 'running' AND runs.conversation_id::text = b.thread_id
    )
    """
)


async def prune(session: AsyncSession, keep: int) -> int:
    """Keep the newest `keep` checkpoints of each thread; return how many went."""
    gone = int(await session.scalar(_PRUNE, {"keep": keep}) or 0)
    if gone:
        await session.execute(_PRUNE_BLOBS)
    return gone
