"""The durable queue, in Postgres: files survive the worker that was reading them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import procrastinate
import structlog
from opentelemetry.trace import SpanKind
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Status
from sqlalchemy.exc import SQLAlchemyError

from chains.embeddings import EmbeddingsHandle
from ingestion.cpu import Processes
from ingestion.index import IndexKeeper
from ingestion.pipeline import Pipeline
from llama_service import tracing
from llama_service.errors import AppError, DependencyUnavailable
from llama_service.metrics import INGESTION_JOBS, INGESTION_SECONDS
from llama_service.settings import Settings
from persistence import files
from persistence.blobs import SPOOL_KEPT, BlobStore
from persistence.session import DATABASE_AWAY, Database
from persistence.vectors import VectorIndex

log = structlog.get_logger(__name__)

RETRIES = 6
SLICE = 20  # batches of one file that are embedded before other files have a turn
RESCUES = 5  # of one job, whose worker died or was stopped each time
HEARTBEAT = 5.0  # seconds
STALLED_AFTER = 15.0
SWEEP_EVERY = 5.0
CHECK_INDEX_EVERY = 30.0
CLEAN_EVERY = 3600.0


# What may be better in a moment. Anything else that the database says is about this file's content.
_PASSING: tuple[type[Exception], ...] = (AppError, RuntimeError, *DATABASE_AWAY)

# What is no fault of a file's: a store, the database or the disk. As often as it takes, once a minute.
_AWAY: tuple[type[Exception], ...] = (DependencyUnavailable, OSError)


# The turn that a queue is at: that of the job which began last, or of the one that comes next where that is later (what
# is tried again has a turn of long ago). And who owns a file.
_TURN = """
    SELECT greatest(
        (SELECT max(-priority) FROM procrastinate_jobs
         WHERE queue_name = %(queue)s AND status = 'doing' AND worker_id IS NOT NULL),
        (SELECT -priority FROM procrastinate_jobs
         WHERE queue_name = %(queue)s AND status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())
         ORDER BY priority DESC, id LIMIT 1),
        0
    ) AS turn,
    (SELECT user_id FROM files WHERE id = %(file_id)s) AS owner
"""


class Turns:
    """The turns of a queue, by which people's files are read and embedded, however many files each has waiting.

    A file's turn is behind its owner's last one, and not before the turn that the queue is at. Each process knows the
    last ones that it gave itself: whose uploads reach several has as many files in a turn.
    """

    def __init__(self) -> None:
        self._last: dict[UUID, int] = {}

    def give(self, owner: UUID | None, now: int, *, again: bool) -> int:
        """Return the turn of an owner's file, where the queue is at turn `now`.

        What was begun before has the next turn (`again`), and does not wait for its owner's other files.
        """
        if owner is None or again:
            return now + 1
        turn = max(now, self._last.get(owner, 0)) + 1
        # Of who has nothing waiting any more nothing is to be known.
        self._last = {each: last for each, last in self._last.items() if last > now}
        self._last[owner] = turn
        return turn


def _backoff(attempt: int) -> int:
    return int(min(60, 2 ** min(attempt, RETRIES)))


class Ingestion:
    """Queues files and, where it is started to work, reads and embeds them in the background."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        blobs: BlobStore,
        index: VectorIndex,
        embeddings: EmbeddingsHandle,
    ) -> None:
        self._settings = settings
        self._database = database
        self._blobs = blobs
        self._processes = Processes(settings.worker_concurrency)
        self.keeper = IndexKeeper(database, index, embeddings)
        self.pipeline = Pipeline(settings, database, blobs, index, embeddings, self._processes, self.keeper)
        self.embeddings = embeddings
        connector = procrastinate.PsycopgConnector(conninfo=settings.postgres_session.libpq, min_size=1, max_size=4)
        self._queue = procrastinate.App(connector=connector)
        self._read = self._queue.task(name="read", queue="read")(self._read_file)
        self._embed = self._queue.task(name="embed", queue="embed")(self._embed_file)
        self._turns = {"read": Turns(), "embed": Turns()}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, work: bool) -> None:
        """Connect; with `work`, begin to take jobs and to look after files that a dead worker left."""
        await self._queue.open_async()
        if not work:
            return
        await asyncio.to_thread(self.pipeline.open)
        for queue, concurrency in (("read", self._settings.worker_concurrency), ("embed", 1)):
            self._tasks.append(asyncio.create_task(self._work(queue, concurrency), name=f"worker-{queue}"))
        self._tasks.append(asyncio.create_task(self._repeat(SWEEP_EVERY, self._sweep), name="sweep"))
        self._tasks.append(asyncio.create_task(self._repeat(CLEAN_EVERY, self._clean), name="clean"))
        self._tasks.append(asyncio.create_task(self._repeat(CHECK_INDEX_EVERY, self._check_index), name="index-check"))

    async def close(self) -> None:
        """Stop taking jobs; one that is cut off is taken up again by whoever comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._processes.close()
        self.pipeline.close()
        await self._queue.close_async()

    async def enqueue(self, file_id: UUID) -> None:
        """Queue a file to be read. Does nothing where it is queued already.

        The file is kept by now: where the queue can't be reached, the sweep finds it without a job.
        """
        try:
            await self._defer(self._read, file_id)
        except (ConnectorException, OSError) as error:
            log.warning("not_queued_yet", file_id=str(file_id), error=type(error).__name__)

    async def _defer(
        self, task: Any, file_id: UUID, *, attempt: int = 0, seconds: int = 0, again: bool = False
    ) -> None:
        lock = f"{task.name}-{file_id}"
        later = {"schedule_in": {"seconds": seconds}} if seconds else {}
        at = await self._queue.connector.execute_query_one_async(query=_TURN, queue=task.queue, file_id=file_id)
        turn = self._turns[task.queue].give(at["owner"], at["turn"], again=again or attempt > 0)
        with contextlib.suppress(AlreadyEnqueued):
            # `lock`: never two at once on one file. `queueing_lock`: never twice in the queue.
            job = task.configure(lock=lock, queueing_lock=lock, priority=-turn, **later)
            await job.defer_async(file_id=str(file_id), attempt=attempt)

    async def depth(self) -> dict[str, int]:
        """Return how many jobs wait or run, by queue."""
        found = await self._queue.connector.execute_query_all_async(
            query="SELECT queue_name, count(*) AS jobs FROM procrastinate_jobs"
            " WHERE status IN ('todo', 'doing') GROUP BY queue_name"
        )
        return {str(row["queue_name"]): int(row["jobs"]) for row in found}

    async def _work(self, queue: str, concurrency: int) -> None:
        while True:
            try:
                await self._queue.run_worker_async(
                    queues=[queue],
                    concurrency=concurrency,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=1,
                    update_heartbeat_interval=HEARTBEAT,
                    stalled_worker_timeout=STALLED_AFTER,
                    fetch_job_polling_interval=2,
                    delete_jobs="always",
                )
            except (ConnectorException, OSError) as error:
                log.warning("worker_lost", queue=queue, error=type(error).__name__)
            except Exception:
                log.exception("worker_lost", queue=queue)
            await asyncio.sleep(1)

    async def _repeat(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (ConnectorException, SQLAlchemyError, OSError, AppError) as error:
                log.warning("chore_failed", chore=work.__name__, error=type(error).__name__)
            except Exception:
                log.exception("chore_failed", chore=work.__name__)
            await asyncio.sleep(seconds)

    async def _sweep(self) -> None:
        """Take up what dead workers left: their jobs, and files that have no job at all."""
        await self._rescue()
        async with self._database.transaction() as session:
            waiting = await files.unfinished(session, older_than=SWEEP_EVERY)
        if not waiting:
            return
        queued = await self._queue.connector.execute_query_all_async(
            query="SELECT args ->> 'file_id' AS file_id FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        )
        known = {row["file_id"] for row in queued}
        for file_id, stage in waiting:
            if str(file_id) not in known:
                await self._defer(self._embed if stage == "embed" else self._read, file_id)

    async def _rescue(self) -> None:
        manager = self._queue.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
            log.warning("job_rescued", task=job.task_name, attempts=job.attempts)
            if job.attempts >= RESCUES:
                # Its file may be what they die of, and the next one would.
                task = self._embed if job.task_name == self._embed.name else self._read
                await self._give_up(task, UUID(str(job.task_kwargs["file_id"])), AppError.code)
                await manager.finish_job(job, Status.FAILED, delete_job=True)
                continue
            try:
                await manager.retry_job(job)
            except UniqueViolation:
                # The same was queued meanwhile, and waits for this one's lock: it takes over.
                await manager.finish_job(job, Status.FAILED, delete_job=True)

    async def _clean(self) -> None:
        """Delete copies of files that a worker which was killed left on this machine."""
        await self._blobs.spool.sweep(SPOOL_KEPT)

    async def _check_index(self) -> None:
        for file_id in await self.keeper.check():
            await self._defer(self._embed, file_id)

    async def _read_file(self, file_id: str, attempt: int = 0) -> None:
        if await self._carefully(self._read, UUID(file_id), attempt, self.pipeline.read):
            await self._defer(self._embed, UUID(file_id))

    async def _embed_file(self, file_id: str, attempt: int = 0) -> None:
        if await self._carefully(self._embed, UUID(file_id), attempt, partial(self.pipeline.embed, batches=SLICE)):
            await self._defer(self._embed, UUID(file_id), again=True)

    async def _carefully(
        self, task: Any, file_id: UUID, attempt: int, work: Callable[[UUID], Awaitable[bool | None]]
    ) -> bool:
        """Do a job; try again later what may pass, and end in a state that a user can read in any case."""
        outcome = "cancelled"
        try:
            about = {"llama.file.id": str(file_id), "llama.job.attempt": attempt}
            with (
                INGESTION_SECONDS.labels(task.name).time(),
                tracing.span(f"ingest {task.name}", about, SpanKind.CONSUMER),
            ):
                done = bool(await work(file_id))
            outcome = "ok"
            return done
        except _PASSING as error:
            # Vectors are given up all the same: the index check asks for them again.
            again = attempt < RETRIES or (task is self._read and isinstance(error, _AWAY))
            outcome = "again" if again else "given_up"
            code = error.code if isinstance(error, AppError) else type(error).__name__
            log.warning("job_failed", task=task.name, file_id=str(file_id), code=code, attempt=attempt)
            if again:
                # A new job: the queue's own retry fails for ever where the same has been queued meanwhile.
                await self._defer(task, file_id, attempt=attempt + 1, seconds=_backoff(attempt))
            else:
                await self._give_up(task, file_id, code)
        except Exception:
            outcome = "broken"
            log.exception("job_broken", task=task.name, file_id=str(file_id))
            await self._give_up(task, file_id, AppError.code)
        finally:
            INGESTION_JOBS.labels(task.name, outcome).inc()
        return False

    async def _give_up(self, task: Any, file_id: UUID, code: str) -> None:
        if task is self._embed:
            await self.pipeline.give_up_vectors(file_id, code)
        else:
            await self.pipeline.fail(file_id)
