"""A supervised child process: its log file, its readiness, its end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import structlog

from llama_service.errors import OperatorError

log = structlog.get_logger(__name__)

_LAUNCHER = Path(__file__).with_name("_launch.py")
_KEPT_LOGS = 3
# What a helper program needs of our environment. Everything else, secrets among it, stays here.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class ChildFailed(OperatorError):
    """A child did not start, or ended by itself; the message names it and its log file."""


@dataclass(frozen=True)
class ChildSpec:
    """How to run a child.

    `death_signal` is what the kernel sends it when we die; `as_user` holds options of `_launch.py`; times in seconds.
    A `gated` child reads its standard input to the end before it does anything that matters: see `Child.open_gate`.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log_dir: Path
    is_ready: Callable[[], Awaitable[bool]]
    ready_timeout: float = 60
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10
    death_signal: signal.Signals = signal.SIGKILL
    as_user: Sequence[str] = field(default_factory=tuple)
    keep_fds: Sequence[int] = field(default_factory=tuple)
    cwd: Path | None = None
    gated: bool = False

    @property
    def log_path(self) -> Path:
        """The file that takes what the child prints."""
        return self.log_dir / f"{self.name}.log"


def launcher_argv(death_signal: signal.Signals, as_user: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return the command that becomes `argv` and dies with this process."""
    head = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal)), *as_user]
    return [*head, "--", *argv]


def base_environment(**extra: str) -> dict[str, str]:
    """Return the few variables that a helper program gets, with `extra` on top."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


def package_root() -> Path:
    """Return the folder that has to be on a child's PYTHONPATH for it to import this package."""
    return Path(__file__).resolve().parents[2]


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def rotate(path: Path) -> None:
    """Move `path` to `path.1`, that to `path.2` and so on; three old ones are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(_KEPT_LOGS, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.replace(older)


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, or nothing where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 16_384))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])


class HasChild:
    """A part of the stack that runs one program; `what` names it in errors."""

    what: ClassVar[str]
    _child: "Child | None" = None

    @property
    def child(self) -> "Child":
        """The running server. Raises ChildFailed before the start."""
        if self._child is None:
            raise ChildFailed(f"{self.what} not started")
        return self._child


class Child:
    """One running program. Start it from the main thread: the death signal is tied to the thread that forks."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id, once it has been started."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises ChildFailed when it ends before, or is not ready within `ready_timeout`; it is stopped then.
        """
        await self.spawn()
        try:
            await self.wait_ready()
        except BaseException:
            await self.stop()
            raise

    async def spawn(self) -> None:
        """Start the program without waiting for it."""
        spec = self.spec
        rotate(spec.log_path)
        with spec.log_path.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *launcher_argv(spec.death_signal, spec.as_user, spec.argv),
                stdin=asyncio.subprocess.PIPE if spec.gated else asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(spec.env),
                cwd=spec.cwd,
                process_group=0,
                pass_fds=tuple(spec.keep_fds),
            )
        log.debug("child_started", child=spec.name, pid=self._process.pid)

    async def open_gate(self, message: bytes) -> None:
        """Send a gated child what it waits for. That it has ended meanwhile is for `wait_ready` to tell."""
        if self._process is None or self._process.stdin is None:
            raise ChildFailed(f"{self.spec.name} was not started with a gate")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(message)
            await self._process.stdin.drain()
            self._process.stdin.close()
            await self._process.stdin.wait_closed()

    async def wait_ready(self) -> None:
        """Wait until the probe says yes. Raises ChildFailed as `start` does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.spec.ready_timeout
        pause = 0.01
        while not await self.spec.is_ready():
            if not self.running:
                raise ChildFailed(f"{self.spec.name} ended at its start; see {self.spec.log_path}")
            if loop.time() > deadline:
                raise ChildFailed(
                    f"{self.spec.name} was not ready within {self.spec.ready_timeout:g} s; see {self.spec.log_path}"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    async def wait(self) -> int:
        """Wait for the end and return the exit code, negative for a signal."""
        if self._process is None:
            raise ChildFailed(f"{self.spec.name} was never started")
        return await self._process.wait()

    async def stop(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (the time until SIGKILL)
        """Ask the program to end, wait, and kill its whole process group if it doesn't."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.spec.stop_timeout if timeout is None else timeout)
            except TimeoutError:
                log.warning("child_killed", child=self.spec.name, pid=process.pid)
        self.kill()
        await process.wait()

    def kill(self) -> None:
        """End the program and what it left behind in its process group, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
