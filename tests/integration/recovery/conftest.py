"""Two API processes on one database, with every part a real process that can be killed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import aiohttp
import pytest

from bench.load import Account, clients
from bench.stage import Script, Service, Stage, stage

Serve = Callable[..., Awaitable[Service]]
# Ten seconds of answer, slow enough to kill something in its middle.
LONG = Script(tokens=200, rate=20)


@pytest.fixture(scope="session")
async def parts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The stores and the provider doubles."""
    async with stage(tmp_path_factory.mktemp("recovery"), fsync=False, script=LONG) as made:
        yield made


@pytest.fixture(scope="session")
async def second(parts: Stage) -> Service:
    """An API process that stays up while others die."""
    return await parts.serve("second")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without limits."""
    async with clients() as session:
        yield session


@pytest.fixture
async def serve(parts: Stage) -> AsyncIterator[Serve]:
    """Start API processes; they end with the test."""
    started: list[Service] = []

    async def make(name: str, **environment: str) -> Service:
        service = await parts.serve(name, **environment)
        started.append(service)
        return service

    await parts.say(LONG)
    yield make
    for service in started:
        await service.child.stop(timeout=5)


def at(account: Account, service: Service) -> Account:
    """Return the same account at another API process."""
    return replace(account, url=service.url)
