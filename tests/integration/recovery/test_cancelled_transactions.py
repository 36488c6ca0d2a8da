"""Whoever stops an answer cancels what its task is doing, at any point of any statement: no connection keeps that."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from llama_service.dsn import PostgresDsn
from persistence.checkpoints import Pool, checkpoint_pool
from persistence.session import Database as Pools
from persistence.session import Statement
from tests.support import new_database

# More than a unit of work lasts: the later ones find it done.
TURNS_OF_THE_LOOP = 150
_WRITE = "INSERT INTO written VALUES ("


@pytest.fixture
async def address(postgres: str) -> str:
    made = new_database(postgres, "cancelled")
    with psycopg.connect(made) as connection:
        connection.execute("CREATE TABLE written (id uuid)")
    return made


@pytest.fixture
async def pools(address: str) -> AsyncIterator[Pools]:
    """One connection of each kind: who comes next gets the one that was given back."""
    made = Pools(PostgresDsn.of(address), pool_size=2)
    yield made
    await made.close()


@pytest.fixture
async def saver(address: str) -> AsyncIterator[Pool]:
    """The pool of LangGraph's saver, of one connection too."""
    async with checkpoint_pool(PostgresDsn.of(address), 1) as pool:
        yield pool


async def by_the_saver(_: Pools, saver: Pool, id_: UUID) -> None:
    async with saver.connection() as connection, connection.transaction():
        await connection.execute(f"{_WRITE}%s)".encode(), [id_])


async def in_a_transaction(pools: Pools, _: Pool, id_: UUID) -> None:
    async with pools.transaction() as session:
        await session.execute(text(f"{_WRITE}:id)"), {"id": id_})


async def reading(pools: Pools, _: Pool, id_: UUID) -> None:
    async with pools.reading() as session:
        await session.execute(text(f"{_WRITE}:id)"), {"id": id_})


async def raw_in_a_transaction(pools: Pools, _: Pool, id_: UUID) -> None:
    async with pools.raw() as connection:
        await connection.rows(Statement(f"{_WRITE}:id)"), {"id": id_})


async def raw(pools: Pools, _: Pool, id_: UUID) -> None:
    async with pools.raw(transaction=False) as connection:
        await connection.rows(Statement(f"{_WRITE}:id)"), {"id": id_})


WAYS = [by_the_saver, in_a_transaction, reading, raw_in_a_transaction, raw]


@pytest.mark.parametrize("cancelled", WAYS)
async def test_what_is_written_after_a_cancelled_one_is_there(
    cancelled: Callable[[Pools, Pool, UUID], Awaitable[None]], pools: Pools, saver: Pool, address: str
) -> None:
    with psycopg.connect(address, autocommit=True) as others:
        for turns in range(TURNS_OF_THE_LOOP):
            task = asyncio.ensure_future(cancelled(pools, saver, uuid4()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for way in WAYS:
                await way(pools, saver, written := uuid4())
                seen = others.execute("SELECT count(*) FROM written WHERE id = %s", [written]).fetchone()
                assert seen == (1,), f"cancelled after {turns} turns of the loop, lost by {way.__name__}"
