"""A request takes one connection at a time: else a few at once would wait for each other, for ever."""

from collections.abc import AsyncIterator

import httpx
import pytest

from llama_service.settings import Settings
from tests.conftest import Database
from tests.integration.api.test_authorisation import admin as admin
from tests.integration.api.test_authorisation import asked, doors
from tests.integration.api.test_authorisation import belongings as belongings
from tests.support import Person, Server, serving

# They would end what the others are tried with, or wait for a run.
_NOT_HERE = {"logout", "delete_me", "change_password", "end_session", "switch_two_factor_off", "begin_two_factor"}


@pytest.fixture(scope="module")
async def narrow(settings: Settings) -> AsyncIterator[Server]:
    """A server that has one connection for sessions and one for raw statements."""
    async with serving(settings.model_copy(update={"database_pool_size": 2, "inline_worker": False})) as running:
        yield running


async def test_each_route_gets_along_with_one_connection(
    narrow: Server, anna: Person, belongings: dict[str, str], database: Database
) -> None:
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (anna.name,))
    tried = 0
    async with httpx.AsyncClient(
        base_url=narrow.url, headers={"Authorization": anna.http.headers["Authorization"]}, timeout=8
    ) as client:
        for door in doors(narrow):
            if door.method == "DELETE" or door.endpoint.rpartition(".")[2] in _NOT_HERE or door.path == "/metrics":
                continue
            tried += 1
            assert await asked(client, door, belongings) < 500, door
    assert tried > 90
