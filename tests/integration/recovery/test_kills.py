"""The short form of `python -m bench.kills`: workers die at every stage, and no file is the worse for it."""

import asyncio
import time
from pathlib import Path

import psycopg
import pytest

from bench.kills import nursery, storm
from bench.load import Account, clients
from bench.stage import stage
from tests.files.office import docx
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_workers_that_die_at_every_stage_harm_no_file(tmp_path: Path) -> None:
    async with stage(tmp_path, fsync=False) as made:
        outcome = await storm(made, kills=15, seed=11)
    assert outcome.violations == []
    assert outcome.happened["kills"] == 15
    assert outcome.happened["kills at extract"] > 0
    assert outcome.happened["kills at embed"] > 0
    assert outcome.happened["files deleted"] > 0


async def test_the_job_of_a_killed_worker_is_taken_up_within_thirty_seconds(tmp_path: Path) -> None:
    lines = [("Normal", f"Line {number} of a ledger that takes a while to read.") for number in range(4000)]
    content = await asyncio.to_thread(docx, lines)
    async with stage(tmp_path, fsync=False) as made, clients() as session:
        api = await made.serve("uploads", INLINE_WORKER="false")
        account = await Account(session, api.url).join()
        async with (
            nursery(made) as first,
            nursery(made) as second,
            await psycopg.AsyncConnection.connect(made.postgres.dsn, autocommit=True) as connection,
        ):

            async def reading_by(worker: int) -> bool:
                query = "SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' AND attempts = %s"
                return await (await connection.execute(query, (worker,))).fetchone() is not None

            await first.bear()
            file = await account.upload("ledger.docx", content)
            await eventually(lambda: reading_by(0))
            await first.kill()
            killed = time.monotonic()
            await second.bear()
            await eventually(lambda: reading_by(1), 40)
            assert time.monotonic() - killed < 30

            async def completed() -> bool:
                state = await account.call("GET", f"/files/status/{file['id']}")
                return bool(state["status"] == "completed")

            await eventually(completed, 60)
