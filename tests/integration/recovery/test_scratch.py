"""What a worker keeps while it reads lies in DATA_DIR, is private, and does not outlive it for ever."""

import os
import stat
from pathlib import Path

import aiohttp
import psutil
import pytest

from bench.load import Account
from bench.stage import stage
from tests.files.pdf import pdf
from tests.support import eventually

pytestmark = pytest.mark.slow


def folders(scratch: Path) -> set[Path]:
    return set(scratch.glob("process-*/extract-*"))


async def test_a_killed_worker_leaves_nothing_behind(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    scratch = tmp_path / "data" / "scratch"
    variables = {"DATA_DIR": str(tmp_path / "data"), "TMPDIR": str(elsewhere), "INLINE_WORKER": "true"}
    # Stores of its own: another test's worker would take the file, and read it in another folder.
    async with stage(tmp_path / "stage", fsync=False) as made:
        first = await made.serve("reader", **variables)
        anna = await Account(http, first.url).join()
        content = pdf([f"Page {n} tells of things. " * 20 for n in range(600)])
        file = await anna.upload("long.pdf", content)

        async def is_reading() -> bool:
            return bool(folders(scratch))

        await eventually(is_reading)
        assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
        left = folders(scratch)
        readers = psutil.Process(first.pid).children(recursive=True)
        await first.kill()
        psutil.wait_procs(readers, timeout=10)
        assert left & folders(scratch), "kill -9 leaves it"
        assert not list(elsewhere.glob("extract-*"))

        second = await made.serve("reader", **variables)
        anna.url = second.url

        async def is_read() -> bool:
            return bool((await anna.call("GET", f"/files/{file['id']}"))["status"] in ("completed", "partial_success"))

        await eventually(is_read, 90)
        assert not left & folders(scratch)
        os.kill(second.pid, 15)
        await second.child.wait()
        assert list(scratch.iterdir()) == []
