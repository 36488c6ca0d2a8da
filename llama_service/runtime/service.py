"""The service itself under `up`: everything started in order, API and worker watched, everything ended in order."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from llama_service.folders import METRICS_FOLDER
from llama_service.runtime.http import get
from llama_service.runtime.process import Child, ChildFailed, ChildSpec, package_root, tail
from llama_service.runtime.progress import Progress
from llama_service.runtime.stack import EmbeddedStack
from llama_service.settings import Settings, environment_with

log = structlog.get_logger(__name__)

_CRASHES = 5  # as many ends within `_CRASH_SECONDS` are a loop
_CRASH_SECONDS = 60.0
_STOP_MARGIN = 5.0  # seconds beyond the service's own grace until SIGKILL
_API_START_SECONDS = 60.0
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  (compared with, not bound)


class PortTaken(Exception):
    """Another program listens there; the message says what to do."""


class CrashLoop(Exception):
    """A process of the service keeps ending; the message holds its last log lines."""


def check_port(host: str, port: int) -> None:
    """Raise PortTaken where nothing can listen on `host` and `port`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as refused:
            raise PortTaken(
                f"cannot listen on {host}:{port} ({refused.strerror}): choose another port with --port or PORT"
            ) from None


def service_url(settings: Settings) -> str:
    """Return the address that a browser on this machine uses."""
    host = "127.0.0.1" if settings.host in ANYWHERE else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def service_environment(settings: Settings, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of our own commands: ours, the addresses of `parts`, what the command line gave."""
    paths = [str(package_root()), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "HOST": settings.host,
        "PORT": str(settings.port),
        "DATA_DIR": str(settings.data_dir.resolve()),
        "JWT_SECRET_KEY": settings.jwt_secret_key.get_secret_value(),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        METRICS_FOLDER: str(metrics_folder(settings)),
    }
    if settings.jwt_secret_key_previous is not None:
        own["JWT_SECRET_KEY_PREVIOUS"] = settings.jwt_secret_key_previous.get_secret_value()
    return environment_with({**own, **parts})


def metrics_folder(settings: Settings) -> Path:
    """Return where API and worker put what they count, so that `/metrics` tells it together."""
    return settings.data_dir.resolve() / "metrics"


async def prepare(settings: Settings, stack: EmbeddedStack, progress: Progress) -> None:
    """Bring the schema up to date and make the first administrator, in a process of its own.

    Raises ChildFailed with the end of its log.
    """
    progress.begin("Database", "bringing the schema up to date")
    child = Child(_command("prepare", ["prepare"], settings, stack.environment))
    await child.spawn()
    try:
        code = await child.wait()
    finally:
        await child.stop(timeout=1)
    if code != 0:
        raise ChildFailed(f"the database could not be prepared:\n{tail(child.spec.log_path)}")
    progress.finish("Database")


async def begin_api(settings: Settings) -> Child:
    """Start the API's process, which loads its code and then waits: its packages take longer than the stack below."""
    spec = _command("api", ["serve", "--gate"], settings, {})
    child = Child(replace(spec, gated=True))
    await child.spawn()
    return child


async def start_api(child: Child, settings: Settings, stack: EmbeddedStack, progress: Progress) -> None:
    """Let the API go, with the stack's addresses, and wait until it answers.

    Raises ChildFailed with the end of its log.
    """
    progress.begin("API", "starting")
    parts = {**stack.environment, **({"INLINE_WORKER": "false"} if has_worker(settings) else {})}
    await child.open_gate(json.dumps(parts).encode())
    # When it has to be started again, the addresses are known.
    child.spec = replace(child.spec, gated=False, env=service_environment(settings, parts))
    try:
        await child.wait_ready()
    except ChildFailed as failed:
        raise ChildFailed(f"{failed}\n{tail(child.spec.log_path)}") from None
    progress.finish("API")


def has_worker(settings: Settings) -> bool:
    """Whether files are read by a process of its own: they are, unless the operator has said where."""
    return "inline_worker" not in settings.model_fields_set


async def start_worker(settings: Settings, stack: EmbeddedStack) -> Child:
    """Start the process that reads and indexes files; nobody has to wait until it is ready."""

    async def is_ready() -> bool:
        return True

    child = Child(replace(_command("worker", ["worker"], settings, stack.environment), is_ready=is_ready))
    await child.spawn()
    return child


async def keep_running(child: Child, *, give_up: bool = True) -> None:
    """Start a process of the service again whenever it ends, with growing pauses.

    Raises CrashLoop when it keeps ending; never without `give_up`, as a developer will mend the code.
    """
    ends: deque[float] = deque(maxlen=_CRASHES)
    while True:
        code = await child.wait()
        ends.append(time.monotonic())
        recent = [end for end in ends if end > ends[-1] - _CRASH_SECONDS]
        if give_up and len(recent) == _CRASHES:
            raise CrashLoop(
                f"the {child.spec.name} process ended {_CRASHES} times within {_CRASH_SECONDS:g} s "
                f"(exit code {code}); its last lines, from {child.spec.log_path}:\n{tail(child.spec.log_path)}"
            )
        pause = 0.25 * 2 ** (len(recent) - 1)
        log.warning("child_died", child=child.spec.name, code=code, restart_in=pause, log=str(child.spec.log_path))
        await asyncio.sleep(pause)
        with contextlib.suppress(ChildFailed):  # the next turn of the loop counts it
            await child.start()


def _command(name: str, arguments: list[str], settings: Settings, parts: Mapping[str, str]) -> ChildSpec:
    url = service_url(settings)

    async def is_ready() -> bool:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            status, _ = await get(f"{url}/health")
            return status == 200
        return False

    return ChildSpec(
        name=name,
        argv=[sys.executable, "-m", "llama_service", *arguments],
        env=service_environment(settings, parts),
        log_dir=settings.data_dir.resolve() / "logs",
        is_ready=is_ready,
        ready_timeout=_API_START_SECONDS,
        stop_timeout=settings.shutdown_grace_seconds + _STOP_MARGIN,
        # Without its database it couldn't end in order anyway; what it started notices the closed pipes.
        death_signal=signal.SIGKILL,
        cwd=Path.cwd(),  # where .env lies
    )
