import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llama_service.runtime.process import Child, ChildFailed, ChildSpec, base_environment, launcher_argv
from tests.integration.runtime.supervisors import supervisor, survivors


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def spec(tmp_path: Path, code: str, **changes: object) -> ChildSpec:
    values: dict[str, object] = {
        "name": "probe",
        "argv": [sys.executable, "-c", code],
        "env": base_environment(),
        "log_dir": tmp_path,
        "is_ready": yes,
        **changes,
    }
    return ChildSpec(**values)  # type: ignore[arg-type]


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_output_goes_to_a_log_that_is_rotated(tmp_path: Path) -> None:
    for number in range(6):
        child = Child(spec(tmp_path, f"print('run {number}')"))
        await child.spawn()
        assert await child.wait() == 0
        await child.stop()
    assert texts(tmp_path) == {
        "probe.log": "run 5\n",
        "probe.log.1": "run 4\n",
        "probe.log.2": "run 3\n",
        "probe.log.3": "run 2\n",
    }


async def test_a_child_that_ends_at_its_start_is_an_error(tmp_path: Path) -> None:
    child = Child(spec(tmp_path, "raise SystemExit(4)", is_ready=no))
    with pytest.raises(ChildFailed, match=r"probe ended at its start; see .*probe\.log"):
        await child.start()


async def test_a_child_that_never_gets_ready_is_stopped(tmp_path: Path) -> None:
    child = Child(spec(tmp_path, "import signal; signal.pause()", is_ready=no, ready_timeout=0.2))
    with pytest.raises(ChildFailed, match=r"not ready within 0\.2 s"):
        await child.start()
    assert not child.running


async def test_a_deaf_child_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "deaf = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(deaf.pid, flush=True)\n"
        "signal.pause()\n"
    )
    log = tmp_path / "probe.log"

    async def has_printed() -> bool:
        return log.exists() and log.read_text().endswith("\n")

    child = Child(spec(tmp_path, code, is_ready=has_printed, stop_timeout=0.3))
    await child.start()
    grandchild = [psutil.Process(int(log.read_text()))]
    await child.stop()
    assert await child.wait() == -signal.SIGKILL
    assert not survivors(grandchild)


async def test_only_the_needed_variables_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PGHOST", "elsewhere")
    child = Child(spec(tmp_path, "import os; print(sorted(os.environ))", env=base_environment(MINE="1")))
    await child.spawn()
    await child.wait()
    shown = (tmp_path / "probe.log").read_text()
    assert "MINE" in shown
    assert "OPENAI" not in shown
    assert "PGHOST" not in shown


_PARENT = """
import asyncio, sys
from pathlib import Path
from llama_service.runtime.process import Child
from tests.integration.runtime.test_child_process import spec

async def main():
    child = Child(spec(Path(sys.argv[1]), "import signal; signal.pause()"))
    await child.start()
    print("pid", child.pid)
    await child.wait()

asyncio.run(main())
"""


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    with supervisor("-c", _PARENT, str(tmp_path)) as parent:
        child = psutil.Process(int(parent.line("pid ")))
        parent.signal(signal.SIGKILL)
        assert not survivors([child])


def test_a_parent_that_is_dead_already_is_noticed() -> None:
    command = launcher_argv(signal.SIGKILL, (), ["true"])
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, check=False).returncode == 121
