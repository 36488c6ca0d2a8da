"""Sizes and starts: the installed environment, the first and the second start of everything on a bare folder."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from bench.report import Row
from bench.stage import Stage
from llama_service.runtime.http import get
from llama_service.runtime.process import base_environment, free_port, package_root


def tree_bytes(folder: Path) -> int:
    """Return what a folder's files take on disk, hard links once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            found = os.lstat(os.path.join(root, name))
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
    return total


async def _start(folder: Path) -> tuple[float, str]:
    """Start everything, wait for `/ready`, end it; return the seconds and the status that was told."""
    port = free_port()
    began = time.perf_counter()
    with (folder / "up.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llama_service", "up", "--port", str(port), "--data-dir", str(folder / "all")),
            stdout=output,
            stderr=output,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env={**base_environment(), "PYTHONPATH": str(package_root())},
        )
    try:
        async with asyncio.timeout(180):
            while True:
                with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                    status, body = await get(f"http://127.0.0.1:{port}/ready")
                    if status == 200:
                        return time.perf_counter() - began, json.loads(body)["status"]
                if process.returncode is not None:
                    raise RuntimeError((folder / "up.log").read_text()[-2000:])
                await asyncio.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Measure the environment that runs this, and two starts of the whole service."""
    rows = [Row("sizes", "installed environment", tree_bytes(Path(sys.prefix)) / 1e9, "GB", 2.5, note="du of .venv")]
    first, told = await _start(stage.folder)
    rows.append(Row("starts", "first start to /ready", first, "s", note=f"status {told}; packages installed already"))
    second, told = await _start(stage.folder)
    rows.append(Row("starts", "second start to /ready", second, "s", 10, note=f"status {told}"))
    return rows
