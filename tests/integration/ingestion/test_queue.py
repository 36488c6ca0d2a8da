"""The queue after a worker's death: nothing stays stuck behind what it left."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from ingestion.worker import open_ingestion
from llama_service.settings import Settings
from tests.conftest import Database
from tests.support import Person, Server, eventually, migrated_database, serving

_LONG = "\n\n".join(f"{'The lamp is to be mended, said the letter. ' * 4}In room {n}." for n in range(3000)).encode()
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


async def test_a_job_that_every_worker_died_of_is_given_up(anna: Person, database: Database) -> None:
    file = await anna.indexed("deadly.txt", b"Something that no worker survives.")
    taken_up = """
        WITH file AS (UPDATE files SET status = 'processing', stage = 'extract' WHERE id = %(file)s::uuid RETURNING id)
        INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, status, attempts)
        SELECT 'read', 'read', 0, %(lock)s, %(lock)s, jsonb_build_object('file_id', id), 'doing', 5 FROM file
    """
    await asyncio.to_thread(database.execute, taken_up, {"lock": f"read-{file['id']}", "file": file["id"]})

    async def given_up() -> bool:
        # Found by what was read of it before; the error says that it could not be read again.
        state = await anna.get(f"/files/status/{file['id']}")
        return bool(state["status"] == "partial_success" and state["error"])

    await eventually(given_up, 20)

    async def gone() -> bool:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE lock = %s"
        return (await asyncio.to_thread(database.execute, query, (f"read-{file['id']}",))).fetchone() == (0,)

    await eventually(gone, 20)


@pytest.fixture
async def quiet(settings: Settings, postgres: str, tmp_path: Path) -> AsyncIterator[Server]:
    """A server without workers, whose queue nobody else's files are in."""
    own = {
        "database_url": SecretStr(await migrated_database(postgres, "quiet")),
        "data_dir": tmp_path,
        "collection_name": f"q{os.urandom(4).hex()}",
        "chunk_size": 200,
        "chunk_overlap": 0,
        "inline_worker": False,
        "worker_concurrency": 1,
    }
    async with serving(settings.model_copy(update=own)) as server:
        yield server


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Have a worker of its own at work."""
    async with AsyncExitStack() as stack:
        ingestion = await open_ingestion(settings, stack)
        stack.push_async_callback(ingestion.close)
        await ingestion.start(work=True)
        yield


async def finished(server: Server) -> list[str]:
    """Return the files of all people in the order in which their indexing ended."""
    async with await psycopg.AsyncConnection.connect(server.settings.postgres_session.libpq) as connection:
        rows = await (await connection.execute("SELECT id FROM files ORDER BY updated_at")).fetchall()
    return [str(id_) for (id_,) in rows]


async def test_people_take_turns_however_many_files_each_has_waiting(quiet: Server) -> None:
    anna, boris = await Person.join(quiet.url), await Person.join(quiet.url)
    for number in range(8):
        await anna.upload(f"{number}.txt", f"The lamp of room {number} is to be mended.".encode())
    last = await boris.upload("wall.txt", b"The wall is to be painted.")
    async with working(quiet.settings):

        async def all_read() -> bool:
            waiting = [*(await anna.get("/files"))["items"], *(await boris.get("/files"))["items"]]
            return len(waiting) == 9 and all(file["status"] == "completed" for file in waiting)

        await eventually(all_read)
    assert (await finished(quiet)).index(last["id"]) <= 2
    await asyncio.gather(anna.close(), boris.close())


async def test_they_take_turns_in_the_embedding_too_whoever_was_read_first(quiet: Server) -> None:
    anna, boris = await Person.join(quiet.url), await Person.join(quiet.url)

    async def read(person: Person, file_id: str) -> None:
        async def is_read() -> bool:
            return bool((await person.get(f"/files/status/{file_id}"))["stage"] == "embed")

        await eventually(is_read)

    async with working(quiet.settings):
        long = await anna.upload("long.txt", _LONG)
        await read(anna, long["id"])
        async with await psycopg.AsyncConnection.connect(quiet.settings.postgres_session.libpq) as connection:
            # The long file's embedding waits for this lock, and the others for it.
            await connection.execute("SELECT 1 FROM files WHERE id = %s FOR UPDATE", [long["id"]])
            for number in range(6):
                file = await anna.upload(f"{number}.txt", f"The lamp of room {number} is to be mended.".encode())
                await read(anna, file["id"])
            his = await boris.upload("wall.txt", b"The wall is to be painted.")
            await read(boris, his["id"])

        async def all_embedded() -> bool:
            found = [*(await anna.get("/files"))["items"], *(await boris.get("/files"))["items"]]
            return all(file["status"] == "completed" for file in found)

        await eventually(all_embedded)
    assert (await finished(quiet)).index(his["id"]) <= 2
    await asyncio.gather(anna.close(), boris.close())


async def test_a_long_file_lets_others_be_embedded_meanwhile(quiet: Server) -> None:
    anna, boris = await Person.join(quiet.url), await Person.join(quiet.url)
    async with working(quiet.settings):
        long = await anna.upload("long.txt", _LONG)

        async def state() -> dict[str, Any]:
            found: dict[str, Any] = await anna.get(f"/files/status/{long['id']}")
            return found

        async def begun() -> bool:
            return bool((await state())["chunks_indexed"])

        await eventually(begun)
        short = await boris.indexed("short.txt", b"The wall is to be painted.")
        then = await state()
        assert short["status"] == "completed"
        assert 0 < then["chunks_indexed"] < then["chunks_total"]

        async def whole() -> bool:
            return bool((await state())["status"] == "completed")

        await eventually(whole)
        assert (await state())["chunks_indexed"] == then["chunks_total"] > 2500
    await asyncio.gather(anna.close(), boris.close())


async def test_a_worker_deletes_the_copies_that_a_killed_one_left(
    settings: Settings, postgres: str, tmp_path: Path
) -> None:
    # Of its own: it has none of the bytes of other tests' files.
    own = {"database_url": SecretStr(await migrated_database(postgres, "copies")), "data_dir": tmp_path}
    left, fresh = (tmp_path / "blobs" / "incoming" / name for name in ("left", "fresh"))
    left.parent.mkdir(parents=True)
    for path in (left, fresh):
        path.write_text("a copy of a file")
    os.utime(left, (0, 0))
    async with working(settings.model_copy(update=own)):

        async def gone() -> bool:
            return not left.exists()

        await eventually(gone, 20)
    assert fresh.exists()
