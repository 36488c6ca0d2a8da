"""A failover of Postgres under load: it takes no writes for twelve seconds, as while another server takes its place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account, Refused
from bench.stage import Stage, stage
from tests.integration.recovery.conftest import LONG
from tests.integration.recovery.test_workers import WHOLE
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SECONDS = 12  # longer than a lease
CONTINUES: dict[str, Any] = {"model_source": "ollama"}


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Stores of their own: nobody else shall be kept from writing."""
    async with stage(tmp_path_factory.mktemp("failover"), fsync=False, script=LONG) as made:
        yield made


@asynccontextmanager
async def read_only(address: str) -> AsyncIterator[None]:
    """Let the server take no writes, in sessions that are open too."""
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await connection.execute("SELECT pg_reload_conf()")

        async def is_told() -> bool:
            row = await (await connection.execute("SHOW transaction_read_only")).fetchone()
            return row == ("on",)

        await eventually(is_told)
        try:
            yield
        finally:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.execute("SELECT pg_reload_conf()")


async def test_twelve_seconds_without_writes_lose_no_question_and_no_word(
    made: Stage, http: aiohttp.ClientSession
) -> None:
    services = [await made.serve("a"), await made.serve("b")]
    accounts = [await Account(http, service.url).join() for service in services for _ in range(2)]
    followers = [Follower(account) for account in accounts]
    # Every second one's model can't go on with a text: its answer is whole where its own worker keeps it.
    ways = [CONTINUES, {}]
    reading = [
        asyncio.create_task(follower.ask("Count for me.", **ways[number % 2]))
        for number, follower in enumerate(followers)
    ]

    async def all_speak() -> bool:
        return all(follower.heard(20)() for follower in followers)

    await eventually(all_speak, 60)
    began = asyncio.get_running_loop().time()
    refused: list[int] = []
    async with read_only(made.environment["DATABASE_URL"]):
        while asyncio.get_running_loop().time() < began + SECONDS:
            # Whoever asks now is told to come back; whoever reads can read.
            with pytest.raises(Refused) as told:
                await asyncio.wait_for(accounts[0].ask("Anybody there?"), 15)
            refused.append(told.value.status)
            assert "dependency_unavailable" in str(told.value)
            await accounts[1].call("GET", "/conversations")
            await asyncio.sleep(0.5)
    assert set(refused) == {503}

    async def finish(follower: Follower) -> None:
        await reading[followers.index(follower)]
        for _ in range(60):
            if follower.ended:
                break
            await follower.resume()
        assert (follower.text, follower.faults) == (WHOLE, [])
        assert follower.events[-1].name == "done"

    await asyncio.gather(*(finish(follower) for follower in followers))
    after = [Follower(account) for account in accounts]
    await asyncio.gather(*(follower.ask("And now?", **CONTINUES) for follower in after))
    assert [follower.text for follower in after] == [WHOLE] * 4
