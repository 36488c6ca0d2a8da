"""Birth and death of the application's resources, in order."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from api.cleanup import forget_quotes, forget_temporary
from api.metrics import Metrics
from api.recent import RecentErrors
from api.retention import apply_limits, prune_events
from api.state import AppState, ProviderWatch
from auth.limits import LoginLimiter
from auth.oidc import OidcClient
from auth.passwords import PasswordHasher
from auth.provider_tokens import ProviderTokens
from auth.tokens import TokenService, prune_sessions
from chains.models import ModelRegistry
from graphs.chat import Builder, build
from graphs.pictures import PictureReader
from graphs.runs.engine import RunEngine
from graphs.runs.run import Run
from graphs.runs.start import TurnStarter
from graphs.runs.summaries import Summaries
from graphs.runs.titles import Titles
from graphs.tools.catalog import ToolCatalog
from ingestion.jobs import Ingestion
from ingestion.tables import TableReader
from llama_service import tracing
from llama_service.errors import AppError
from llama_service.settings import Settings
from llama_service.tasks import end_task
from persistence import checkpoints, runs
from persistence.blobs import SPOOL_KEPT, BlobStore, open_blobs
from persistence.budgets import BudgetKeeper, prune_use
from persistence.checkpoints import BranchSaver, checkpoint_pool
from persistence.leftovers import sweep_blobs
from persistence.model_rules import ModelRules
from persistence.rotation import vault_of
from persistence.search import Retriever
from persistence.session import Database
from persistence.vectors import open_index

log = structlog.get_logger(__name__)

HOUSEKEEPING_EVERY = 60.0  # seconds
ANONYMOUS_KEPT = 120.0  # after the last turn, so that its reader may come back
LIMITS_APPLIED_EVERY = 3600.0
MCP_ASKED_EVERY = 300.0  # for the tools of each server
_GC = (10_000, 20, 20)  # allocations, then collections of the younger generation (Python's own: 700, 10, 10)
CHECKPOINT_CONNECTIONS = 6  # a turn reads twice and writes five times, each for a millisecond or two
TEMPORARY_KEPT = 24 * 3600.0  # seconds after the last message
ANSWER_STATES_KEPT = 4  # of a thread: states after answers, to ask on or branch from without rebuilding them
OTHER_STATES_KEPT = 6  # of a thread: the steps of the last turn, for who looks at them


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open everything that the settings in `app.state.settings` name; close it in the reverse order."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        owns_process = getattr(app.state, "owns_process", False)
        if owns_process:
            # Closed last: what is closed before it may be traced, too.
            stack.push_async_callback(asyncio.to_thread, tracing.stop_tracing)
        state = await open_state(settings, stack, app.state.recent_errors, app.state.chat_graph, signals=owns_process)
        app.state.resources = state
        if owns_process:
            # Some million objects of imported libraries are here to stay: a collection need not walk them each time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC)
        # Half a second of work, which no request shall wait for.
        await asyncio.to_thread(app.openapi)
        log.info("ready", worker=str(state.runs.worker))
        yield
        log.info("closing", running=state.runs.running)


async def open_state(
    settings: Settings,
    stack: AsyncExitStack,
    recent_errors: RecentErrors,
    chat_graph: Builder,
    *,
    signals: bool = False,
) -> AppState:
    """Open the application's resources; `stack` closes them."""
    database = Database(settings.postgres, settings.database_pool_size)
    stack.push_async_callback(database.close)
    pool = checkpoint_pool(settings.postgres, CHECKPOINT_CONNECTIONS)
    await pool.open(wait=True, timeout=30)
    stack.push_async_callback(pool.close)
    vault = vault_of(settings)
    oidc = {name: OidcClient(name, provider) for name, provider in settings.oidc.items()}
    for client in oidc.values():
        stack.push_async_callback(client.close)
    provider_tokens = ProviderTokens(database, vault, oidc)
    budgets = BudgetKeeper(database)
    await budgets.start()
    stack.push_async_callback(budgets.close)
    model_rules = ModelRules(database)
    subjects = partial(provider_tokens.access_token, name=settings.aihub_as_user)
    registry = ModelRegistry(settings, subjects, budgets, model_rules)
    await registry.start()
    stack.push_async_callback(registry.close)
    watch = ProviderWatch(registry)
    await watch.start()
    stack.push_async_callback(watch.close)
    index = open_index(settings, database)
    stack.push_async_callback(index.close)
    blobs = open_blobs(settings)

    retriever = Retriever(database, index, registry.embeddings(), registry.reranker())
    ingestion = Ingestion(settings, database, blobs, index, registry.embeddings())
    await ingestion.start(work=settings.inline_worker)
    stack.push_async_callback(ingestion.close)
    limiter = LoginLimiter(database, settings.login_attempts_per_minute)
    saver = BranchSaver(pool)
    graph = build(saver, chat_graph)
    engine = RunEngine(database, settings.postgres_session, graph, saver)
    tables = TableReader(settings, blobs)
    stack.callback(tables.close)
    pictures = PictureReader(database, blobs)
    tools = ToolCatalog(database, vault)
    turns = TurnStarter(settings, database, engine, registry, retriever, tables, pictures, tools, lambda: watch.status)
    engine.prepare_claimed = turns.prepare_claimed
    engine.after_run = (Titles(database, registry).after_run, Summaries(database, registry, graph).after_run)
    engine.on_failure = partial(_note_failure, recent_errors)
    engine.always_finish = settings.takeover == "always"
    await engine.start()
    if signals:
        _close_on_signal(engine, settings.shutdown_grace_seconds)
    stack.push_async_callback(engine.close, settings.shutdown_grace_seconds)
    measured = Metrics(database, pool, registry, engine, ingestion.keeper)
    state = AppState(
        settings=settings,
        database=database,
        graph=engine.graph,
        registry=registry,
        watch=watch,
        index=index,
        retriever=retriever,
        blobs=blobs,
        ingestion=ingestion,
        runs=engine,
        turns=turns,
        tools=tools,
        vault=vault,
        hasher=PasswordHasher(),
        tokens=TokenService(settings),
        limiter=limiter,
        oidc=oidc,
        provider_tokens=provider_tokens,
        budgets=budgets,
        model_rules=model_rules,
        metrics=measured,
    )
    for work, name in (
        (measured.sample_forever(), "metrics"),
        (_keep_house(state), "housekeeping"),
        (_warm_up(registry, watch), "warm-up"),
    ):
        stack.push_async_callback(end_task, asyncio.create_task(work, name=name))
    return state


def _close_on_signal(engine: RunEngine, grace: float) -> None:
    """Let runs end from the moment of the signal: the server would first wait for their readers, who wait for them."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(caught: int, frame: FrameType | None, before: Any = before) -> None:
            loop.call_soon_threadsafe(engine.begin_closing, grace)
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


async def _keep_house(state: AppState) -> None:
    """Prune what nobody reads any more. Every process may do it; rows that are gone stay gone."""
    database, blobs = state.database, state.blobs
    chores: dict[str, Callable[[], Awaitable[None]]] = {
        "events": partial(prune_events, state),
        "quotes": _at_most_every(LIMITS_APPLIED_EVERY, partial(forget_quotes, state)),
        "age limits": _at_most_every(LIMITS_APPLIED_EVERY, partial(_apply_limits, state)),
        "rows": partial(_prune_rows, database),
        "temporary chats": partial(forget_temporary, state, TEMPORARY_KEPT),
        "checkpoints": partial(_prune_checkpoints, database, state.runs),
        "failures": state.limiter.prune,
        "uploads": partial(blobs.spool.sweep, SPOOL_KEPT),
        "blobs": partial(_sweep_blobs, database, blobs),
        "mcp servers": partial(state.tools.check_stale, MCP_ASKED_EVERY),
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


def _at_most_every(seconds: float, chore: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    done = float("-inf")

    async def now_and_then() -> None:
        nonlocal done
        if time.monotonic() - done >= seconds:
            await chore()
            done = time.monotonic()

    return now_and_then


async def _apply_limits(state: AppState) -> None:
    while gone := await apply_limits(state):
        log.info("retention_applied", **gone)


async def _prune_rows(database: Database) -> None:
    async with database.transaction() as session:
        await runs.prune_anonymous(session, ANONYMOUS_KEPT)
        await prune_sessions(session)
        await prune_use(session)


async def _prune_checkpoints(database: Database, engine: RunEngine) -> None:
    if threads := engine.touched_threads():
        async with database.transaction() as session:
            await checkpoints.prune_threads(session, threads, answers=ANSWER_STATES_KEPT, others=OTHER_STATES_KEPT)
    async with database.transaction() as session:
        if await checkpoints.is_elected_to_prune(session):
            await checkpoints.delete_orphans(session)


def _note_failure(recent_errors: RecentErrors, run: Run, error: AppError) -> None:
    recent_errors.note(run.request_id, f"run {run.run_id}", error.code, error.status)
