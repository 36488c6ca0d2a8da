"""For developers: ends API and worker when a Python file changes, whereupon their supervisor starts them again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from llama_service.runtime.process import Child, package_root

log = structlog.get_logger(__name__)

PACKAGES = ("api", "auth", "chains", "graphs", "ingestion", "llama_service", "persistence")
Snapshot = dict[Path, int]
_EVERY = 0.5  # seconds between two looks


def snapshot(root: Path) -> Snapshot:
    """Return when each Python file of our packages below `root` was last changed, in nanoseconds."""
    files = (path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return {path: path.stat().st_mtime_ns for path in files}


async def restart_on_change(children: Sequence[Child], before: Snapshot) -> None:
    """Compare the files with what they were `before` the children were started, until cancelled."""
    root = package_root()
    while True:
        await asyncio.sleep(_EVERY)
        now = await asyncio.to_thread(snapshot, root)
        if now == before:
            continue
        changed = sorted(str(path.relative_to(root)) for path, _ in before.items() ^ now.items())
        log.info("code_changed", files=changed[:3])
        before = now
        for child in children:
            await child.stop()
