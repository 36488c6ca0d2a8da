"""Executes runs of this process, keeps their leases, and takes over the runs of workers that died."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import psycopg
import structlog
from langgraph.types import Command
from opentelemetry.trace import SpanKind
from psycopg_pool import PoolTimeout

from graphs.chat import Graph
from graphs.pictures import question_message
from graphs.runs.run import STOPPED, Ending, Run
from graphs.runs.stream import RunStream
from graphs.runs.tail import StoredEvents
from graphs.sources import earlier_references
from graphs.state import TurnInput, text_of_rounds, turn_input, usage_of_rounds
from llama_service import metrics, tracing
from llama_service.dsn import PostgresDsn
from llama_service.errors import AppError, Interrupted, NotWaiting, RunGivenUp
from persistence import checkpoints, run_end, runs
from persistence.checkpoints import BranchSaver
from persistence.decisions import Answer, waiting_step_ids
from persistence.events import EventLog, Listener, RunEvent, event_line
from persistence.run_end import ClaimedRun
from persistence.session import DATABASE_AWAY, Database
from persistence.turn_start import LEASE_SECONDS, WrittenTurn

log = structlog.get_logger(__name__)

HEARTBEAT = 3.0  # seconds; a lease holds three of them
KEPT_AFTER_END = 30.0  # seconds that a finished run's events stay in memory for readers of this process
KEEP_ALIVE_EVERY = 15.0
MAX_ATTEMPTS = 3
_MOST_STEPS = 100  # of a graph's run; rounds of tools have a limit of their own
TAKEN_AT_ONCE = 4  # abandoned runs for one heartbeat of one process: the others leave some to their neighbours
# Postgres that goes down, gives up a lock or takes no writes. A statement or data that it refuses is a fault of ours.
_STORES_AWAY = (
    *DATABASE_AWAY,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    PoolTimeout,
)
_END_RETRIES = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between tries to write a run's end

INTERRUPTED = Ending("interrupted", "interrupted", Interrupted())
# Not an end: the run is left to another worker, or to this one later.
RELEASED = Ending("running", "streaming")
# The same after an error, which counts as an attempt: it may come again.
GIVEN_BACK = Ending("running", "streaming", AppError())


def _input(run: Run) -> TurnInput:
    place = run.place
    question = question_message(place.question_id, place.question, place.images)
    return turn_input(question, earlier_references(place.unfinished.sources))


def _span_attributes(run: Run) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "chat",
        "gen_ai.conversation.id": str(run.conversation_id),
        "llama.run.id": str(run.run_id),
        "llama.run.attempt": run.record.attempt,
        "llama.request.id": run.request_id,
        "user.id": str(run.user_id) if run.user_id else None,
    }


def _status_of(run: Run) -> str:
    """Return how a run ended here: `released` where it did not, and another worker goes on with it."""
    return run.decided.status if run.is_ended and run.decided is not None else "released"


def _measure(run: Run) -> None:
    """Count a run that this process has ended, with what its record knows of the time."""
    record, status = run.record, _status_of(run)
    source = record.start.source if record.start is not None else run.plan.provider
    metrics.RUNS.labels(source, status).inc()
    if status == "released":
        return
    metrics.RUN_SECONDS.labels(source).observe(record.elapsed_ms() / 1000)
    if record.first_token_ms is not None:
        metrics.FIRST_TOKEN_SECONDS.labels(source).observe(record.first_token_ms / 1000)
    for step in record.steps:
        if step.ms is not None:
            metrics.NODE_SECONDS.labels(step.node).observe(step.ms / 1000)


class RunEngine:
    """Starts, stops, resumes and reads runs. `prepare_claimed` makes a run of one that was started elsewhere."""

    def __init__(self, database: Database, session_dsn: PostgresDsn, graph: Graph, saver: BranchSaver) -> None:
        self.worker = uuid4()
        self.events = EventLog(database, self.worker)
        self.graph = graph
        self.prepare_claimed: Callable[[ClaimedRun], Awaitable[Run]] | None = None
        self.after_run: Sequence[Callable[[Run], Awaitable[None]]] = ()
        self.on_failure: Callable[[Run, AppError], None] | None = None
        # A model that can't continue a text is asked to: the answer may repeat itself, and is never left unfinished.
        self.always_finish = False
        self._database = database
        self._saver = saver
        self._listener = Listener(session_dsn, self._on_control)
        self._stored = StoredEvents(database, self._listener)
        self._active: dict[UUID, Run] = {}
        self._streams: dict[UUID, RunStream] = {}
        self._touched_threads: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self._beaten = time.monotonic()
        self._claims_from = 0.0
        self._ending: asyncio.Task[Any] | None = None

    # Life of the engine

    async def start(self) -> None:
        """Connect, and begin to keep leases and to take over abandoned runs."""
        await self.events.start()
        await self._listener.start()
        self._spawn(self._every(HEARTBEAT, self._beat), "heartbeat")
        self._spawn(self._every(KEEP_ALIVE_EVERY, self._keep_alive), "keep-alive")

    def begin_closing(self, grace: float) -> None:
        """Begin to let go of the runs and of the readers of others; `close` waits for it. Safe to repeat."""
        self._stored.close()
        if self._ending is None:
            self._ending = self._spawn(self._release_runs(grace), "release-runs")

    async def _release_runs(self, grace: float) -> None:
        """Let runs end for `grace` seconds, then leave the others to whoever serves next."""
        self._is_closing = True
        tasks = [run.task for run in self._active.values() if run.task]
        if tasks:
            log.info("waiting_for_runs", runs=len(tasks), seconds=grace)
            await asyncio.wait(tasks, timeout=grace)
        for run in list(self._active.values()):
            self._stop(run, RELEASED)
        rest = [run.task for run in self._active.values() if run.task]
        if rest:
            await asyncio.wait(rest, timeout=5)

    async def close(self, grace: float) -> None:
        """Let runs end for `grace` seconds, release the others with what they have sent, and disconnect."""
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

    @property
    def running(self) -> int:
        """How many runs this process executes."""
        return len(self._active)

    # Execution

    def open_stream(self, run_id: UUID, events: Sequence[RunEvent]) -> RunStream:
        """Return the stream of a run whose first events are in Postgres, or about to be."""
        stream = self._streams[run_id] = RunStream(run_id, events, on_detached=self._on_detached)
        return stream

    def launch(self, run: Run) -> None:
        """Execute a new run, in a task that belongs to nobody's request."""
        self._execute(run, partial(self._invoke, run, _input(run), run.place.checkpoint_id))

    def _execute(self, run: Run, work: Callable[[], Awaitable[None]]) -> None:
        self._active[run.run_id] = run
        run.task = self._spawn(self._drive(run, work), f"run-{run.run_id}")

    def abandon(self, run: Run) -> None:
        """Forget a run whose question could not be written."""
        run.is_abandoned = True
        run.note_commit(WrittenTurn())
        self._streams.pop(run.run_id, None)
        self._stop(run, RELEASED)

    async def _invoke(self, run: Run, given: Any, checkpoint_id: str | None) -> None:
        """Run the graph from a checkpoint of the run's thread; without one, from an empty state."""
        checkpoints.base_checkpoint.set(checkpoint_id or checkpoints.NO_CHECKPOINT)
        states = checkpoints.RunCheckpoints(self._saver, checkpoint_id)
        token = checkpoints.run_checkpoints.set(states)
        run.stream.on_first_text = states.flush_soon
        run.on_saving = states.flush_soon
        # The thread is the conversation; what a client may have sent has no say in it.
        config: Any = {
            "configurable": {"thread_id": str(run.conversation_id)},
            "metadata": {"run": str(run.run_id)},
            "run_id": run.run_id,
            "recursion_limit": _MOST_STEPS,
        }
        parts = self.graph.astream(
            given, config, context=run.context, durability="async", stream_mode="custom", version="v1"
        )
        try:
            async for part in parts:
                run.forward(part)
        finally:
            checkpoints.run_checkpoints.reset(token)
            await states.close(drop=run.is_abandoned)
        if not run.is_ended and not run.stream.is_detached:
            await self._wait_for_person(run)

    async def latest_state(self, conversation_id: UUID, run_id: UUID) -> Any | None:
        """Return the newest state of a run, None where it has none yet. The caller has checked whose it is."""
        config: Any = {"configurable": {"thread_id": str(conversation_id)}}
        async for snapshot in self.graph.aget_state_history(config, filter={"run": str(run_id)}, limit=1):
            return snapshot
        return None

    async def _wait_for_person(self, run: Run) -> None:
        """Set a run aside whose graph has stopped at an interrupt."""
        snapshot = await self.latest_state(run.conversation_id, run.run_id)
        if snapshot is None or not snapshot.interrupts:
            raise AppError
        interrupts = [{"id": interrupt.id, "value": interrupt.value} for interrupt in snapshot.interrupts]
        told = {"run_id": str(run.run_id), "interrupts": interrupts, "step_ids": waiting_step_ids(interrupts)}
        await run.flush()
        wait = partial(run_end.wait_for_person, interrupts=interrupts, data=event_line("action", told))
        seq = run.stream.next_seq()
        await run.write_behind(lambda: wait(self._database, run.run_id, self.worker, seq=seq))
        run.stream.detach()

    async def _drive(self, run: Run, work: Callable[[], Awaitable[None]]) -> None:
        """Do a run's work to its end, whatever that is; its request's trace goes on here."""
        structlog.contextvars.bind_contextvars(request_id=run.request_id)
        with tracing.span("invoke_agent chat", _span_attributes(run), SpanKind.CONSUMER) as made:
            await self._work_off(run, work)
            made.set_attribute("llama.run.status", _status_of(run))
            if run.is_ended and run.decided is not None and run.decided.error is not None:
                tracing.note_error(made, run.decided.error)

    async def _work_off(self, run: Run, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            await self._end_surely(run, run.stopping or RELEASED)
        except AppError as error:
            await self._end_surely(run, Ending("failed", "failed", error))
        except _STORES_AWAY as error:
            # Our own stores were away: whoever finds them again goes on with the run.
            log.warning("run_released", run_id=str(run.run_id), error=type(error).__name__)
            await self._end_surely(run, GIVEN_BACK)
        except Exception:
            log.exception("run_failed", run_id=str(run.run_id))
            await self._end_surely(run, Ending("failed", "failed", AppError()))
        finally:
            self._active.pop(run.run_id, None)
            run.context = None  # which holds the run: together they would wait for the garbage collector
            if run.is_abandoned:
                self._spawn(self._clean_up(run), f"clean-{run.run_id}")
            else:
                self._forget_later(run)
        if not run.is_abandoned:
            self._report(run)

    def _forget_later(self, run: Run) -> None:
        run_id, stream = run.run_id, run.stream

        def forget() -> None:
            if self._streams.get(run_id) is stream:
                del self._streams[run_id]

        # The run itself, with its record and what its graph holds, is let go now.
        asyncio.get_running_loop().call_later(KEPT_AFTER_END, forget)
        self._touched_threads.add(str(run.conversation_id))

    def _report(self, run: Run) -> None:
        decided = run.decided if run.is_ended else None
        _measure(run)
        log.info("run_ended", run_id=str(run.run_id), status=_status_of(run), ms=run.record.elapsed_ms())
        if decided is not None and decided.error is not None and self.on_failure is not None:
            self.on_failure(run, decided.error)
        if decided is not None and not self._is_closing:
            for work in self.after_run:
                self._spawn(self._after(run, work), f"after-{run.run_id}")

    async def _after(self, run: Run, work: Callable[[Run], Awaitable[None]]) -> None:
        try:
            await work(run)
        except _STORES_AWAY as error:
            log.warning("work_after_run_left_out", run_id=str(run.run_id), error=type(error).__name__)
        except Exception:
            log.exception("work_after_run_failed", run_id=str(run.run_id))

    async def _clean_up(self, run: Run) -> None:
        """Delete what the graph of a run that never was has already kept."""
        async with self._database.transaction() as session:
            await checkpoints.delete_run(session, str(run.conversation_id), str(run.run_id))

    async def _end_surely(self, run: Run, ending: Ending) -> None:
        """Write a run's end, also where its task is cancelled (again) meanwhile."""
        await asyncio.shield(self._spawn(self._end(run, ending), f"end-{run.run_id}"))

    async def _end(self, run: Run, ending: Ending) -> None:
        # An answer that was complete when its end could not be written is complete.
        ending = run.decided = run.decided or ending
        if run.is_abandoned or run.stream.is_detached:
            run.stream.close()
            return
        for delay in _END_RETRIES:
            try:
                await (self._release(run, ending) if ending.status == "running" else run.end(ending))
                return
            except _STORES_AWAY as error:
                log.warning("run_end_not_written", run_id=str(run.run_id), error=type(error).__name__)
                await asyncio.sleep(delay)
            except Exception:
                # It may be what is to be written that can't be: the next attempt begins anew, and there are few.
                log.exception("run_end_not_written", run_id=str(run.run_id))
                break
        # Its lease is not prolonged any more: whoever finds the database again goes on with it, and its readers, too.
        run.stream.detach()

    async def _release(self, run: Run, ending: Ending) -> None:
        await run.flush()
        release = partial(run_end.release_run, counts=ending is GIVEN_BACK, usage=run.lost_usage())
        seq = run.stream.next_seq()
        await run.write_behind(lambda: release(self._database, run.run_id, self.worker, seq))
        run.stream.detach()

    def _stop(self, run: Run, ending: Ending) -> None:
        if run.stopping is None and run.task is not None:
            run.stopping = ending
            run.task.cancel()

    def _on_detached(self, run_id: UUID) -> None:
        """Stop executing a run that is not this worker's any more: nobody would read on."""
        run = self._active.get(run_id)
        if run is not None and run.task is not asyncio.current_task():
            self._stop(run, RELEASED)

    # Runs that were started elsewhere

    async def take_over(self, claimed: ClaimedRun) -> None:
        """Go on with a run that this worker has claimed: from its last checkpoint, behind the text that was sent."""
        assert self.prepare_claimed is not None  # noqa: S101  (set before `start`)
        run = await self.prepare_claimed(claimed)
        self._execute(run, partial(self._go_on, run, claimed))

    async def _go_on(self, run: Run, claimed: ClaimedRun) -> None:
        outcome, ending = "resumed", None
        if claimed.cancel_requested:
            outcome, ending = "stopped", STOPPED
        elif claimed.attempt > MAX_ATTEMPTS:
            outcome, ending = "given_up", Ending("failed", "failed", RunGivenUp())
        snapshot = await self.latest_state(run.conversation_id, run.run_id)
        answered = snapshot is not None and snapshot.values.get("answer") is not None
        in_rounds = text_of_rounds(snapshot.values) if snapshot is not None else ""
        run.record.spent = usage_of_rounds(snapshot.values) if snapshot is not None else []
        if ending is None and not answered and not self._can_continue(run, len(in_rounds)):
            outcome, ending = "interrupted", INTERRUPTED
        metrics.TAKEOVERS.labels(outcome).inc()
        log.info("run_taken_over", run_id=str(run.run_id), attempt=claimed.attempt, outcome=outcome)
        if ending is not None:
            run.decided = ending
            await run.end(ending)
            return
        run.emit("resumed", {"attempt": claimed.attempt})
        # A state is on disk at once, the events before it a moment later: its worker may have died in between.
        run.send_missing(in_rounds)
        if snapshot is None:
            await self._invoke(run, _input(run), run.place.checkpoint_id)
            return
        given: Any = Command(resume=claimed.resume) if claimed.resume is not None and snapshot.interrupts else None
        await self._invoke(run, given, snapshot.config["configurable"]["checkpoint_id"])

    def _can_continue(self, run: Run, in_rounds: int) -> bool:
        """Whether the model can go on behind what was sent; what it said before it called tools is complete."""
        services: Any = run.context.services if run.context else None
        complete = max(in_rounds, len(run.place.unfinished.text))
        can = self.always_finish or services.models.continues_prefix(run.plan.provider)
        return can or len(run.unfinished) <= complete

    async def resume(self, run_id: UUID, answer: Answer) -> None:
        """Go on with a run that waits for the person who answers.

        Raises NotWaiting, and UnknownStep where the answer is about a step that the run does not ask about.
        """
        claimed = await run_end.claim_waiting(self._database, self.worker, answer.by.id, run_id, answer)
        if claimed is None:
            raise NotWaiting
        await self.take_over(claimed)

    # Stopping

    async def cancel(self, user_id: UUID, run_id: UUID) -> None:
        """Stop a run of the user, wherever it is executed; its text stays."""
        run = self._active.get(run_id)
        if run is not None and not run.stream.is_detached and run.stopping in (None, STOPPED):
            self._stop(run, STOPPED)
            return
        # Elsewhere, or let go just now: who takes it next hears of it.
        async with self._database.transaction() as session:
            await runs.request_cancel(session, run_id)
        waiting = await run_end.claim_waiting(self._database, self.worker, user_id, run_id, None)
        if waiting is not None:
            await self.take_over(waiting)

    async def cancel_and_wait(self, user_id: UUID, run_id: UUID, patience: float = 5.0) -> None:
        """Stop a run of the user and wait until it has ended."""
        await self.cancel(user_id, run_id)
        run = self._active.get(run_id)
        if run is not None and run.task is not None:
            await asyncio.wait([run.task], timeout=patience)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                async for _ in self._stored.read(run_id, 0):
                    pass

    def _on_control(self, run_id: UUID) -> None:
        run = self._active.get(run_id)
        if run is not None:
            self._stop(run, STOPPED)

    # Reading

    async def read(self, run_id: UUID, after: int = 0) -> AsyncIterator[Sequence[RunEvent]]:
        """Yield a run's events behind number `after` until its end, as they come; an empty one is a sign of life.

        The caller has checked whose run it is.
        """
        stream, position = self._streams.get(run_id), after
        if stream is not None:
            async for events in stream.read(after):
                position = events[-1].seq if events else position
                yield events
            if not stream.is_detached:
                return
        if self._is_closing:
            # The run goes on elsewhere, and so does its reader.
            return
        async for events in self._stored.read(run_id, position):
            yield events

    # Keeping leases

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except _STORES_AWAY as error:
                log.warning("heartbeat_missed", error=type(error).__name__)
            except Exception:
                # The leases of all runs hang on this task: it goes on, whatever it was.
                log.exception("heartbeat_missed")
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        # By the raw connections, which nobody holds for long: the leases hang on it.
        for run_id in await run_end.extend_leases(self._database, self.worker, list(self._active)):
            self._on_control(run_id)
        now = time.monotonic()
        if now - self._beaten > LEASE_SECONDS:
            # The database was away, or this process stood still; so may the others, whose leases ran out meanwhile.
            self._claims_from = now + LEASE_SECONDS
        self._beaten = now
        if self._is_closing or self.prepare_claimed is None or now < self._claims_from:
            return
        for claimed in await run_end.claim_abandoned(self._database, self.worker, TAKEN_AT_ONCE):
            if (mine := self._active.get(claimed.run_id)) is not None:
                # This process was stopped for so long that its lease ran out. Its old execution ends first.
                mine.stream.detach()
                if mine.task is not None:
                    await asyncio.wait([mine.task], timeout=HEARTBEAT)
            await self.take_over(claimed)

    async def _keep_alive(self) -> None:
        for stream in self._streams.values():
            stream.keep_alive()

    def touched_threads(self) -> list[str]:
        """Return the threads in which runs have ended since the last call: their checkpoints can be pruned."""
        threads, self._touched_threads = list(self._touched_threads), set()
        return threads
