"""The launcher: makes the service's packages importable, then runs the command line."""

import gc
import os
import sys
from pathlib import Path

# A million objects are made while the libraries are imported, and stay: Python's own 700 before each look for garbage
# among them makes a start a seventh longer. Here and not in main(), for server processes that are spawned, too.
gc.set_threshold(50_000, 10, 10)


def application_root() -> Path:
    """Return the folder that holds `api`, `graphs` and the rest: inside of an installed wheel, or the checkout."""
    package = Path(__file__).resolve().parent
    bundled = package / "_app"
    return bundled if bundled.is_dir() else package.parent


def main() -> None:
    """Run `llama-service`."""
    root = str(application_root())
    kernel = str(Path(__file__).resolve().parents[1])
    sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = dict.fromkeys([root, kernel, *given])
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)

    from llama_service.cli import app

    app(prog_name="llama-service")


if __name__ == "__main__":
    main()
