"""Guessing is slowed down for the guessed account and the guesser, not for the office behind the same address."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from llama_service.settings import Settings
from tests.support import PASSWORD, Person, Server, serving

LIMIT = 5


@pytest.fixture(scope="module")
async def behind_proxy(settings: Settings) -> AsyncIterator[Server]:
    """A server that believes its proxy about the caller's address, as `serve` has uvicorn do."""
    async with serving(settings) as running:
        yield running


@dataclass
class Door:
    """The sign-in of a server, as seen from any address."""

    http: httpx.AsyncClient

    async def sign_in(self, account: str, password: str, address: str) -> int:
        body = {"username": account, "password": password}
        answer = await self.http.post("/auth/login", json=body, headers={"X-Forwarded-For": address})
        return answer.status_code

    async def guess(self, account: str, address: str, times: int = 1) -> list[int]:
        return [await self.sign_in(account, f"guess {n}", address) for n in range(times)]


@pytest.fixture
async def door(behind_proxy: Server) -> AsyncIterator[Door]:
    async with httpx.AsyncClient(base_url=f"{behind_proxy.url}/api/v1", timeout=60) as http:
        yield Door(http)


@pytest.fixture
async def carla(behind_proxy: Server) -> AsyncIterator[Person]:
    person = await Person.join(behind_proxy.url)
    yield person
    await person.close()


def address() -> str:
    """Return an address that no other test uses (RFC 3849)."""
    return f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}"


async def test_an_account_that_is_guessed_waits_where_it_is_guessed(door: Door, carla: Person) -> None:
    office, home = address(), address()
    assert await door.guess(carla.name, office, LIMIT + 1) == [401] * LIMIT + [429]
    assert await door.sign_in(carla.name, PASSWORD, office) == 429
    assert await door.sign_in(carla.email, PASSWORD, office) == 429, "both names count together"
    assert await door.sign_in(carla.name, PASSWORD, home) == 200


async def test_the_office_is_not_locked_out(door: Door, behind_proxy: Server, carla: Person) -> None:
    office = address()
    codes = [await door.sign_in(f"nobody{n}", "guess", office) for n in range(4 * LIMIT + 1)]
    assert codes == [401] * (4 * LIMIT + 1)
    # Whoever knows the password gets in, also for the first time; who has guessed once does not guess again.
    assert await door.sign_in(carla.name, PASSWORD, office) == 200
    assert await door.sign_in("nobody1", "guess", office) == 429
    colleague = await Person.join(behind_proxy.url)
    assert await door.sign_in(colleague.name, PASSWORD, office) == 200
    await colleague.close()


async def test_a_long_list_of_names_ends_at_the_address_but_for_those_who_are_known_there(
    door: Door, behind_proxy: Server, carla: Person
) -> None:
    office = address()
    assert await door.sign_in(carla.name, PASSWORD, office) == 200
    names = [f"list{n}" for n in range(20 * LIMIT + 6)]
    codes: list[int] = []
    for start in range(0, len(names), 8):
        part = names[start : start + 8]
        codes += await asyncio.gather(*(door.sign_in(name, "guess", office) for name in part))
    assert codes[: 20 * LIMIT - 8] == [401] * (20 * LIMIT - 8)
    assert codes[-1] == 429
    assert await door.sign_in(carla.name, PASSWORD, office) == 200
    stranger = await Person.join(behind_proxy.url)
    assert await door.sign_in(stranger.name, PASSWORD, office) == 429
    assert await door.sign_in(stranger.name, PASSWORD, address()) == 200
    await stranger.close()


async def test_guessers_at_many_addresses_do_not_keep_the_owner_out(door: Door, carla: Person) -> None:
    home = address()
    assert await door.sign_in(carla.name, PASSWORD, home) == 200
    codes = [(await door.guess(carla.name, address()))[0] for _ in range(4 * LIMIT + 2)]
    assert codes == [401] * (4 * LIMIT) + [429] * 2
    assert await door.sign_in(carla.name, PASSWORD, address()) == 429
    assert await door.sign_in(carla.name, PASSWORD, home) == 200
