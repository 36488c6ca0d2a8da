"""Programs that supervise children, for tests that kill them; and what those tests look at."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[3]
_SECONDS = 60.0


@dataclass
class Supervisor:
    """A started program."""

    process: subprocess.Popen[str]

    def line(self, beginning: str) -> str:
        """Read output until a line begins so, and return the rest of it."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
            seen.append(line)
        raise AssertionError(f"no line {beginning!r} in:\n{''.join(seen)}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and the rest of the output."""
        output, _ = self.process.communicate(timeout=_SECONDS)
        return self.process.returncode, output


@contextmanager
def supervisor(*arguments: str, cwd: Path = ROOT, path: Path = ROOT, **environment: str) -> Iterator[Supervisor]:
    """Run Python with `arguments`; whatever the test does, it has ended afterwards."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(path), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Supervisor(process)
    finally:
        process.kill()
        process.communicate()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


def survivors(processes: list[psutil.Process], seconds: float = 15) -> list[psutil.Process]:
    """Return those that are still there after at most `seconds`."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def remove(folder: Path) -> None:
    """Delete a folder, whoever owns what is in it."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)
