"""Lets the other commands find the embedded parts of an `up` that runs on the same data folder."""

import json
from pathlib import Path

from llama_service.runtime.keys import write_secret
from llama_service.runtime.locks import FileLock
from llama_service.settings import Settings


def _file(data_dir: Path) -> Path:
    return data_dir / "secrets" / "running"


def announce(data_dir: Path, environment: dict[str, str]) -> None:
    """Write down where the parts are, for the owner of the folder only."""
    path = _file(data_dir)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, json.dumps(environment))


def withdraw(data_dir: Path) -> None:
    """Take back what `announce` wrote."""
    _file(data_dir).unlink(missing_ok=True)


def found_parts(settings: Settings) -> dict[str, str]:
    """Return settings for the parts that run and that `settings` lack; nothing where no `up` runs."""
    path = _file(settings.data_dir)
    if not path.exists() or not FileLock(settings.data_dir / "lock").is_held():
        return {}
    parts: dict[str, str] = json.loads(path.read_text())
    fields = {name.lower(): value for name, value in parts.items()}
    return {name: value for name, value in fields.items() if getattr(settings, name) is None}


def is_older_than(data_dir: Path, file: Path) -> bool:
    """Whether an `up` runs on the folder that was started before a file was written."""
    path = _file(data_dir)
    if not (path.exists() and file.exists() and FileLock(data_dir / "lock").is_held()):
        return False
    return path.stat().st_mtime < file.stat().st_mtime
