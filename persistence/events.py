"""The event log: what every run of this process says, written in small batches and announced to other processes.

An event goes to readers only after Postgres has it, so that nobody ever saw what a later replay does not know.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog

from llama_service.tasks import end_task
from persistence.session import PlainConnection

log = structlog.get_logger(__name__)

PACE = 0.02  # seconds between two writes: some tokens share one statement, nobody sees the difference
BUSY_PACE = 0.05  # the same where many runs speak at once
BUSY = 3  # runs in a batch
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_ANNOUNCED_AT_ONCE = 200  # ids of 36 characters; a notification holds 8,000 bytes


class Channel(Protocol):
    """A run's events of this process, on their way."""

    run_id: UUID

    def take(self) -> Sequence[tuple[int, str, str]]:
        """Hand over the events that wait: number, name, line of JSON."""
        ...

    def committed(self, events: Sequence[tuple[int, str, str]]) -> None:
        """Hear that Postgres has these events."""
        ...

    def lost(self) -> None:
        """Hear that the run is not this worker's any more."""
        ...


# A run that another worker has ended takes no more events from this one.
_APPEND = """
    WITH new AS (
        SELECT * FROM unnest($1::uuid[], $2::int[], $3::varchar[], $4::text[]) AS e (run_id, seq, event, data)
    ), mine AS (
        SELECT id FROM runs WHERE id = ANY($5::uuid[]) AND status = 'running' AND worker = $6 FOR KEY SHARE
    ), written AS (
        INSERT INTO run_events SELECT new.* FROM new JOIN mine ON mine.id = new.run_id
        ON CONFLICT (run_id, seq) DO NOTHING
    )
    SELECT id FROM mine
"""
# Other processes hear of a batch when this one's readers have it: announcing takes as long as a small write.
_ANNOUNCE = "SELECT pg_notify('run_events', announced) FROM unnest($1::text[]) AS announced"


class EventLog:
    """Collects events of all runs and appends them; one writer, one statement a batch."""

    def __init__(self, dsn: str, worker: UUID) -> None:
        self._dsn = dsn
        self._worker = worker
        self._dirty: dict[UUID, Channel] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0.0
        self._pace = PACE
        self._pool: asyncpg.Pool | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.statements = 0

    async def start(self) -> None:
        """Connect and begin to write."""
        # A batch that a crash of the *database* loses costs the last moments of a text; waiting for the disk would
        # cost every token its time. The end of a run is written by a transaction that does wait.
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=2,
            connection_class=PlainConnection,
            # A batch that hangs would stop every run's events; it is written again, under the same numbers.
            command_timeout=10,
            timeout=5,
            server_settings={"synchronous_commit": "off", "application_name": "llama-service events"},
        )
        self._task = asyncio.create_task(self._write_forever(), name="event-log")

    async def close(self) -> None:
        """Write what waits, then disconnect."""
        if self._task is None or self._pool is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.drain(), 5)
        await end_task(self._task)
        await self._pool.close()

    def touch(self, channel: Channel, *, at_once: bool = False) -> None:
        """Note that `channel` has something to write; `at_once` skips the pace (a first token)."""
        self._dirty[channel.run_id] = channel
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
            channels, self._dirty = self._dirty, {}
            batch = {channel: events for channel in channels.values() if (events := channel.take())}
            while batch:
                try:
                    await self._append(batch)
                    delay = 0.1
                    break
                except _LOST as error:
                    log.warning("events_not_written", error=type(error).__name__, retry_in=round(delay, 1))
                except Exception:
                    # Whatever it is (uvloop raises RuntimeError on a dead transport): all runs hang on this task.
                    log.exception("events_not_written")
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
            await self._announce([channel.run_id for channel in batch])
            self._written = asyncio.get_running_loop().time()
            self._pace = BUSY_PACE if len(batch) >= BUSY else PACE
            if not self._dirty:
                self._idle.set()

    async def _append(self, batch: dict[Channel, Sequence[tuple[int, str, str]]]) -> None:
        assert self._pool is not None  # noqa: S101  (start() was called)
        runs: list[UUID] = []
        seqs: list[int] = []
        names: list[str] = []
        lines: list[str] = []
        for channel, events in batch.items():
            for seq, name, line in events:
                runs.append(channel.run_id)
                seqs.append(seq)
                names.append(name)
                lines.append(line)
        ids = [channel.run_id for channel in batch]
        rows = await self._pool.fetch(_APPEND, runs, seqs, names, lines, ids, self._worker)
        self.statements += 1
        mine = {row[0] for row in rows}
        for channel, events in batch.items():
            if channel.run_id in mine:
                channel.committed(events)
            else:
                channel.lost()

    async def _announce(self, ids: Sequence[UUID]) -> None:
        """Tell other processes that these runs have said something; who missed it looks again after a while."""
        assert self._pool is not None  # noqa: S101
        if not ids:
            return
        announced = [
            ",".join(map(str, ids[start : start + _ANNOUNCED_AT_ONCE]))
            for start in range(0, len(ids), _ANNOUNCED_AT_ONCE)
        ]
        try:
            await self._pool.execute(_ANNOUNCE, announced)
            self.statements += 1
        except _LOST as error:
            log.warning("events_not_announced", error=type(error).__name__)
        except Exception:
            # The events are written; all runs hang on this task.
            log.exception("events_not_announced")


class Listener:
    """Hears of other processes' events and of runs that shall stop, through one connection."""

    def __init__(self, dsn: str, on_control: Callable[[UUID], None]) -> None:
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
        """Yield an event that is set whenever the run has said something."""
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

    def _wake_all(self) -> None:
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
        connection = await asyncpg.connect(
            self._dsn, server_settings={"application_name": "llama-service listener"}, timeout=10
        )
        try:
            await connection.add_listener("run_events", self._on_events)
            await connection.add_listener("run_control", self._on_stop)
            # What was announced while nobody listened is found by looking.
            self._wake_all()
            while True:
                await asyncio.sleep(5)
                await connection.execute("SELECT 1", timeout=5)
        finally:
            with contextlib.suppress(OSError, asyncpg.InterfaceError):
                connection.terminate()
