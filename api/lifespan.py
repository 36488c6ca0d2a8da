"""Birth and death of the application's resources, in order."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from api.runs import RunManager
from api.state import AppState, ProviderWatch
from api.titles import Titles
from auth.limits import LoginLimiter
from auth.passwords import PasswordHasher
from auth.tokens import TokenService, prune_sessions
from chains.models import ModelRegistry
from graphs.chat import build
from ingestion.jobs import Ingestion
from llama_service.errors import AppError
from llama_service.settings import Settings
from llama_service.tasks import end_task
from persistence import checkpoints, runs
from persistence.blobs import BlobStore, open_blobs
from persistence.checkpoints import PooledSaver, checkpoint_pool
from persistence.leftovers import sweep_blobs
from persistence.search import Retriever
from persistence.session import Database
from persistence.vectors import VectorIndex

log = structlog.get_logger(__name__)

HOUSEKEEPING_EVERY = 60.0  # seconds
ANONYMOUS_KEPT = 120.0  # after the last turn, so that its reader may come back
UPLOADS_KEPT = 86400.0  # of an upload that never became a file
EVENTS_KEPT = 3600.0
_GC = (10_000, 20, 20)  # allocations, then collections of the younger generation (Python's own: 700, 10, 10)
CHECKPOINT_CONNECTIONS = 4  # one writes behind, the others read
CHECKPOINTS_KEPT = 8  # of a thread: the last turn's, and the one before


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open everything that the settings in `app.state.settings` name; close it in the reverse order."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        owns_process = getattr(app.state, "owns_process", False)
        state = await open_state(settings, stack, signals=owns_process)
        state.runs.recent_errors = app.state.recent_errors
        app.state.resources = state
        if owns_process:
            # Some million objects of imported libraries are here to stay: a collection need not walk them each time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC)
        log.info("ready", worker=str(state.runs.worker))
        yield
        log.info("closing", running=state.runs.running)


async def open_state(settings: Settings, stack: AsyncExitStack, *, signals: bool = False) -> AppState:
    """Open the application's resources; `stack` closes them."""
    database = Database(settings.postgres_dsn("asyncpg"), settings.database_pool_size)
    stack.push_async_callback(database.close)
    pool = checkpoint_pool(settings.postgres_dsn(), CHECKPOINT_CONNECTIONS)
    await pool.open(wait=True, timeout=30)
    stack.push_async_callback(pool.close)
    registry = ModelRegistry(settings)
    await registry.start()
    stack.push_async_callback(registry.close)
    watch = ProviderWatch(registry)
    await watch.start()
    stack.push_async_callback(watch.close)
    index = VectorIndex(settings.chroma_address, settings.collection_name)
    blobs = open_blobs(settings)

    retriever = Retriever(database, index, registry.embeddings().of_query)
    ingestion = Ingestion(settings, database, blobs, index, registry.embeddings())
    await ingestion.start(work=settings.inline_worker)
    stack.push_async_callback(ingestion.close)
    limiter = LoginLimiter(database, settings.login_attempts_per_minute)
    saver = PooledSaver(pool)
    stack.push_async_callback(saver.drain)
    graph = build(saver)
    manager = RunManager(database, settings.postgres_dsn(), graph)
    titles = Titles(database, registry)
    manager.after_turn = titles.after_turn
    await manager.start()
    if signals:
        _close_on_signal(manager, settings.shutdown_grace_seconds)
    stack.push_async_callback(manager.close, settings.shutdown_grace_seconds)
    for work, name in ((_keep_house(database, limiter, blobs), "housekeeping"), (_warm_up(registry, watch), "warm-up")):
        stack.push_async_callback(end_task, asyncio.create_task(work, name=name))
    return AppState(
        settings=settings,
        database=database,
        saver=saver,
        graph=graph,
        registry=registry,
        watch=watch,
        index=index,
        retriever=retriever,
        blobs=blobs,
        ingestion=ingestion,
        runs=manager,
        hasher=PasswordHasher(),
        tokens=TokenService(settings),
        limiter=limiter,
    )


def _close_on_signal(manager: RunManager, grace: float) -> None:
    """Let runs end from the moment of the signal: the server would first wait for their readers, who wait for them."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(caught: int, frame: FrameType | None, before: Any = before) -> None:
            loop.call_soon_threadsafe(manager.begin_closing, grace)
            if callable(before):
                before(caught, frame)

        signal.signal(number, handle)


async def _warm_up(registry: ModelRegistry, watch: ProviderWatch) -> None:
    """Make the objects of the providers that answer: the first turn must not wait for certificates to be read."""
    for source, status in watch.status.items():
        if status.available:
            try:
                await registry.chat_model(await registry.resolve(source, None))
            except AppError as error:
                log.info("not_warmed_up", provider=source, code=error.code)


async def _keep_house(database: Database, limiter: LoginLimiter, blobs: BlobStore) -> None:
    """Prune what nobody reads any more. Every process may do it; rows that are gone stay gone."""
    chores: dict[str, Callable[[], Awaitable[None]]] = {
        "events": partial(_prune_events, database),
        "rows": partial(_prune_rows, database),
        "failures": limiter.prune,
        "uploads": partial(blobs.spool.sweep, UPLOADS_KEPT),
        "blobs": partial(_sweep_blobs, database, blobs),
    }
    while True:
        await asyncio.sleep(HOUSEKEEPING_EVERY)
        for name, chore in chores.items():
            try:
                await chore()
            except (SQLAlchemyError, OSError, AppError) as error:
                log.warning("housekeeping_failed", chore=name, error=type(error).__name__)
            except Exception:
                log.exception("housekeeping_failed", chore=name)


async def _sweep_blobs(database: Database, blobs: BlobStore) -> None:
    if removed := await sweep_blobs(database, blobs):
        log.info("blobs_swept", hashes=removed)


async def _prune_events(database: Database) -> None:
    pruned = 1
    while pruned:
        async with database.transaction() as session:
            pruned = await runs.prune_events(session, EVENTS_KEPT)


async def _prune_rows(database: Database) -> None:
    async with database.transaction() as session:
        await runs.prune_anonymous(session, ANONYMOUS_KEPT)
        await prune_sessions(session)
    async with database.transaction() as session:
        if await checkpoints.take_turn(session):
            await checkpoints.prune(session, CHECKPOINTS_KEPT)
            await checkpoints.forget_orphans(session)
