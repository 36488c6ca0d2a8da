"""AI HUB asked in the name of whoever chats: tokens exchanged, renewed, gone with the session, refused to outsiders."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from llama_service.settings import Settings, load_settings
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_oidc import Browser
from tests.providers import AIHubServer, OidcServer
from tests.support import Person, Server, serving

SECRET_FIELDS = {"code", "code_verifier", "refresh_token", "subject_token"}
GUARD = {"X-Requested-With": "llama-service"}


@pytest.fixture(autouse=True)
def _good_hub(aihub: AIHubServer, company: OidcServer) -> None:
    company.reset()
    company.access_lifetime = 300
    aihub.whose = company.whose
    aihub.barred.clear()
    aihub.asked_as.clear()
    aihub.grants.clear()
    aihub.requests.clear()


@pytest.fixture(params=["streamed", "whole"])
async def as_user(request: pytest.FixtureRequest, settings: Settings, aihub: AIHubServer) -> AsyncIterator[Server]:
    """A server that asks the hub in users' names."""
    given = settings.model_dump(exclude={"inline_worker", "aihub_chat_stream_path"}, exclude_unset=True)
    path = settings.aihub_chat_stream_path if request.param == "streamed" else ""
    made = load_settings(
        _env_file=None,
        **given,
        inline_worker=False,
        aihub_as_user="company",
        aihub_audience=aihub.audience,
        aihub_chat_stream_path=path,
    )
    async with serving(made) as running:
        yield running


@pytest.fixture
async def member(company: OidcServer, as_user: Server) -> AsyncIterator[Browser]:
    """Somebody of the company who is signed in."""
    name = f"h{uuid4().hex[:10]}"
    company.join(name)
    browser = Browser(as_user.url)
    assert await browser.sign_in(name) == "/"
    yield browser
    await browser.http.aclose()


async def name_of(browser: Browser) -> str:
    account = await browser.me()
    assert account is not None
    return str(account["username"])


async def ask(browser: Browser, path: str = "/api/v1/chat", **body: object) -> tuple[int, str]:
    """Ask the hub; return the status, and the answer or the error's code."""
    asked = {"message": "Hello", "model_source": "aihub", "use_rag": False} | body
    answer = await browser.http.post(path, json=asked, headers=GUARD)
    if answer.status_code == 200:
        return 200, str(answer.json()["response"])
    return answer.status_code, str(envelope(answer)["code"])


async def test_the_hub_is_asked_in_the_users_name(member: Browser, aihub: AIHubServer) -> None:
    name = await name_of(member)
    for _ in range(3):
        assert (await ask(member))[0] == 200
    assert set(aihub.asked_as) == {name}
    # One exchange for all of it; the service's own account did no more than look at the list of models.
    assert [grant for grant in aihub.grants if "exchange" in grant] == [
        "urn:ietf:params:oauth:grant-type:token-exchange"
    ]


async def test_an_openai_client_asks_in_its_owners_name(member: Browser, aihub: AIHubServer) -> None:
    key = await member.http.post("/api/v1/api-keys", json={"name": "x", "scopes": ["chat"]}, headers=GUARD)
    answer = await member.http.post(
        "/v1/chat/completions",
        json={"model": "aihub/hub-chat", "messages": [{"role": "user", "content": "Hello"}]},
        headers={"Authorization": f"Bearer {key.json()['key']}"},
    )
    assert answer.status_code == 200, answer.text
    assert aihub.asked_as == [await name_of(member)]


async def test_whoever_came_with_a_password_is_told_what_to_do(as_user: Server, aihub: AIHubServer) -> None:
    person = await Person.join(as_user.url)
    answer = await person.http.post("/chat", json={"message": "Hello", "model_source": "aihub"})
    assert (answer.status_code, envelope(answer)["code"]) == (403, "sign_in_needed")
    assert aihub.asked_as == []
    await person.close()


async def test_nobody_asks_with_anothers_token(member: Browser, company: OidcServer, aihub: AIHubServer) -> None:
    other = Browser(member.url)
    name = f"h{uuid4().hex[:10]}"
    company.join(name)
    await other.sign_in(name)
    await asyncio.gather(*(ask(browser) for _ in range(4) for browser in (member, other)))
    by_name = {who: aihub.asked_as.count(who) for who in aihub.asked_as}
    assert set(by_name) == {name, await name_of(member)}
    await other.http.aclose()


async def test_a_hub_that_refuses_somebody_tells_them(member: Browser, aihub: AIHubServer) -> None:
    aihub.barred.add(await name_of(member))
    answer = await member.http.post("/api/v1/chat", json={"message": "Hello", "model_source": "aihub"}, headers=GUARD)
    assert (answer.status_code, envelope(answer)["code"]) == (403, "sign_in_denied")
    assert "AI HUB does not take your account" in answer.text
    assert "secret" not in answer.text
    # It speaks against nobody else.
    aihub.barred.clear()
    assert (await ask(member))[0] == 200


async def test_a_token_that_the_hub_has_dropped_is_exchanged_anew(member: Browser, aihub: AIHubServer) -> None:
    await ask(member)
    aihub.revoke()
    assert (await ask(member))[0] == 200
    assert sum("exchange" in grant for grant in aihub.grants) == 2


async def test_the_providers_token_is_renewed_early_and_by_one(
    member: Browser, company: OidcServer, database: Database
) -> None:
    name = await name_of(member)
    database.execute(
        "UPDATE provider_sessions SET access_expires_at = clock_timestamp() + interval '20 seconds'"
        " WHERE user_id = (SELECT id FROM users WHERE username = %s)",
        [name],
    )
    company.requests.clear()
    assert {status for status, _ in await asyncio.gather(*(ask(member) for _ in range(5)))} == {200}
    assert [grant for grant, _ in company.requests] == ["refresh_token"]


async def test_a_session_that_has_ended_at_the_provider_asks_to_sign_in(
    member: Browser, company: OidcServer, database: Database
) -> None:
    name = await name_of(member)
    company.end_sessions(name)
    database.execute(
        "UPDATE provider_sessions SET access_expires_at = clock_timestamp()"
        " WHERE user_id = (SELECT id FROM users WHERE username = %s)",
        [name],
    )
    assert await ask(member) == (403, "sign_in_needed")
    assert await member.me() is not None
    await member.sign_in(name)
    assert (await ask(member))[0] == 200


async def test_signing_out_leaves_nothing_to_ask_with(member: Browser, aihub: AIHubServer) -> None:
    key = await member.http.post("/api/v1/api-keys", json={"name": "x", "scopes": ["chat"]}, headers=GUARD)
    bearer = {"Authorization": f"Bearer {key.json()['key']}"}
    body = {"message": "Hello", "model_source": "aihub"}
    assert (await member.http.post("/api/v1/chat", json=body, headers=bearer)).status_code == 200
    await member.sign_out()
    aihub.asked_as.clear()
    answer = await member.http.post("/api/v1/chat", json=body, headers=bearer)
    assert (answer.status_code, envelope(answer)["code"]) == (403, "sign_in_needed")
    assert aihub.asked_as == []


async def test_a_provider_that_is_away_for_a_moment_is_told_as_such(
    member: Browser, company: OidcServer, database: Database
) -> None:
    name = await name_of(member)
    database.execute(
        "UPDATE provider_sessions SET access_expires_at = clock_timestamp()"
        " WHERE user_id = (SELECT id FROM users WHERE username = %s)",
        [name],
    )
    company.token_error = (503, {"error": "temporarily_unavailable"})
    assert await ask(member) == (503, "dependency_unavailable")
    company.reset()
    assert (await ask(member))[0] == 200


async def test_no_secret_of_a_sign_in_is_logged(
    member: Browser,
    company: OidcServer,
    aihub: AIHubServer,
    database: Database,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Codes, states, tokens of either server and secrets: on the good way, at a refusal, and at a failure."""
    name = await name_of(member)
    company.requests.clear()
    page = await member.to_provider()
    address = await member.at_provider(page, name)
    await member.back(address)
    await member.back(address)  # the code is spent
    await ask(member)
    database.execute(
        "UPDATE provider_sessions SET access_expires_at = clock_timestamp()"
        " WHERE user_id = (SELECT id FROM users WHERE username = %s)",
        [name],
    )
    company.token_error = (400, {"error": "invalid_client", "error_description": "the secret is wrong"})
    await ask(member)
    company.reset()
    aihub.barred.add(name)
    aihub.revoke()
    await ask(member)
    await member.sign_out()
    secrets = {value for _, form in company.requests for field, value in form.items() if field in SECRET_FIELDS}
    secrets |= set(aihub.tokens_issued) | {company.client_secret, aihub.client_secret}
    secrets |= {value for values in parse_qs(urlsplit(address).query).values() for value in values if len(value) > 20}
    secrets -= {company.issuer}
    assert len(secrets) > 6
    written = capfd.readouterr()
    # The browser of this test is httpx in the same process, and logs the addresses that it opens.
    logged = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    printed = [line for line in (written.out + written.err).splitlines() if "HTTP Request" not in line]
    everything = "\n".join(logged + printed)
    for told in ("oidc_sign_in_failed", "provider_refused", "aihub_exchange_refused"):
        assert told in everything
    assert [secret for secret in secrets if secret in everything] == []
