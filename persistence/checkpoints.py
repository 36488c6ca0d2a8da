"""LangGraph's checkpoints in Postgres: pooled, without the lock that would put all turns in one queue."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from persistence.serde import StrictSerializer

log = structlog.get_logger(__name__)

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

fresh: ContextVar[bool] = ContextVar("fresh", default=False)
"""Set for a turn whose input replaces the whole state: it needs nothing of the thread's last checkpoint."""


@dataclass(slots=True)
class Hold:
    """Whether a run's checkpoints may be written: not before its question is kept, and never where that failed."""

    kept: bool = False
    dropped: bool = False


held: ContextVar[Hold | None] = ContextVar("held", default=None)
"""The hold on what the current run writes; none for whoever else writes."""

_MOMENT = 0.05  # seconds that writes wait for company
_TRIES = 5
_IDLE = 5.0  # seconds after which a connection is looked at before it is used


class _NoLock(asyncio.Lock):
    """Locks nothing: each call has a connection of its own from the pool."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class PooledSaver(AsyncPostgresSaver):
    """AsyncPostgresSaver that writes behind: no turn waits for its checkpoints (langgraph 7259).

    Writes are collected for a moment and go out together, in order, in one pipeline. Who reads a thread gets what was
    written to it before. A killed process loses the last moments of checkpoints, not of conversations: those are in the
    message tables.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(conn=pool, serde=StrictSerializer())
        self.lock = _NoLock()
        self._pool = pool
        self._waiting: list[_Write] = []
        self._threads: set[str] = set()
        self._flushing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Note a checkpoint to be written; see the base class for the arguments."""
        place = config["configurable"]
        thread, space = str(place["thread_id"]), place["checkpoint_ns"]
        values = checkpoint["channel_values"]
        inline = {name: value for name, value in values.items() if isinstance(value, str | int | float | bool | None)}
        blobs = {name: value for name, value in values.items() if name not in inline}
        versions = {name: version for name, version in new_versions.items() if name in blobs}
        told = get_serializable_checkpoint_metadata(config, metadata)
        kept = {**checkpoint, "channel_values": inline}
        row = (thread, space, checkpoint["id"], place.get("checkpoint_id"), Jsonb(kept), Jsonb(told))
        hold = held.get()
        writes = [_Write(thread, self.UPSERT_CHECKPOINTS_SQL, lambda: [row], hold)]
        if versions:
            blob_rows = partial(self._dump_blobs, thread, space, blobs, versions)
            writes.insert(0, _Write(thread, self.UPSERT_CHECKPOINT_BLOBS_SQL, blob_rows, hold))
        self._note(thread, writes)
        return {"configurable": {"thread_id": thread, "checkpoint_ns": space, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Note a task's writes to be written; see the base class for the arguments."""
        place = config["configurable"]
        thread, space, checkpoint = str(place["thread_id"]), place["checkpoint_ns"], place["checkpoint_id"]
        known = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        query = self.UPSERT_CHECKPOINT_WRITES_SQL if known else self.INSERT_CHECKPOINT_WRITES_SQL
        rows = partial(self._dump_writes, thread, space, checkpoint, task_id, task_path, writes)
        self._note(thread, [_Write(thread, query, rows, held.get())])

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, behind whatever was noted for its thread; none for a turn that begins afresh."""
        if fresh.get() and "checkpoint_id" not in config["configurable"]:
            return None
        if str(config["configurable"]["thread_id"]) in self._threads or self._flushing.locked():
            await self.drain()
        return await super().aget_tuple(config)

    async def alist(self, config: RunnableConfig | None, **options: Any) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, newest first, behind whatever was noted."""
        await self.drain()
        async for found in super().alist(config, **options):
            yield found

    def _note(self, thread: str, writes: list["_Write"]) -> None:
        self._waiting += writes
        self._threads.add(thread)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush_soon(), name="checkpoints")

    async def _flush_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(_MOMENT)
            await self.drain()

    async def drain(self) -> None:
        """Write what was noted. What can't be written is given up after some tries, and the log says so."""
        await asyncio.shield(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        async with self._flushing:
            waiting = [write for write in self._waiting if write.hold is None or not write.hold.dropped]
            writes = [write for write in waiting if write.hold is None or write.hold.kept]
            self._waiting = [write for write in waiting if write.hold is not None and not write.hold.kept]
            threads, self._threads = self._threads, {write.thread for write in self._waiting}
            for attempt in range(1, _TRIES + 1):
                try:
                    await self._write(writes)
                    return
                except (psycopg.Error, PoolTimeout, OSError) as error:
                    log.warning("checkpoints_not_written", error=type(error).__name__, attempt=attempt)
                    await asyncio.sleep(_MOMENT * 4**attempt)
            log.error("checkpoints_given_up", threads=len(threads), writes=len(writes))

    async def _write(self, writes: Sequence["_Write"]) -> None:
        if not writes:
            return
        # Values are turned into bytes here, not while somebody waits for a first token.
        ready = await asyncio.to_thread(lambda: [(write.query, write.rows()) for write in writes])
        async with (
            self._pool.connection() as connection,
            connection.pipeline(),
            connection.cursor(binary=True) as cursor,
        ):
            for query, rows in ready:
                await cursor.executemany(query, rows)


@dataclass(frozen=True, slots=True)
class _Write:
    thread: str
    query: str
    rows: Callable[[], Sequence[Any]]
    hold: Hold | None


class _IdleCheck:
    """Looks whether a connection is alive where it was not used for a while: not before every statement."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[AsyncConnection[DictRow], float] = WeakKeyDictionary()

    async def __call__(self, connection: AsyncConnection[DictRow]) -> None:
        now = time.monotonic()
        if now - self._seen.get(connection, 0.0) > _IDLE:
            await AsyncConnectionPool.check_connection(connection)
        self._seen[connection] = now


def checkpoint_pool(dsn: str, size: int) -> Pool:
    """Return a closed pool for checkpoints; the lifespan opens it."""
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    return AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=size,
        kwargs=options,
        open=False,
        check=_IdleCheck(),
        name="checkpoints",
    )


_TABLES = ("checkpoints", "checkpoint_writes", "checkpoint_blobs")


async def forget(session: AsyncSession, thread_ids: list[str]) -> None:
    """Delete all checkpoints of threads."""
    for table in _TABLES:
        await session.execute(text(f"DELETE FROM {table} WHERE thread_id = ANY(:ids)"), {"ids": thread_ids})  # noqa: S608


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


async def take_turn(session: AsyncSession) -> bool:
    """Whether this transaction is the one that may look through all checkpoints now; one process is enough."""
    query = text("SELECT pg_try_advisory_xact_lock(hashtextextended('prune checkpoints', 0))")
    return bool(await session.scalar(query))


async def forget_orphans(session: AsyncSession) -> None:
    """Delete checkpoints of conversations that are gone: they may be written behind a deletion."""
    for table in _TABLES:
        await session.execute(
            text(f"DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM conversations c WHERE c.id::text = t.thread_id)")  # noqa: S608
        )
