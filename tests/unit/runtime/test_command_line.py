"""The command line as a user meets it: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "llama_service", *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_the_commands(tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for command in ("up", "serve", "worker", "migrate", "create-admin", "reindex"):
        assert f" {command} " in shown.stdout
    assert " prepare " not in shown.stdout


@pytest.mark.parametrize("command", ["up", "serve", "worker", "migrate", "create-admin", "reindex"])
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    shown = run(command, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "Usage: llama-service " + command in shown.stdout


def test_the_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("llama-service ")


@pytest.mark.parametrize(
    ("command", "environment", "line"),
    [
        ("up", {"LOG_LEVEL": "loud"}, "LOG_LEVEL=LOUD: allowed: 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("up", {"JWT_SECRET_KEY": "short"}, "JWT_SECRET_KEY=***: allowed: a random string of at least 32 characters"),
        ("up", {"PORT": "none"}, "PORT=none: "),
        ("migrate", {}, "JWT_SECRET_KEY is not set: it is required"),
    ],
)
def test_a_wrong_setting_is_one_line(command: str, environment: dict[str, str], line: str, tmp_path: Path) -> None:
    shown = run(command, cwd=tmp_path, **environment)
    assert shown.returncode == 2
    assert shown.stderr.startswith(f"llama-service: {line}")
    assert len(shown.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = run("up", "--data-dir", "file/below", cwd=tmp_path)
    assert shown.returncode == 2
    assert shown.stderr == "llama-service: DATA_DIR=file/below: Not a directory\n"
