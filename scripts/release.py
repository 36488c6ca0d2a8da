"""Make what a release consists of, in `dist/`: `python -m scripts.release` (`make release`).

The wheel and the source archive, the chart, a software bill of materials (CycloneDX) of each image's Python packages
and of the page, the licences' texts, and SHA256SUMS. Fails on a licence that scripts/licences.toml does not allow. The
same commit gives the same bytes: dates are the commit's (SOURCE_DATE_EPOCH).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from llama_service import __version__
from scripts.bootstrap import find_uv
from scripts.build_ui import UI, install, npm_command
from scripts.helm import helm, is_available
from scripts.licences import Component, Rules, licence_texts

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
CHART = ROOT / "deploy" / "helm" / "llama-service"
BOM_LOCK = ROOT / "requirements" / "bom.txt"
# The targets of deploy/Dockerfile, and what each of them installs.
IMAGES = {"server": "server", "embedded": "run"}


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill of materials' components, and by their reference in it the texts of licences that their packages bring."""

    components: list[Component]
    texts: dict[str, list[str]]


def commit_date() -> str:
    """Return when the commit was made, in seconds since 1970."""
    shown = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def _installed(folder: Path, lock: Path) -> Path:
    """Install a lock file into an environment of its own; return its Python."""
    python = folder / "bin" / "python"
    _run(find_uv(), "venv", "--quiet", "--python", sys.executable, folder)
    _run(find_uv(), "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
    return python


def python_packages(lock: Path, target: Path, *, validate: bool = True) -> Bill:
    """Install a lock file into an environment of its own, and write what is then there as a bill of materials."""
    with tempfile.TemporaryDirectory() as folder:
        python, writer = _installed(Path(folder) / "listed", lock), _installed(Path(folder) / "writer", BOM_LOCK)
        options: list[str | Path] = ["--pyproject", "pyproject.toml", "--output-reproducible", "--output-file", target]
        check = "--validate" if validate else "--no-validate"
        _run(writer, "-m", "cyclonedx_py", "environment", *options, check, python)
        (site,) = Path(folder, "listed").glob("lib/python*/site-packages")
        document = json.loads(target.read_text(encoding="utf-8"))
        found = {
            f"{one.name}=={one.version}": licence_texts(Path(str(file.locate())) for file in one.files or [])
            for one in distributions(path=[str(site)])
        }
    return Bill(document["components"], found)


def page_packages(target: Path) -> Bill:
    """Write what the page's bundle may hold, by the lock file of npm, as a bill of materials."""
    command = npm_command("sbom", "--sbom-format", "cyclonedx", "--package-lock-only")
    shown = subprocess.run(command, cwd=UI, check=True, stdout=subprocess.PIPE)
    document = json.loads(shown.stdout)
    del document["serialNumber"]  # drawn anew each time
    document["metadata"]["timestamp"] = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC).isoformat()
    lock = json.loads((UI / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    # npm's own `--omit dev` leaves React out, which tools for developers need as well.
    bundled = {
        f"{place.rpartition('node_modules/')[2]}@{package['version']}": UI / place
        for place, package in lock.items()
        if place and not package.get("dev")
    }
    document["components"] = [part for part in document["components"] if part["bom-ref"] in bundled]
    kept = bundled.keys() | {document["metadata"]["component"]["bom-ref"]}
    document["dependencies"] = [
        {**one, "dependsOn": [other for other in one["dependsOn"] if other in kept]}
        for one in document["dependencies"]
        if one["ref"] in kept
    ]
    target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    installed = {reference: folder for reference, folder in bundled.items() if folder.is_dir()}
    texts = {reference: licence_texts(folder.iterdir()) for reference, folder in installed.items()}
    return Bill(document["components"], texts)


def notices(bills: Iterable[Bill], rules: Rules) -> tuple[str, list[str]]:
    """Return the licences of all components with their texts, and what may not be shipped, one line each."""
    parts, refused = ["Software of others that comes with llama-service, and its licences.\n"], []
    found = {
        (component["name"].lower(), component["version"]): (component, bill.texts.get(component["bom-ref"], []))
        for bill in bills
        for component in bill.components
    }
    for _, (component, texts) in sorted(found.items()):
        verdict = rules.judge(component)
        about = f"{component['name']} {component['version']}"
        if not verdict.is_allowed:
            refused.append(f"{about}: {verdict.licence}")
        head = f"{about}\nLicence: {verdict.licence}\n"
        if verdict.reason:
            head += f"{verdict.reason}\n"
        parts.append("\n\n".join([head.strip(), *texts]) + "\n")
    return f"\n{'=' * 100}\n".join(parts), refused


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder as `sha256sum --check` reads it."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make everything; return the exit status."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", commit_date())
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    _run(sys.executable, "-m", "hatchling", "build", "-d", DIST)
    install()  # the texts of the page's licences lie there
    stem = f"llama-service-{__version__}"
    bills = [
        python_packages(ROOT / "requirements" / f"{lock}.txt", DIST / f"{stem}-{image}.cdx.json")
        for image, lock in IMAGES.items()
    ]
    bills.append(page_packages(DIST / f"{stem}-page.cdx.json"))
    rules = Rules()
    text, refused = notices(bills, rules)
    (DIST / "THIRD-PARTY-NOTICES.txt").write_text(text, encoding="utf-8")
    for name in sorted(rules.unused):
        refused.append(f"{name}: an exception that nothing needs any more")
    if refused:
        sys.exit("release: scripts/licences.toml does not allow\n" + "\n".join(refused))
    if is_available():
        _run(helm(), "package", CHART, "--destination", DIST)
    write_sums(DIST)
    print(f"release: {DIST} holds {', '.join(sorted(path.name for path in DIST.iterdir()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
