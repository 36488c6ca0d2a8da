"""Bring the Python environment `.venv` up to what a make target needs: `python3 scripts/bootstrap.py run|dev|studio`.

Needs nothing but Python 3.11+ and its standard library. The sets are nested (run < dev < studio) and the environment is
never reduced: what is installed already stays. A stamp in `.venv` makes the usual case a matter of milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
STAMP = VENV / ".llama-service.json"
SETS = ("run", "dev", "studio")
OLDEST = (3, 11)


def say(text: str) -> None:
    """Tell the operator what goes on."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path) -> None:
    """Run a command whose output the operator sees. Exits where it fails."""
    outcome = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if outcome.returncode != 0:
        sys.exit(f"bootstrap: `{' '.join(map(str, command[:4]))} ...` failed with code {outcome.returncode}")


def find_uv() -> Path:
    """Return uv: the system's, or one of our own in `.tools`, fetched on the first call."""
    own = [TOOLS / "bin" / "uv", TOOLS / "packages" / "bin" / "uv"]
    found = shutil.which("uv")
    for candidate in [*([Path(found)] if found else []), VENV / "bin" / "uv", *own]:
        if candidate.is_file() and works(candidate, "--version"):
            return candidate
    say("fetching uv")
    TOOLS.mkdir(exist_ok=True)
    (TOOLS / ".gitignore").write_text("*\n")
    # Debian's Python comes without ensurepip: then the system's pip has to do.
    if works(Path(sys.executable), "-m", "venv", str(TOOLS)):
        run(TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
        return own[0]
    if works(Path(sys.executable), "-m", "pip", "--version"):
        target = TOOLS / "packages"
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", target, "uv")
        return own[1]
    sys.exit("bootstrap: there is neither uv nor pip: install uv, or Debian's packages python3-venv or python3-pip")


def works(program: Path, *arguments: str) -> bool:
    """Whether a program runs."""
    try:
        outcome = subprocess.run([str(program), *arguments], capture_output=True, check=False)
    except OSError:
        return False
    return outcome.returncode == 0


def lock_hash(name: str) -> str:
    """Return what the environment of a set depends on, as one string."""
    digest = hashlib.sha256((ROOT / "requirements" / f"{name}.txt").read_bytes())
    return digest.hexdigest()


def installed() -> tuple[str | None, bool, bool]:
    """Return the set that the stamp names, whether its lock is still the same, and whether we made the environment."""
    try:
        stamp = json.loads(STAMP.read_text())
        return stamp["set"], stamp["hash"] == lock_hash(stamp["set"]), stamp["ours"]
    except (OSError, ValueError, KeyError):
        return None, False, False


def write_command(python: Path) -> None:
    """Put a `llama-service` command beside the Python that runs the checkout."""
    command = python.with_name("llama-service")
    # Guarded: a process that is started by `spawn` (`serve --workers 2`) imports the command once more.
    lines = [f"#!{python}", "import sys", f"sys.path.insert(0, {str(ROOT)!r})"]
    text = "\n".join(
        [*lines, 'if __name__ == "__main__":', "    from llama_service.__main__ import main", "    main()", ""]
    )
    if not command.exists() or command.read_text() != text:
        command.write_text(text)
        command.chmod(0o755)


def main() -> None:
    """Install what is missing."""
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        sys.exit(f"usage: python3 scripts/bootstrap.py {'|'.join(SETS)}")
    if sys.version_info < OLDEST:
        have, need = (".".join(map(str, version)) for version in (sys.version_info[:3], OLDEST))
        sys.exit(f"bootstrap: this is Python {have}, and {need} or newer is needed: make PYTHON=python{need} ...")
    wanted = sys.argv[1]
    present, current, ours = installed()
    python = VENV / "bin" / "python"
    if present and current and SETS.index(present) >= SETS.index(wanted) and python.exists():
        write_command(python)
        return
    uv = find_uv()
    os.environ["VIRTUAL_ENV"] = str(VENV)
    os.environ.setdefault("UV_NO_PROGRESS", "0" if sys.stderr.isatty() else "1")
    if not works(python, "-c", ""):
        ours = True
        say(f"creating {VENV.name} with Python {sys.version.split()[0]}")
        run(uv, "venv", "--quiet", "--python", sys.executable, "--clear", VENV)
    target = max(wanted, present or wanted, key=SETS.index)
    say(f"installing the packages of requirements/{target}.txt")
    lock = ROOT / "requirements" / f"{target}.txt"
    # An environment that somebody else made is added to; one of our own is made equal to its lock.
    action: list[str | Path] = ["sync", lock] if ours else ["install", "-r", lock]
    loud = [] if sys.stderr.isatty() else ["--quiet"]
    run(uv, "pip", *action, *loud, "--require-hashes", "--python", python)
    write_command(python)
    STAMP.write_text(json.dumps({"set": target, "hash": lock_hash(target), "ours": ours}))


if __name__ == "__main__":
    main()
