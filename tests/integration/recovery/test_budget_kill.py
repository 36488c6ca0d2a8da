"""What a killed worker had reserved of a budget is given back, and the answer's rest is counted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Script, Service, Stage
from tests.integration.recovery.conftest import Serve, at
from tests.integration.recovery.test_takeover import CONTINUES, has_read
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
    serve: Serve, parts: Stage, second: Service, budgeted: Connection, http: aiohttp.ClientSession
) -> None:
    async def row(query: str) -> tuple[Any, ...]:
        found: tuple[Any, ...] | None = await (await budgeted.execute(query)).fetchone()
        assert found is not None
        return found

    first = await serve("a")
    await parts.say(Script(tokens=60, rate=20))
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", **CONTINUES))
    await has_read(follower, 10)
    await first.kill()
    await reading
    (reserved,) = await row("SELECT sum(tokens)::int FROM budget_reservations")
    assert (await row("SELECT max(expires_at) <= now() + interval '1 minute' FROM budget_reservations"))[0]
    # A minute later. Until then nobody may spend what the dead worker might still have been spending.
    await budgeted.execute("UPDATE budget_reservations SET expires_at = now()")
    await follower.resume(at(anna, second))
    assert (follower.faults, follower.events[-1].name) == ([], "done")

    async def nothing_is_reserved() -> bool:
        return await row("SELECT count(*) FROM budget_reservations") == (0,)

    await eventually(nothing_is_reserved, 30)
    spent, requests = await row("SELECT sum(tokens)::int, sum(requests)::int FROM budget_use")
    assert 0 < spent < reserved, "what the dead call had reserved is given back, and the rest of the answer is counted"
    assert requests == 2, "the call that died was made"
