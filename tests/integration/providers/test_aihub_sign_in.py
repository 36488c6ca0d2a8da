"""Tokens of AI HUB's Keycloak: which grant, how often, and what happens when they go bad."""

import asyncio

import pytest

from chains.models import ModelRegistry
from llama_service.errors import ProviderAuthFailed, ProviderUnavailable
from tests.providers import AIHubServer
from tests.providers.asking import EXPECTED, PROMPT, Open, ask, hub_settings


async def test_client_credentials_where_no_user_is_set(hub: AIHubServer, registry_with: Open) -> None:
    await ask(await registry_with(**hub_settings(hub)), source="aihub")
    assert hub.grants == ["client_credentials"]


async def test_password_grant_where_a_user_is_set(hub: AIHubServer, registry_with: Open) -> None:
    given = hub_settings(hub, aihub_username=hub.username, aihub_password=hub.password)
    await ask(await registry_with(**given), source="aihub")
    assert hub.grants == ["password"]


async def test_one_flight_for_all_who_wait(hub: AIHubServer, registry_with: Open) -> None:
    hub.script(delay=0.05)
    hub.token_delay = 0.05
    registry = await registry_with(**hub_settings(hub), provider_first_token_timeout=5)
    answers = await asyncio.gather(*(ask(registry, source="aihub") for _ in range(10)))
    assert {text for _, text, _ in answers} == {EXPECTED}
    assert hub.tokens_issued == ["token-1"]


async def test_flight_goes_on_when_its_first_passenger_leaves(hub: AIHubServer, registry_with: Open) -> None:
    hub.script(delay=0.1)
    hub.token_delay = 0.1
    registry = await registry_with(**hub_settings(hub), provider_first_token_timeout=5)
    first = asyncio.create_task(ask(registry, source="aihub"))
    second = asyncio.create_task(ask(registry, source="aihub"))
    async with asyncio.timeout(2):
        await hub.signing_in.wait()
    first.cancel()
    assert (await second)[1] == EXPECTED
    assert hub.tokens_issued == ["token-1"]


async def test_token_is_kept_while_it_is_good(hub: AIHubServer, registry_with: Open) -> None:
    hub.expires_in = None
    registry = await registry_with(**hub_settings(hub))
    for _ in range(5):
        await ask(registry, source="aihub")
    assert len(hub.tokens_issued) == 1


async def test_token_is_renewed_before_its_end(hub: AIHubServer, registry_with: Open) -> None:
    hub.expires_in = 0.6
    registry = await registry_with(**hub_settings(hub))
    await ask(registry, source="aihub")
    async with asyncio.timeout(3):
        while len(hub.tokens_issued) < 3:
            assert (await ask(registry, source="aihub"))[1] == EXPECTED
            await asyncio.sleep(0.05)
    refused = [request for request in hub.chats if request.headers["Authorization"] not in _bearers(hub)]
    assert refused == []


def _bearers(hub: AIHubServer) -> set[str]:
    return {f"Bearer {token}" for token in hub.tokens_issued}


@pytest.mark.parametrize("path", ["models/{model}/chat/stream", ""])
async def test_revoked_token_is_replaced_once(hub: AIHubServer, registry_with: Open, path: str) -> None:
    registry = await registry_with(**hub_settings(hub, aihub_chat_stream_path=path))
    await ask(registry, source="aihub")
    hub.revoke()
    assert (await ask(registry, source="aihub"))[1] == EXPECTED
    assert hub.tokens_issued == ["token-1", "token-2"]
    hub.script(fault="401_once")
    assert (await ask(registry, source="aihub"))[1] == EXPECTED
    assert len(hub.tokens_issued) == 3


async def test_refusal_as_first_event_of_a_stream_is_repeated_too(hub: AIHubServer, registry_with: Open) -> None:
    registry = await registry_with(**hub_settings(hub))
    hub.script(fault="401_event", times=1)
    assert (await ask(registry, source="aihub"))[1] == EXPECTED
    assert len(hub.tokens_issued) == 2


async def test_refused_for_good_is_told_after_two_tries(hub: AIHubServer, registry_with: Open) -> None:
    registry = await registry_with(**hub_settings(hub))
    hub.script(fault="401")
    with pytest.raises(ProviderAuthFailed):
        await ask(registry, source="aihub")
    assert len(hub.chats) <= 4


async def test_wrong_account_is_tried_once_and_told(hub: AIHubServer, registry_with: Open) -> None:
    registry = await registry_with(**hub_settings(hub, aihub_client_secret="wrong"))
    with pytest.raises(ProviderAuthFailed, match="sign-in server"):
        await ask(registry, source="aihub")
    assert len([request for request in hub.requests if request.path.endswith("/token")]) == 1
    states = await registry.status()
    assert "wrong" not in str(states["aihub"])
    assert not states["aihub"].available


async def test_sign_in_server_that_is_down(hub: AIHubServer, registry_with: Open) -> None:
    given = hub_settings(hub, aihub_keycloak_host="http://127.0.0.1:9/token")
    with pytest.raises(ProviderUnavailable):
        await ask(await registry_with(**given), source="aihub")
    assert hub.requests == []


async def test_stops_are_kept_although_the_wire_has_none(hub: AIHubServer, registry_with: Open) -> None:
    from chains.types import ModelParams

    registry: ModelRegistry = await registry_with(**hub_settings(hub))
    hub.script(tokens=["one ", "two ST", "OP three"])
    _, text, end = await ask(registry, PROMPT, source="aihub", params=ModelParams(stop=["STOP"]))
    assert (text, end.finish_reason) == ("one two ", "stop")
