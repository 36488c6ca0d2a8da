"""What a killed worker had reserved of a budget is given back, and the answer's rest is counted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Service, Stage
from tests.integration.recovery.conftest import Serve, at
from tests.integration.recovery.test_takeover import CONTINUES, has_read
from tests.integration.recovery.test_workers import WHOLE
from tests.support import eventually

pytestmark = pytest.mark.slow

LIMIT = 100_000
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def budgeted(parts: Stage) -> AsyncIterator[Connection]:
    """A connection to a database where everybody together has a budget until the test ends."""
    dsn = parts.environment["DATABASE_URL"]
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO budgets (id, each, period, tokens) VALUES (gen_random_uuid(), false, 'day', %s)", (LIMIT,)
        )
        yield connection
        await connection.execute("DELETE FROM budgets")


async def test_nothing_stays_reserved_by_a_killed_worker(
    serve: Serve, second: Service, budgeted: Connection, http: aiohttp.ClientSession
) -> None:
    async def row(query: str) -> tuple[Any, ...]:
        found: tuple[Any, ...] | None = await (await budgeted.execute(query)).fetchone()
        assert found is not None
        return found

    first = await serve("a")
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", **CONTINUES))
    await has_read(follower, 10)
    assert (await row("SELECT count(*) FROM budget_reservations"))[0] == 1
    await first.kill()
    await reading
    await follower.resume(at(anna, second))
    assert (follower.faults, follower.text) == ([], WHOLE)

    async def only_the_dead_one_is_left() -> bool:
        return await row("SELECT count(*) FROM budget_reservations") == (1,)

    await eventually(only_the_dead_one_is_left)
    assert (await row("SELECT max(expires_at) <= now() + interval '1 minute' FROM budget_reservations"))[0]
    # A minute later. Until then nobody may spend what the dead worker might still have been spending.
    (reserved,) = await row("SELECT sum(tokens)::int FROM budget_reservations")
    (before,) = await row("SELECT sum(tokens)::int FROM budget_use")
    await budgeted.execute("UPDATE budget_reservations SET expires_at = now()")

    async def nothing_is_left() -> bool:
        return await row("SELECT count(*) FROM budget_reservations") == (0,)

    await eventually(nothing_is_left, 30)
    spent, requests = await row("SELECT sum(tokens)::int, sum(requests)::int FROM budget_use")
    assert spent == before - reserved
    assert 0 < spent < LIMIT
    assert requests == 2, "the call that died was made"
