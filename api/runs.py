"""Runs of this process: each in a task of its own, so that no client's leaving ends one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import structlog
from langchain_core.messages import HumanMessage
from langgraph.types import Overwrite
from sqlalchemy.exc import SQLAlchemyError

from api.channel import KEEP_ALIVE, RunChannel, frame, line_of
from api.recent import RecentErrors
from api.turn import STOPPED, Ending, TurnServices
from graphs.chat import Graph
from graphs.context import ChatContext
from llama_service.errors import AppError
from persistence import runs, turns
from persistence.checkpoints import fresh, held
from persistence.events import EventLog, Listener
from persistence.session import DATABASE_AWAY, Database

log = structlog.get_logger(__name__)

HEARTBEAT = 3.0  # seconds; a lease holds three of them
KEPT_AFTER_END = 30.0  # seconds that a finished run's events stay in memory for readers of this process
KEEP_ALIVE_EVERY = 15.0
_DATABASE = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_END_RETRIES = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between tries to write a run's end
RECHECK = 5.0  # seconds; a notification may be missed while the listener reconnects


class Interrupted(AppError):
    """The server was stopped while this answer was being written; continue it, or ask again."""

    status = 503
    code = "interrupted"


def interrupted() -> Ending:
    """Return how a run ends that the server could not bring to its end."""
    return Ending("interrupted", "interrupted", Interrupted())


@dataclass(slots=True)
class Active:
    """A run that this process works on."""

    services: TurnServices
    context: ChatContext
    task: "asyncio.Task[None] | None" = None
    stopping: Ending | None = None


class RunManager:
    """Starts, stops, keeps alive and reads runs."""

    def __init__(self, database: Database, dsn: str, graph: Graph) -> None:
        self.worker = uuid4()
        self.events = EventLog(dsn, self.worker)
        self._database = database
        self._graph = graph
        self._listener = Listener(dsn, self._on_control)
        self._active: dict[UUID, Active] = {}
        self._channels: dict[UUID, RunChannel] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._ending: asyncio.Task[Any] | None = None
        self.recent_errors = RecentErrors()
        self.after_turn: Callable[[TurnServices], Awaitable[None]] | None = None

    async def start(self) -> None:
        """Connect, and begin to keep leases and to end the runs of workers that died."""
        await self.events.start()
        await self._listener.start()
        self._spawn(self._every(HEARTBEAT, self._beat), "heartbeat")
        self._spawn(self._every(KEEP_ALIVE_EVERY, self._keep_alive), "keep-alive")

    def begin_closing(self, grace: float) -> None:
        """Begin to end the runs; `close` waits for it. Safe to repeat."""
        if self._ending is None:
            self._ending = self._spawn(self._end_runs(grace), "end-runs")

    async def _end_runs(self, grace: float) -> None:
        """Let runs finish for `grace` seconds, then interrupt the others with their text."""
        self._closing = True
        tasks = [active.task for active in self._active.values() if active.task]
        if tasks:
            log.info("waiting_for_runs", runs=len(tasks), seconds=grace)
            await asyncio.wait(tasks, timeout=grace)
        for active in list(self._active.values()):
            self._stop(active, interrupted())
        rest = [active.task for active in self._active.values() if active.task]
        if rest:
            await asyncio.wait(rest, timeout=5)

    async def close(self, grace: float) -> None:
        """Let runs finish for `grace` seconds, interrupt the others with their text, and disconnect."""
        self.begin_closing(grace)
        if self._ending is not None:
            await self._ending
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.events.close()
        await self._listener.close()

    def _spawn(self, work: Any, name: str) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def open_channel(self, run_id: UUID, start_line: str) -> RunChannel:
        """Make the channel of a run whose first event, `start`, was written with its beginning."""
        channel = RunChannel(run_id, [(1, "start", start_line)], on_lost=self._let_go)
        self._channels[run_id] = channel
        return channel

    def _let_go(self, run_id: UUID) -> None:
        """Stop working on a run that somebody else has ended, or deleted: nobody would read on."""
        if (active := self._active.get(run_id)) is not None:
            self._stop(active, interrupted())

    def launch(self, services: TurnServices, context: ChatContext) -> None:
        """Begin to work on a run, in a task that belongs to nobody's request."""
        active = Active(services, context)
        run_id = services.begun.run_id
        self._active[run_id] = active
        active.task = self._spawn(self._drive(active), f"run-{run_id}")

    def abandon(self, services: TurnServices) -> None:
        """Forget a run whose beginning could not be written."""
        services.abandon()
        run_id = services.begun.run_id
        self._channels.pop(run_id, None)
        if (active := self._active.get(run_id)) is not None:
            self._stop(active, interrupted())

    @property
    def running(self) -> int:
        """How many runs this process works on."""
        return len(self._active)

    async def _drive(self, active: Active) -> None:
        services = active.services
        run_id = services.begun.run_id
        structlog.contextvars.bind_contextvars(request_id=services.request_id)
        try:
            await self._work(active)
        except asyncio.CancelledError:
            await self._end_surely(services, active.stopping or interrupted())
        except AppError as error:
            await self._end_surely(services, Ending("failed", "failed", error))
        except _DATABASE as error:
            # Our own stores were away: the answer can be gone on with when they are back.
            log.warning("run_interrupted", run_id=str(run_id), error=type(error).__name__)
            await self._end_surely(services, interrupted())
        except Exception:
            log.exception("run_failed", run_id=str(run_id))
            await self._end_surely(services, Ending("failed", "failed", AppError()))
        finally:
            self._active.pop(run_id, None)
            loop = asyncio.get_running_loop()
            loop.call_later(KEPT_AFTER_END, self._channels.pop, run_id, None)
        if services.abandoned:
            return
        log.info("run_ended", run_id=str(run_id), ms=services.record.elapsed_ms())
        if services.error is not None:
            failure = services.error
            self.recent_errors.note(services.request_id, f"run {run_id}", failure.code, failure.status)
        if self.after_turn is not None and services.finished and not self._closing:
            self._spawn(self.after_turn(services), f"after-{run_id}")

    async def _work(self, active: Active) -> None:
        services = active.services
        begun = services.begun
        # The thread is the conversation; what a client may have sent has no say in it.
        config: Any = {"configurable": {"thread_id": str(begun.conversation_id)}, "run_id": begun.run_id}
        question = HumanMessage(begun.question, id=str(begun.user_message_id))
        turn: Any = {"messages": Overwrite([question])}
        fresh.set(True)
        held.set(services.hold)
        # The nodes speak through the services: LangGraph's own streams cost some 50 µs a token.
        steps = self._graph.astream(turn, config, context=active.context, durability="async", stream_mode=[])
        async for _ in steps:
            pass
        if not services.finished and not services.channel.is_lost:
            raise AppError

    async def _end_surely(self, services: TurnServices, ending: Ending) -> None:
        """Write a run's end, also where its task is cancelled (again) meanwhile."""
        await asyncio.shield(self._spawn(self._end(services, ending), f"end-{services.begun.run_id}"))

    async def _end(self, services: TurnServices, ending: Ending) -> None:
        # An answer that was complete when its end could not be written is complete.
        ending = services.meant or ending
        for delay in _END_RETRIES:
            try:
                await services.end(ending)
                return
            except _DATABASE as error:
                log.warning("run_end_not_written", run_id=str(services.begun.run_id), error=type(error).__name__)
                await asyncio.sleep(delay)
        # Its lease is not prolonged any more: whoever finds the database again ends it with the text that is there.
        services.channel.close()

    def _stop(self, active: Active, ending: Ending) -> None:
        if active.stopping is None and active.task is not None:
            active.stopping = ending
            active.task.cancel()

    async def cancel(self, run_id: UUID) -> None:
        """Stop a run, wherever it is worked on; its text stays. The caller has checked whose it is."""
        active = self._active.get(run_id)
        if active is not None:
            self._stop(active, STOPPED)
            return
        async with self._database.transaction() as session:
            await runs.request_cancel(session, run_id)

    async def cancel_and_wait(self, run_id: UUID, patience: float = 5.0) -> None:
        """Stop a run and wait until it has ended."""
        active = self._active.get(run_id)
        await self.cancel(run_id)
        if active is not None and active.task is not None:
            await asyncio.wait([active.task], timeout=patience)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                async for _ in self._from_database(run_id, 0):
                    pass

    def _on_control(self, run_id: UUID) -> None:
        active = self._active.get(run_id)
        if active is not None:
            self._stop(active, STOPPED)

    async def read(self, run_id: UUID, after: int) -> AsyncGenerator[bytes, None]:
        """Yield a run's frames behind number `after` until its end. The caller has checked whose it is."""
        channel = self._channels.get(run_id)
        position = after
        if channel is not None:
            async for frames in channel.read(after):
                position += frames.count(b"\nevent: ")
                yield frames
            if not channel.is_lost:
                return
        async for frames in self._from_database(run_id, position):
            yield frames

    async def texts(self, run_id: UUID) -> AsyncIterator[str]:
        """Yield a run's text as it comes, for readers that want nothing else."""
        async for frames in self.read(run_id, 0):
            for line in frames.split(b"\n"):
                if line.startswith(b'data: {"type":"chunk"'):
                    yield orjson.loads(line[6:])["content"]

    async def _from_database(self, run_id: UUID, after: int) -> AsyncIterator[bytes]:
        position, idle = after, 0.0
        async with self._listener.subscribed(run_id) as heard:
            while True:
                heard.clear()
                try:
                    running, events = await self._look(run_id, position)
                except DATABASE_AWAY as error:
                    # Its readers need not know that Postgres was restarted.
                    log.warning("stream_waits_for_database", run_id=str(run_id), error=type(error).__name__)
                    yield KEEP_ALIVE
                    await asyncio.sleep(1)
                    continue
                ended = bool(events) and events[-1][1] in ("done", "error")
                if not events and not running:
                    return
                if events:
                    position, idle = events[-1][0], 0.0
                    yield b"".join(frame(*event) for event in events)
                if ended:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RECHECK):
                        await heard.wait()
                    continue
                idle += RECHECK
                if idle >= KEEP_ALIVE_EVERY:
                    idle = 0.0
                    yield KEEP_ALIVE

    async def _look(self, run_id: UUID, after: int) -> tuple[bool, Sequence[tuple[int, str, str]]]:
        async with self._database.reading() as session:
            # In this order: a run that ends between the two has its last event among the others.
            running = await runs.is_running(session, run_id)
            return running, await runs.events_after(session, run_id, after)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (SQLAlchemyError, OSError) as error:
                log.warning("heartbeat_missed", error=type(error).__name__)
            except Exception:
                # The leases of all runs hang on this task: it goes on, whatever it was.
                log.exception("heartbeat_missed")
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        cancelled: set[UUID] = set()
        if self._active:
            async with self._database.transaction() as session:
                cancelled = await runs.extend_leases(session, self.worker, list(self._active))
        async with self._database.transaction() as session:
            error = {"code": Interrupted.code, "message": Interrupted().message}
            data = line_of("error", {"error": {**error, "request_id": "-"}})
            dead = await turns.reap(session, error=orjson.dumps(error).decode(), data=data)
        for run_id in cancelled:
            self._on_control(run_id)
        if dead:
            log.warning("runs_interrupted", runs=len(dead))
        for run_id in dead:
            if (active := self._active.get(run_id)) is not None:
                active.services.channel.lost()

    async def _keep_alive(self) -> None:
        for channel in self._channels.values():
            channel.keep_alive()
