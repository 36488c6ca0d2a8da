"""LangGraph's checkpoints in Postgres: the saver, over a pool of ours, and the pruning of old states."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.dsn import PostgresDsn
from persistence.serde import StrictSerializer
from persistence.session import DATABASE_AWAY

log = structlog.get_logger(__name__)

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

_WRITE_PATIENCE = 30.0  # seconds, as long as a pool is waited for
_AWAY: tuple[type[Exception], ...] = (*DATABASE_AWAY, psycopg.Error, PoolTimeout)
RETRY = 1.0  # seconds after which checkpoints that could not be written are tried again
_IDLE = 5.0  # seconds after which a connection is tested before it is used


class _NoLock(asyncio.Lock):
    """A lock that locks nothing: each call has a connection of its own from the pool."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _IdleCheck:
    """Tests a connection that was not used for a while, not before every statement."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[AsyncConnection[DictRow], float] = WeakKeyDictionary()

    async def __call__(self, connection: AsyncConnection[DictRow]) -> None:
        now = time.monotonic()
        if now - self._seen.get(connection, 0.0) > _IDLE:
            await AsyncConnectionPool.check_connection(connection)
        self._seen[connection] = now


def checkpoint_pool(dsn: PostgresDsn, size: int) -> Pool:
    """Return a closed pool for checkpoints; the lifespan opens it."""
    options: dict[str, Any] = {"autocommit": True, "row_factory": dict_row, **dsn.psycopg()}
    return AsyncConnectionPool(
        dsn.libpq,
        min_size=1,
        max_size=size,
        kwargs=options,
        open=False,
        check=_IdleCheck(),
        name="checkpoints",
    )


NO_CHECKPOINT = "none"
"""The base of a run that begins with an empty state."""

base_checkpoint: ContextVar[str | None] = ContextVar("base_checkpoint", default=None)
"""The checkpoint that the current run goes on from, where its thread has several branches."""

HELD_BACK = 0.1
"""Seconds that a run's checkpoints wait at most to be written together."""


class _Recorder:
    """Stands for a cursor: keeps the statements that LangGraph's saver makes of checkpoints."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any, Any]] = []

    async def execute(self, query: Any, values: Any) -> None:
        self.statements.append(("execute", query, values))

    async def executemany(self, query: Any, values: Any) -> None:
        self.statements.append(("executemany", query, values))


class RunCheckpoints:
    """The checkpoints of one run, written together instead of one by one.

    LangGraph hands them over beside the graph's execution: a turn has four, and what each node has returned. They are
    written when the first token is on its way, which they would hold up otherwise, before the run's end, and when
    somebody waits for one; else after a moment.
    """

    def __init__(self, saver: "BranchSaver", base: str | None) -> None:
        """Begin at the checkpoint `base`, which is written."""
        self.recorder = _Recorder()
        self._saver = saver
        self._written = {base}
        self._waiting: set[str] = set()
        self._error: BaseException | None = None
        self._is_closed = False
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, *checkpoint_ids: str) -> None:
        """Note that the recorder has checkpoints, or what a node has returned."""
        self._waiting.update(checkpoint_ids)
        self._changed.set()
        self._flush_within(HELD_BACK)

    def fail(self, error: BaseException) -> None:
        """Note that a checkpoint can't be had: LangGraph ends the run for it."""
        self._error = error
        self._changed.set()

    def flush_soon(self) -> None:
        """Write what waits, in a task of its own; what can't be written now is tried again."""
        self._end_timer()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush_or_retry(), name="checkpoints")
        else:  # which may have begun without the newest
            self._flush_within(HELD_BACK)

    async def close(self, *, drop: bool = False) -> None:
        """Write what waits, or drop it, and take nothing any more.

        What can't be written now never is: a state that is not there is rebuilt from the messages.
        """
        if not drop:
            try:
                await self.flush()
            except _AWAY as error:
                log.warning("checkpoints_not_written", error=type(error).__name__)
        self._is_closed = True
        self._end_timer()
        async with self._lock:  # what is just being written ends
            pass

    async def flush(self) -> None:
        """Write what waits. Raises what keeps it from that; it waits on then."""
        async with self._lock:
            self._end_timer()
            statements, self.recorder.statements = self.recorder.statements, []
            waiting, self._waiting = self._waiting, set()
            if self._is_closed or not statements:
                return
            try:
                async with self._saver.pipeline() as cursor:
                    for method, query, values in statements:
                        await getattr(cursor, method)(query, values)
            except BaseException:
                self.recorder.statements[:0] = statements
                self._waiting |= waiting
                raise
            else:
                self._written.update(waiting)
            finally:  # who waits for one of these looks again
                self._changed.set()

    async def wait(self, checkpoint_id: str) -> None:
        """Wait until a checkpoint is written. Raises what keeps it from that."""
        while checkpoint_id not in self._written:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            if self.recorder.statements:
                await self.flush()
            else:  # LangGraph has not handed it over yet
                await self._changed.wait()

    async def _flush_or_retry(self) -> None:
        try:
            await self.flush()
        except _AWAY as error:
            log.warning("checkpoints_not_written", error=type(error).__name__, retry_in=RETRY)
            self._flush_within(RETRY)

    def _flush_within(self, seconds: float) -> None:
        if self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.flush_soon)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


run_checkpoints: ContextVar[RunCheckpoints | None] = ContextVar("run_checkpoints", default=None)
"""The current run's checkpoints."""


async def wait_until_written(checkpoint_id: str) -> None:
    """Wait until a checkpoint of the current run is in Postgres.

    Raises what keeps it from there, TimeoutError where nothing comes: the stores are away.
    """
    if (states := run_checkpoints.get()) is not None:
        async with asyncio.timeout(_WRITE_PATIENCE):
            await states.wait(checkpoint_id)


class BranchSaver(AsyncPostgresSaver):
    """LangGraph's saver on a pool, for threads with several branches, with strict deserialisation.

    A thread's latest checkpoint is that of whichever branch was written last, so a run names the one that it goes on
    from, in `base_checkpoint`. (Named in the config, LangGraph reads the latest one too: two milliseconds before the
    first token.) The stock saver also holds one lock over all calls, even where each has its own connection
    (langgraph 7259); here turns do not wait for each other's checkpoints. And what a run writes is collected and
    written together (`RunCheckpoints`).
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, serde=StrictSerializer())
        self.lock = _NoLock()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that the config names, else the base of the current run, else the thread's latest."""
        base = base_checkpoint.get()
        if base is None or "checkpoint_id" in config["configurable"]:
            return await super().aget_tuple(config)
        if base == NO_CHECKPOINT:
            return None
        return await super().aget_tuple({"configurable": {**config["configurable"], "checkpoint_id": base}})

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Take a checkpoint; LangGraph calls this beside the graph's execution."""
        states = run_checkpoints.get()
        try:
            taken = await super().aput(config, checkpoint, metadata, new_versions)
        except BaseException as error:
            if states is not None:
                states.fail(error)
            raise
        if states is not None:
            states.note(checkpoint["id"])
        return taken

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Take what a task has returned; LangGraph calls this beside the graph's execution."""
        await super().aput_writes(config, writes, task_id, task_path)
        if (states := run_checkpoints.get()) is not None:
            states.note()

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[Any]:
        """Yield the cursor of a connection, or what stands for it where the current run's checkpoints are collected."""
        states = run_checkpoints.get()
        if states is not None and pipeline:
            yield states.recorder
        else:
            async with super()._cursor(pipeline=pipeline) as cursor:
                yield cursor

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncCursor[DictRow]]:
        """Yield the cursor of a connection in pipeline mode: its statements go out together, and hold together."""
        async with super()._cursor(pipeline=True) as cursor:
            yield cursor


_TABLES = ("checkpoints", "checkpoint_writes", "checkpoint_blobs")


async def delete_threads(session: AsyncSession, thread_ids: Sequence[str]) -> None:
    """Delete all checkpoints of threads."""
    for table in _TABLES:
        await session.execute(
            text(f"DELETE FROM {table} WHERE thread_id = ANY(:ids)"),  # noqa: S608  (a name of our own)
            {"ids": list(thread_ids)},
        )


async def count_of_threads(session: AsyncSession, thread_ids: Sequence[str]) -> int:
    """Return how many checkpoints threads have."""
    query = text("SELECT count(*) FROM checkpoints WHERE thread_id = ANY(:ids)")
    return int(await session.scalar(query, {"ids": list(thread_ids)}) or 0)


# Kept are the states after the newest answers, and the newest states whatever they are of. What is pruned is rebuilt
# from the messages when a question is asked below it. A thread with an open run is left alone: the run may need them.
_PRUNE = text(
    """
    WITH idle AS (
        SELECT thread AS id FROM unnest(CAST(:threads AS text[])) AS thread
        WHERE NOT EXISTS (
            SELECT FROM runs WHERE runs.conversation_id = thread::uuid AND runs.status IN ('running', 'waiting')
        )
    ), ranked AS (
        SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, m.id IS NOT NULL AS answer,
               row_number() OVER (
                   PARTITION BY c.thread_id, c.checkpoint_ns, m.id IS NOT NULL ORDER BY c.checkpoint_id DESC
               ) AS age
        FROM checkpoints c JOIN idle ON idle.id = c.thread_id
        LEFT JOIN messages m ON m.conversation_id = c.thread_id::uuid AND m.checkpoint_id = c.checkpoint_id
    ), gone AS (
        DELETE FROM checkpoints c USING ranked r
        WHERE r.age > CASE WHEN r.answer THEN CAST(:answers AS int) ELSE CAST(:others AS int) END
          AND (c.thread_id, c.checkpoint_ns, c.checkpoint_id) = (r.thread_id, r.checkpoint_ns, r.checkpoint_id)
        RETURNING c.thread_id, c.checkpoint_ns, c.checkpoint_id
    ), writes AS (
        DELETE FROM checkpoint_writes w USING gone g
        WHERE (w.thread_id, w.checkpoint_ns, w.checkpoint_id) = (g.thread_id, g.checkpoint_ns, g.checkpoint_id)
    )
    SELECT DISTINCT thread_id FROM gone
    """
)

# A blob is named by channel and version; what no checkpoint refers to any more can go.
_PRUNE_BLOBS = text(
    """
    DELETE FROM checkpoint_blobs b
    WHERE b.thread_id = ANY(CAST(:threads AS text[])) AND NOT EXISTS (
        SELECT FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
          AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
    ) AND NOT EXISTS (
        SELECT FROM runs WHERE runs.conversation_id = b.thread_id::uuid AND runs.status IN ('running', 'waiting')
    )
    """
)


# Takes the run's id; a thread may have other runs at the same time.
_DELETE_RUN = text(
    """
    WITH gone AS (
        DELETE FROM checkpoints WHERE thread_id = :thread AND metadata ->> 'run' = :run RETURNING checkpoint_id
    )
    DELETE FROM checkpoint_writes w USING gone g WHERE w.thread_id = :thread AND w.checkpoint_id = g.checkpoint_id
    """
)


async def delete_run(session: AsyncSession, thread_id: str, run_id: str) -> None:
    """Delete the checkpoints of a run whose question could not be written."""
    await session.execute(_DELETE_RUN, {"thread": thread_id, "run": run_id})
    await session.execute(_PRUNE_BLOBS, {"threads": [thread_id]})


async def prune_threads(session: AsyncSession, threads: Sequence[str], *, answers: int, others: int) -> None:
    """Keep the states after the newest `answers` answers of each thread and its newest `others` other states."""
    pruned = await session.execute(_PRUNE, {"threads": list(threads), "answers": answers, "others": others})
    if changed := [row.thread_id for row in pruned]:
        await session.execute(_PRUNE_BLOBS, {"threads": changed})


async def delete_orphans(session: AsyncSession) -> None:
    """Delete checkpoints of conversations that are gone: a run may write some behind a deletion."""
    for table in _TABLES:
        await session.execute(
            text(f"DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM conversations c WHERE c.id::text = t.thread_id)")  # noqa: S608
        )


async def is_elected_to_prune(session: AsyncSession) -> bool:
    """Whether this transaction is the one that may look through all checkpoints now; one process is enough."""
    query = text("SELECT pg_try_advisory_xact_lock(hashtextextended('prune checkpoints', 0))")
    return bool(await session.scalar(query))
