"""The page's build: it happens when a source has changed, and only then."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser import ROOT

UI = ROOT / "ui"
SCRIPT = """
import sys
from pathlib import Path
import build_ui
print(build_ui.fingerprint(Path(sys.argv[1])), build_ui.is_current(Path(sys.argv[1])))
"""


def state_of(ui: Path) -> tuple[str, bool]:
    """Return the fingerprint of a page's sources, and whether it is built from them."""
    command = [sys.executable, "-c", SCRIPT, str(ui)]
    said = subprocess.run(command, cwd=ROOT / "scripts", check=True, capture_output=True, text=True).stdout.split()
    return said[0], said[1] == "True"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the page's sources."""
    return Path(shutil.copytree(UI, tmp_path / "ui", ignore=shutil.ignore_patterns("node_modules", "dist")))


def test_the_fingerprint_follows_the_sources(sources: Path) -> None:
    before, current = state_of(sources)
    assert not current
    (sources / "dist").mkdir()
    (sources / "dist" / ".stamp").write_text(before)
    assert state_of(sources) == (before, True)
    for path in ("src/app/main.tsx", "public/theme-init.js", "package-lock.json", "index.html", "openapi.json"):
        file = sources / path
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        assert state_of(sources)[1] is False, path
        file.write_bytes(content)
    (sources / "src" / "new.ts").write_text("export {};\n")
    assert state_of(sources)[1] is False


def test_the_lock_names_no_host() -> None:
    lock = json.loads((UI / "package-lock.json").read_text())
    assert lock["packages"]
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_built_page_is_whole(built_page: Path) -> None:
    index = (built_page / "index.html").read_text()
    assert "http://" not in index
    assert "https://" not in index
    scripts = list((built_page / "assets").glob("*.js"))
    assert scripts
    assert all(script.with_name(f"{script.name}.br").is_file() for script in scripts if script.stat().st_size >= 1024)
    assert (built_page / "docs" / "swagger-ui-bundle.js").is_file()
    assert (built_page / "pdfjs" / "cmaps").is_dir()
