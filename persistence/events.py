"""The event log: the events of this process's runs, written in small batches and announced to other processes.

An event goes to readers only after Postgres has it: nobody ever sees what a later replay does not know.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
import orjson
import structlog

from llama_service.dsn import PostgresDsn
from llama_service.metrics import EVENT_WRITE_SECONDS
from llama_service.tasks import end_task
from persistence.session import Database, Statement

log = structlog.get_logger(__name__)

PACE = 0.02  # seconds between two writes: some tokens share one statement, nobody sees the difference
BUSY_PACE = 0.05  # the same where many runs speak at once
BUSY = 3  # runs in a batch
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_ANNOUNCED_AT_ONCE = 200  # ids of 36 characters; a notification holds 8,000 bytes


TEXT: Final = "chunk"
REASONING: Final = "reasoning"
_LAST: Final = ("done", "error")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run. `seq` counts from 1; `line` is one line of JSON that repeats the name as `type`."""

    seq: int
    name: str
    line: str

    @classmethod
    def of(cls, seq: int, name: str, data: dict[str, Any]) -> "RunEvent":
        """Return an event; its data is encoded here, once."""
        return cls(seq, name, event_line(name, data))

    @property
    def data(self) -> dict[str, Any]:
        """The decoded line."""
        decoded: dict[str, Any] = orjson.loads(self.line)
        return decoded

    @property
    def is_last(self) -> bool:
        """Whether the run has ended with this event."""
        return self.name in _LAST


def event_line(name: str, data: dict[str, Any]) -> str:
    """Return an event's data as one line of JSON."""
    return orjson.dumps({"type": name, **data}, default=str).decode()


class EventSource(Protocol):
    """A run's events of this process, on their way into the log."""

    run_id: UUID

    def take(self) -> Sequence[RunEvent]:
        """Hand over the events that are not written yet."""
        ...

    def committed(self, events: Sequence[RunEvent]) -> None:
        """Hear that Postgres has these events."""
        ...

    def lost(self, events: Sequence[RunEvent]) -> None:
        """Hear that Postgres has lost what stood before these events, and did not take them."""
        ...

    def detach(self) -> None:
        """Hear that the run is not this worker's any more."""
        ...


# A run that another worker has ended, or has just claimed (FOR UPDATE), takes no more events from this one. Waiting for
# the disk would cost every token its time, so a crash of the *database* loses the last moments of a text: always its
# end, never a part of its middle. Whether the event before a batch is there tells whether that has happened since.
_APPEND = Statement(
    """
    WITH without_waiting AS MATERIALIZED (
        SELECT set_config('synchronous_commit', 'off', true)
    ), new AS (
        SELECT * FROM unnest(CAST(:runs AS uuid[]), CAST(:seqs AS int[]), CAST(:names AS varchar[]),
                             CAST(:lines AS text[])) AS e (run_id, seq, event, data)
    ), mine AS (
        SELECT runs.id, first.seq = 1 OR EXISTS (
            SELECT FROM run_events e WHERE e.run_id = runs.id AND e.seq = first.seq - 1
        ) AS is_joined
        FROM unnest(CAST(:ids AS uuid[]), CAST(:firsts AS int[])) AS first (id, seq) JOIN runs ON runs.id = first.id
        WHERE runs.status = 'running' AND runs.worker = :worker
        FOR KEY SHARE OF runs
    ), written AS (
        INSERT INTO run_events SELECT new.* FROM new JOIN mine ON mine.id = new.run_id AND mine.is_joined
        ON CONFLICT (run_id, seq) DO NOTHING
    )
    SELECT mine.id, mine.is_joined FROM mine, without_waiting
    """
)
# Other processes hear of a batch when this one's readers have it: announcing takes as long as a small write.
_ANNOUNCE = Statement("SELECT pg_notify('run_events', announced) FROM unnest(CAST(:announced AS text[])) AS announced")
_PATIENCE = 10.0  # seconds; a batch that hangs would stop every run's events; it is written again, under its numbers


class EventLog:
    """Collects events of all runs and appends them; one writer, one statement a batch."""

    def __init__(self, database: Database, worker: UUID) -> None:
        self._database = database
        self._worker = worker
        self._dirty: dict[UUID, EventSource] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0.0
        self._touched = 0.0  # when the first of the events that wait was noted
        self._pace = PACE
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_forever(), name="event-log")

    async def close(self) -> None:
        """Write what waits, then stop."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.drain(), 5)
        await end_task(self._task)

    def touch(self, source: EventSource, *, at_once: bool = False) -> None:
        """Note that `source` has something to write; `at_once` skips the pace (a first token)."""
        if not self._dirty:
            self._touched = time.perf_counter()
        self._dirty[source.run_id] = source
        self._idle.clear()
        if at_once:
            self._wake.set()
        elif self._timer is None and not self._wake.is_set():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._written + self._pace), self._wake.set)

    async def drain(self) -> None:
        """Wait until everything noted so far is in Postgres."""
        while not self._idle.is_set():
            self._wake.set()
            await self._idle.wait()

    async def _write_forever(self) -> None:
        delay = 0.1
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            (sources, self._dirty), touched = (self._dirty, {}), self._touched
            batch = {source: events for source in sources.values() if (events := source.take())}
            while batch:
                try:
                    await self._append(batch)
                    EVENT_WRITE_SECONDS.observe(time.perf_counter() - touched)
                    delay = 0.1
                    break
                except _LOST as error:
                    log.warning("events_not_written", error=type(error).__name__, retry_in=round(delay, 1))
                except Exception:
                    # Whatever it is (uvloop raises RuntimeError on a dead transport): all runs hang on this task.
                    log.exception("events_not_written")
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
            await self._announce([source.run_id for source in batch])
            self._written = asyncio.get_running_loop().time()
            self._pace = BUSY_PACE if len(batch) >= BUSY else PACE
            if not self._dirty:
                self._idle.set()

    async def _append(self, batch: dict[EventSource, Sequence[RunEvent]]) -> None:
        runs: list[UUID] = []
        events: list[RunEvent] = []
        for source, new in batch.items():
            runs += [source.run_id] * len(new)
            events += new
        values = {
            "runs": runs,
            "seqs": [event.seq for event in events],
            "names": [event.name for event in events],
            "lines": [event.line for event in events],
            "ids": [source.run_id for source in batch],
            "firsts": [new[0].seq for new in batch.values()],
            "worker": self._worker,
        }
        async with asyncio.timeout(_PATIENCE), self._database.raw(transaction=False) as connection:
            mine = {row["id"]: row["is_joined"] for row in await connection.rows(_APPEND, values)}
        for source, new in batch.items():
            if source.run_id not in mine:
                source.detach()
            elif mine[source.run_id]:
                source.committed(new)
            else:
                log.warning("events_lost_by_database", run_id=str(source.run_id), before=new[0].seq)
                source.lost(new)
                self.touch(source, at_once=True)

    async def _announce(self, ids: Sequence[UUID]) -> None:
        """Notify other processes of new events of these runs; a reader that misses it looks again after a while."""
        if not ids:
            return
        announced = [
            ",".join(map(str, ids[start : start + _ANNOUNCED_AT_ONCE]))
            for start in range(0, len(ids), _ANNOUNCED_AT_ONCE)
        ]
        try:
            async with asyncio.timeout(_PATIENCE), self._database.raw(transaction=False) as connection:
                await connection.rows(_ANNOUNCE, {"announced": announced})
        except _LOST as error:
            log.warning("events_not_announced", error=type(error).__name__)
        except Exception:
            # The events are written; all runs hang on this task.
            log.exception("events_not_announced")


class Listener:
    """Hears of other processes' events and of runs that shall stop, through one connection."""

    def __init__(self, dsn: PostgresDsn, on_control: Callable[[UUID], None]) -> None:
        self._dsn = dsn
        self._on_control = on_control
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen_forever(), name="event-listener")

    async def close(self) -> None:
        """Stop listening."""
        await end_task(self._task)

    @contextlib.asynccontextmanager
    async def subscribed(self, run_id: UUID) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever the run has new events."""
        heard = asyncio.Event()
        key = str(run_id)
        self._waiting.setdefault(key, set()).add(heard)
        try:
            yield heard
        finally:
            self._waiting[key].discard(heard)
            if not self._waiting[key]:
                del self._waiting[key]

    def _on_events(self, _: object, __: int, ___: str, payload: object) -> None:
        if self._waiting:
            for run in str(payload).split(","):
                for heard in self._waiting.get(run, ()):
                    heard.set()

    def _on_stop(self, _: object, __: int, ___: str, payload: object) -> None:
        self._on_control(UUID(str(payload)))

    def wake_all(self) -> None:
        """Have everybody look who waits for events."""
        for waiting in self._waiting.values():
            for heard in waiting:
                heard.set()

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except _LOST as error:
                log.warning("listener_lost", error=type(error).__name__)
            except Exception:
                log.exception("listener_lost")
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(**self._dsn.asyncpg(application_name="llama-service listener"))
        try:
            await connection.add_listener("run_events", self._on_events)
            await connection.add_listener("run_control", self._on_stop)
            # What was announced while nobody listened is found by looking.
            self.wake_all()
            while True:
                await asyncio.sleep(5)
                await connection.execute("SELECT 1", timeout=5)
        finally:
            with contextlib.suppress(OSError, asyncpg.InterfaceError):
                connection.terminate()
