"""The queue after a worker's death: nothing stays stuck behind what it left."""

import asyncio

from tests.conftest import Database
from tests.support import Person, eventually

_LEFT = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, status)
    VALUES ('embed', 'embed', 0, %(lock)s, %(lock)s, jsonb_build_object('file_id', %(file)s::text), %(status)s)
"""


async def test_a_dead_workers_job_gives_way_to_the_same_one_that_was_queued_meanwhile(
    anna: Person, database: Database
) -> None:
    file = await anna.indexed("twice.txt", b"Something that is embedded twice.")
    lock = f"embed-{file['id']}"
    for status in ("doing", "todo"):
        await asyncio.to_thread(database.execute, _LEFT, {"lock": lock, "file": file["id"], "status": status})

    async def gone() -> bool:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE lock = %s"
        row = (await asyncio.to_thread(database.execute, query, (lock,))).fetchone()
        return row is not None and row[0] == 0

    await eventually(gone, 20)
    assert (await anna.get(f"/files/status/{file['id']}"))["status"] == "completed"
