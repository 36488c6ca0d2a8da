"""A connection that is lost in the middle of a statement is told as that, whichever way to Postgres was taken."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from persistence.session import DATABASE_AWAY, Statement
from persistence.session import Database as Pools
from tests.conftest import Database
from tests.support import Server, eventually

MARK = "/* lost in the middle */"
_SLEEP = f"SELECT pg_sleep(60) {MARK}"


async def in_a_transaction(pools: Pools) -> None:
    async with pools.transaction() as session:
        await session.execute(text(_SLEEP))


async def reading(pools: Pools) -> None:
    async with pools.reading() as session:
        await session.execute(text(_SLEEP))


async def raw(pools: Pools) -> None:
    async with pools.raw() as connection:
        await connection.rows(Statement(_SLEEP), {})


@pytest.mark.parametrize("way", [in_a_transaction, reading, raw])
async def test_it_is_the_database_that_is_away(
    way: Callable[[Pools], Awaitable[None]], server: Server, database: Database
) -> None:
    asked = asyncio.ensure_future(way(server.app.state.resources.database))
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE %s AND state = 'active' AND pid <> pg_backend_pid() AND usename IS NOT NULL"
    )

    async def killed() -> bool:
        return bool(database.execute(kill, [f"%{MARK}%"]).fetchall())

    await eventually(killed)
    with pytest.raises(DATABASE_AWAY):
        await asked
    # The pool gives a new one.
    async with server.app.state.resources.database.reading() as session:
        assert await session.scalar(text("SELECT 1")) == 1
