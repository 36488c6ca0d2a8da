"""Secrets that the service makes for itself and keeps in the data folder, readable by its owner only."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from llama_service.settings import Settings

ADMIN_NAME = "admin"
ADMIN_EMAIL = "admin@example.com"


class _Configured(BaseSettings):
    """Whether the operator has set a key, by the same rules as all settings."""

    model_config = Settings.model_config
    jwt_secret_key: SecretStr | None = None


def jwt_key_file(data_dir: Path) -> Path:
    """Return where the key is kept that the service makes for itself."""
    return data_dir / "secrets" / "jwt"


def configured_jwt_key() -> str | None:
    """Return the key that the operator has set, if any."""
    key = _Configured().jwt_secret_key
    return key.get_secret_value() if key is not None else None


def jwt_key_overrides(data_dir: Path, *, create: bool = True) -> dict[str, str]:
    """Return nothing where `JWT_SECRET_KEY` is set; else the kept key of `data_dir`.

    Where none is kept yet, `create` makes one; without it there is nothing to return.
    """
    if _Configured().jwt_secret_key is not None:
        return {}
    path = jwt_key_file(data_dir)
    if not path.exists() and not create:
        return {}
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, secrets.token_urlsafe(48))
    return {"jwt_secret_key": path.read_text().strip()}


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
