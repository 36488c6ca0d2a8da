"""`llama-service serve`: the application under uvicorn."""

import asyncio
import os
import tempfile

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from api.app import create_app
from api.protocol import BoundedProtocol
from llama_service import tracing
from llama_service.folders import METRICS_FOLDER
from llama_service.logging import configure_logging
from llama_service.settings import Settings, environment_with, load_settings
from persistence.migrate import check_schema
from persistence.session import check_no_pooler
from persistence.vectors import check_engine

WORKER_PATIENCE = 120  # seconds
KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than proxies keep theirs (nginx 60), or one that is just being
closed here is given the next request, which is lost."""


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until a signal comes. With several workers each loads the settings from the environment."""
    check_engine(settings)
    asyncio.run(check_no_pooler(settings.postgres))
    check_schema(settings)
    config = uvicorn.Config(
        _made(settings) if workers == 1 else "api.main:make",
        factory=workers > 1,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(settings.shutdown_grace_seconds) + 5,
        # A child that loads the code on a busy machine is slow, not hung.
        timeout_worker_healthcheck=WORKER_PATIENCE,
        server_header=False,
    )
    if workers == 1:
        uvicorn.Server(config).run()
        return
    # Children load the settings anew: what came from options or from a running `up` has to reach them.
    given = environment_with(settings.as_variables())
    os.environ.clear()
    os.environ.update(given)
    with tempfile.TemporaryDirectory(prefix="llama-service-metrics-") as folder:
        # One of them answers `/metrics` for all.
        os.environ.setdefault(METRICS_FOLDER, folder)
        Supervisor(config, sockets=[config.bind_socket()]).run()


class Supervisor(Multiprocess):
    """Replaces a worker as soon as it has died.

    uvicorn's keeps the worker's end of the health check's pipe open in the parent, too. A worker that dies between the
    question and its answer then leaves no end of file behind, and the parent waits for the answer until
    `timeout_worker_healthcheck` is over.
    """

    def init_processes(self) -> None:  # noqa: D102 (uvicorn's)
        super().init_processes()
        self._leave_pipes_to_workers()

    def keep_subprocess_alive(self) -> None:  # noqa: D102 (uvicorn's)
        super().keep_subprocess_alive()
        self._leave_pipes_to_workers()

    def _leave_pipes_to_workers(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def _made(settings: Settings) -> FastAPI:
    tracing.start_tracing(settings)
    app = create_app(settings)
    app.state.owns_process = True
    return app


def make() -> FastAPI:
    """Return the application of a worker process."""
    settings = load_settings()
    configure_logging(settings)
    return _made(settings)
