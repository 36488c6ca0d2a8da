"""`llama-service worker`: read and embed files on this machine, without the API."""

import asyncio
import contextlib
import os
import signal
from contextlib import AsyncExitStack

import structlog
from prometheus_client import start_http_server

from chains.models import ModelRegistry
from ingestion.jobs import Ingestion
from llama_service import metrics, tracing
from llama_service.settings import Settings
from persistence.blobs import open_blobs
from persistence.migrate import check_schema
from persistence.session import Database
from persistence.vectors import open_index

log = structlog.get_logger(__name__)


async def open_ingestion(settings: Settings, stack: AsyncExitStack) -> Ingestion:
    """Return an Ingestion with its own connections; `stack` closes them."""
    database = Database(settings.postgres, 4)
    stack.push_async_callback(database.close)
    registry = ModelRegistry(settings)
    await registry.start()
    stack.push_async_callback(registry.close)
    index = open_index(settings, database)
    stack.push_async_callback(index.close)
    blobs = open_blobs(settings)
    return Ingestion(settings, database, blobs, index, registry.embeddings())


def run(settings: Settings) -> None:
    """Work until a signal comes, on what processor time others leave."""
    os.nice(5)
    check_schema(settings)
    tracing.start_tracing(settings)
    try:
        asyncio.run(_run(settings))
    finally:
        tracing.stop_tracing()


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        ingestion = await open_ingestion(settings, stack)
        await ingestion.start(work=True)
        stack.push_async_callback(ingestion.close)
        if settings.metrics_port is not None:
            server, thread = start_http_server(settings.metrics_port, settings.host, registry=metrics.registry())
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        log.info("worker_ready", concurrency=settings.worker_concurrency)
        await stop.wait()
        log.info("worker_stopping")
