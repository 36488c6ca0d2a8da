"""Secrets that the service makes for itself and keeps in the data folder, readable by its owner only."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from llama_service.settings import FromEnvironment

ADMIN_NAME = "admin"
ADMIN_EMAIL = "admin@example.com"


class _Configured(FromEnvironment):
    """Which keys the operator has set, by the same rules as all settings."""

    jwt_secret_key: SecretStr | None = None
    jwt_secret_key_previous: SecretStr | None = None


def jwt_key_file(data_dir: Path) -> Path:
    """Return where the key is kept that the service makes for itself."""
    return data_dir / "secrets" / "jwt"


def previous_jwt_key_file(data_dir: Path) -> Path:
    """Return where the key before that one is kept, for as long as something may need it."""
    return data_dir / "secrets" / "jwt.previous"


def configured_jwt_key() -> str | None:
    """Return the key that the operator has set, if any."""
    key = _Configured().jwt_secret_key
    return key.get_secret_value() if key is not None else None


def jwt_key_overrides(data_dir: Path, *, create: bool = True) -> dict[str, str]:
    """Return the keys that `data_dir` keeps, of those that the operator has not set: the current, the previous one.

    Where no current one is kept yet, `create` makes one.
    """
    configured = _Configured()
    kept: dict[str, str] = {}
    path = jwt_key_file(data_dir)
    if configured.jwt_secret_key is None:
        if create and not path.exists():
            keep_key(path, secrets.token_urlsafe(48))
        if path.exists():
            kept["jwt_secret_key"] = path.read_text().strip()
    previous = previous_jwt_key_file(data_dir)
    if configured.jwt_secret_key_previous is None and previous.exists():
        kept["jwt_secret_key_previous"] = previous.read_text().strip()
    return kept


def keep_key(path: Path, key: str) -> None:
    """Write a key to its file in the data folder, whose folder is made where there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, key)


def replace_kept_key(data_dir: Path) -> bool:
    """Make a new key in the place of the kept one, which becomes the previous one; return whether there was one."""
    path = jwt_key_file(data_dir)
    if not path.exists():
        return False
    keep_key(previous_jwt_key_file(data_dir), path.read_text().strip())
    keep_key(path, secrets.token_urlsafe(48))
    return True


def write_secret(path: Path, text: str) -> None:
    """Write `text` to a file that only its owner can read, all of it or nothing."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    unfinished.unlink(missing_ok=True)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as stream:
        stream.write(f"{text}\n")
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(path)


def admin_password_file(data_dir: Path) -> Path:
    """Return where the first administrator's generated password is kept."""
    return data_dir / "admin-password"


def new_password() -> str:
    """Return a password of 96 random bits."""
    return secrets.token_urlsafe(12)
