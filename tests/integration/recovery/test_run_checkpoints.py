"""The checkpoints of a run are written together, and in time, whatever Postgres does meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from llama_service.dsn import PostgresDsn
from persistence.checkpoints import BranchSaver, RunCheckpoints, checkpoint_pool, run_checkpoints, wait_until_written
from tests.support import eventually, migrated_database


class Stage:
    """A saver on a database of its own, and the checkpoints of one run."""

    def __init__(self, address: str, saver: BranchSaver) -> None:
        self.address = address
        self.saver = saver
        self.thread = str(uuid4())
        self.states = RunCheckpoints(saver, None)

    async def take(self) -> str:
        """Hand a checkpoint over, as LangGraph does within a run; return its id."""
        checkpoint: Checkpoint = empty_checkpoint()
        config: Any = {"configurable": {"thread_id": self.thread, "checkpoint_ns": ""}}
        token = run_checkpoints.set(self.states)
        try:
            await self.saver.aput(config, checkpoint, {}, {})
        finally:
            run_checkpoints.reset(token)
        return checkpoint["id"]

    async def written(self) -> set[str]:
        """Return the checkpoints that Postgres has."""
        query = "SELECT checkpoint_id FROM checkpoints WHERE thread_id = %s"
        async with await psycopg.AsyncConnection.connect(self.address) as connection:
            return {row[0] for row in await (await connection.execute(query, [self.thread])).fetchall()}

    async def waiting(self) -> list[int]:
        """Return the connections that wait for a lock."""
        query = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with await psycopg.AsyncConnection.connect(self.address) as connection:
            return [row[0] for row in await (await connection.execute(query)).fetchall()]

    async def held_up(self) -> psycopg.AsyncConnection[Any]:
        """Let writing wait, until what is returned is closed."""
        connection = await psycopg.AsyncConnection.connect(self.address)
        await connection.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")
        return connection


@pytest.fixture
async def made(postgres: str) -> AsyncIterator[Stage]:
    address = await migrated_database(postgres, "states")
    pool = checkpoint_pool(PostgresDsn.of(address), 2)
    await pool.open(wait=True)
    yield Stage(address, BranchSaver(pool))
    await pool.close()


async def test_what_comes_while_a_slow_write_lasts_is_written_after_it(made: Stage) -> None:
    lock = await made.held_up()
    first = await made.take()
    await eventually(made.waiting)
    # Longer than checkpoints are held back: the timer rings while the write lasts.
    later = [await made.take()]
    await asyncio.sleep(0.3)
    later.append(await made.take())
    await lock.close()

    async def all_written() -> bool:
        return await made.written() == {first, *later}

    await eventually(all_written, 10)


async def test_what_could_not_be_written_is_tried_again(made: Stage) -> None:
    lock = await made.held_up()
    taken = await made.take()
    (waiting,) = await eventually(made.waiting)
    await lock.execute("SELECT pg_terminate_backend(%s)", [waiting])
    await lock.close()

    async def is_written() -> bool:
        return await made.written() == {taken}

    await eventually(is_written, 15)


async def test_who_needs_a_state_gets_it_at_once(made: Stage) -> None:
    token = run_checkpoints.set(made.states)
    taken = empty_checkpoint()
    config: Any = {"configurable": {"thread_id": made.thread, "checkpoint_ns": ""}}
    waits = asyncio.create_task(wait_until_written(taken["id"]))
    await asyncio.sleep(0)
    assert not waits.done()
    await made.saver.aput(config, taken, {}, {})
    run_checkpoints.reset(token)
    await asyncio.wait_for(waits, 10)
    assert await made.written() == {taken["id"]}


async def test_who_needs_a_state_that_is_just_being_written_hears_of_it(made: Stage) -> None:
    lock = await made.held_up()
    taken = await made.take()
    made.states.flush_soon()
    await eventually(made.waiting)
    token = run_checkpoints.set(made.states)
    waits = asyncio.create_task(wait_until_written(taken))
    run_checkpoints.reset(token)
    await asyncio.sleep(0)
    assert not waits.done()
    await lock.close()
    await asyncio.wait_for(waits, 10)


async def test_the_end_writes_what_waits_or_drops_it(made: Stage) -> None:
    kept = await made.take()
    await made.states.close()
    assert await made.written() == {kept}
    made.states = RunCheckpoints(made.saver, kept)
    await made.take()
    await made.states.close(drop=True)
    await made.take()
    await made.states.flush()
    assert await made.written() == {kept}


async def test_an_end_that_can_not_be_written_ends_all_the_same(made: Stage) -> None:
    lock = await made.held_up()
    await made.take()
    (waiting,) = await eventually(made.waiting)
    closing = asyncio.create_task(made.states.close())
    await lock.execute("SELECT pg_terminate_backend(%s)", [waiting])

    async def waits_again() -> bool:
        return bool(set(await made.waiting()) - {waiting})

    await eventually(waits_again, 10)
    for other in set(await made.waiting()) - {waiting}:
        await lock.execute("SELECT pg_terminate_backend(%s)", [other])
    await asyncio.wait_for(closing, 10)
    await lock.close()
    # Nothing goes on trying.
    assert [task for task in asyncio.all_tasks() if task.get_name() == "checkpoints" and not task.done()] == []
