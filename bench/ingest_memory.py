"""Memory of a worker over a thousand files of all formats."""

import asyncio
import contextlib

import psutil

from bench.load import Account, clients
from bench.papers import any_paper
from bench.report import Row
from bench.stage import Stage

_TOGETHER = 20


def _tree(pid: int) -> tuple[int, int]:
    """Return the resident bytes of a process, and of it with all of its children."""
    worker = psutil.Process(pid)
    own = worker.memory_info().rss
    whole = own
    for child in worker.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            whole += child.memory_info().rss
    return own, whole


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Upload some at a time, wait for them, and look at the worker meanwhile."""
    files = 150 if quick else 1000
    async with clients() as session:
        api = await stage.serve(INLINE_WORKER="false", MAX_FILES_PER_USER="5000")
        worker = await stage.work()
        assert worker.pid is not None
        account = await Account(session, api.url).join()
        most, after = 0, {}
        for begin in range(0, files, _TOGETHER):
            papers = [any_paper(number, 0) for number in range(begin, begin + _TOGETHER)]
            ids = {(await account.upload(paper.name, paper.content))["id"] for paper in papers}
            while ids:
                own, whole = _tree(worker.pid)
                most = max(most, whole)
                states = [await account.call("GET", f"/files/status/{file}") for file in list(ids)[:3]]
                ids -= {state["id"] for state in states if state["status"] in ("completed", "failed")}
                await asyncio.sleep(0.05)
            after[begin + _TOGETHER] = _tree(worker.pid)[0]
        own, whole = _tree(worker.pid)
        await worker.stop()
        await api.child.stop()
    early = after[min(count for count in after if count >= files // 5)]
    return [
        Row("ingest", "memory of a worker and its children, at most", most / 1e6, "MB", 700, note=f"{files} files"),
        Row("ingest", "the same, at the end", whole / 1e6, "MB", note=f"the worker alone: {own / 1e6:.0f} MB"),
        Row("ingest", "the worker's growth from a fifth of them on", (own - early) / 1e6, "MB", 40),
    ]
