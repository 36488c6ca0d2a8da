"""API keys: shown once, good for what their scopes cover, on every door, and at an end at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk import get_client

from auth.keys import SCOPES
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.providers import OpenAIServer
from tests.support import Person, Server, events_of, serving


async def make_key(person: Person, *scopes: str, **fields: Any) -> dict[str, Any]:
    """Make a key with these scopes; the answer holds it under `key`."""
    body = {"name": "a program", "scopes": list(scopes) or list(SCOPES), **fields}
    answer = await person.http.post("/api-keys", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def program(server: Server, key: str, *, header: str = "Authorization") -> httpx.AsyncClient:
    """Return a client that signs in with a key."""
    value = f"Bearer {key}" if header == "Authorization" else key
    return httpx.AsyncClient(base_url=f"{server.url}/api/v1", headers={header: value}, timeout=30)


async def test_a_key_is_shown_once_and_kept_as_a_hash(anna: Person, database: Database) -> None:
    made = await make_key(anna, "chat", "models:read")
    key = made["key"]
    assert key.startswith("ls_")
    assert made["prefix"] == key[:11]
    (listed,) = (await anna.get("/api-keys"))["items"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert (listed["scopes"], listed["last_used_at"], listed["expires_at"]) == (["chat", "models:read"], None, None)
    rows = database.execute("SELECT row_to_json(k)::text FROM api_keys k WHERE prefix = %s", [made["prefix"]])
    assert key not in str(rows.fetchall())


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
async def test_a_program_chats_with_it(anna: Person, server: Server, openai: OpenAIServer, header: str) -> None:
    openai.script(reply="Hello, program.")
    made = await make_key(anna)
    async with program(server, made["key"], header=header) as client:
        answer = await client.post("/chat", json={"message": "Who are you?"})
        assert answer.json()["response"] == "Hello, program."
        async with client.stream("POST", "/chat/stream", json={"message": "And again?"}) as response:
            events = [event async for event in events_of(response)]
        assert events[-1].name == "done"
        thread = answer.json()["conversation_id"]
        assert (await client.get(f"/conversations/{thread}")).json()["id"] == thread
    # What a key asks is its owner's.
    assert (await anna.get(f"/conversations/{thread}"))["id"] == thread
    (listed,) = (await anna.get("/api-keys"))["items"]
    assert listed["last_used_at"] is not None


async def test_a_key_covers_its_scopes_and_nothing_else(anna: Person, server: Server) -> None:
    made = await make_key(anna, "conversations:read")
    async with program(server, made["key"]) as client:
        assert (await client.get("/conversations")).status_code == 200
        for method, path, body in (
            ("POST", "/conversations", {"title": "New"}),
            ("POST", "/chat", {"message": "Hello"}),
            ("POST", "/chat/stream", {"message": "Hello"}),
            ("GET", "/files", None),
        ):
            refused = await client.request(method, path, json=body)
            assert refused.status_code == 403, path
            error = envelope(refused)
            assert error["code"] == "scope_missing"
            assert error["details"][0]["scope"]
    assert (await anna.get("/conversations"))["items"] == []


async def test_no_key_manages_the_account(anna: Person, server: Server, database: Database) -> None:
    """Neither with every scope, nor an administrator's."""
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [anna.name])
    made = await make_key(anna)
    async with program(server, made["key"]) as client:
        for method, path, body in (
            ("GET", "/auth/me", None),
            ("GET", "/api-keys", None),
            ("POST", "/api-keys", {"name": "another", "scopes": ["chat"]}),
            ("DELETE", f"/api-keys/{made['id']}", None),
            ("POST", "/auth/logout", {"all": True}),
            ("GET", "/admin/users", None),
        ):
            refused = await client.request(method, path, json=body)
            assert (refused.status_code, envelope(refused)["code"]) == (403, "scope_missing"), path
    assert len((await anna.get("/api-keys"))["items"]) == 1


async def test_a_revoked_key_is_at_an_end_on_every_server(
    anna: Person, boris: Person, server: Server, openai: OpenAIServer
) -> None:
    made = await make_key(anna)
    async with serving(server.settings) as other:
        clients = [program(where, made["key"]) for where in (server, other)]
        for client in clients:
            assert (await client.get("/conversations")).status_code == 200
        assert (await boris.http.delete(f"/api-keys/{made['id']}")).status_code == 404
        assert (await anna.http.delete(f"/api-keys/{made['id']}")).status_code == 204
        for client in clients:
            for answer in (await client.get("/conversations"), await client.post("/chat", json={"message": "Hi"})):
                assert (answer.status_code, envelope(answer)["code"]) == (401, "not_authenticated")
            await client.aclose()
    assert (await anna.http.delete(f"/api-keys/{made['id']}")).status_code == 404
    assert (await anna.get("/api-keys"))["items"] == []


async def test_a_key_expires(anna: Person, server: Server, database: Database) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = await make_key(anna, expires_at=soon)
    async with program(server, made["key"]) as client:
        assert (await client.get("/conversations")).status_code == 200
        database.execute("UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = %s", [made["id"]])
        refused = await client.get("/conversations")
        assert (refused.status_code, envelope(refused)["code"]) == (401, "token_expired")
    assert len((await anna.get("/api-keys"))["items"]) == 1, "it is still listed, to be seen and revoked"


async def test_an_account_that_is_switched_off_has_no_keys(anna: Person, server: Server, database: Database) -> None:
    made = await make_key(anna)
    database.execute("UPDATE users SET is_active = false WHERE username = %s", [anna.name])
    async with program(server, made["key"]) as client:
        for answer in (await client.get("/conversations"), await client.post("/chat", json={"message": "Hi"})):
            assert (answer.status_code, envelope(answer)["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "", "scopes": ["chat"]},
        {"name": "x" * 101, "scopes": ["chat"]},
        {"name": "x", "scopes": ["admin"]},
        {"name": "x", "scopes": ["chat"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["chat"], "expires_at": "2099-01-01T00:00:00"},
        {"name": "x", "scopes": ["chat"], "expires_at": "tomorrow"},
    ],
)
async def test_what_is_no_key(anna: Person, body: dict[str, Any]) -> None:
    refused = await anna.http.post("/api-keys", json=body)
    assert (refused.status_code, envelope(refused)["code"]) == (422, "validation_error")
    assert (await anna.get("/api-keys"))["items"] == []


@pytest.mark.parametrize("key", ["ls_", "ls_wrong", "ls_" + "x" * 4000, "ls_\u00e4"])
async def test_keys_that_never_were(server: Server, key: str) -> None:
    async with program(server, "", header="x-nothing") as client:
        headers = {b"x-api-key": key.encode()}
        for answer in (
            await client.get("/conversations", headers=headers),
            await client.post("/chat", json={"message": "Hi"}, headers=headers),
        ):
            assert (answer.status_code, envelope(answer)["code"]) == (401, "not_authenticated")


async def test_langgraphs_client_works_with_a_key(anna: Person, server: Server, openai: OpenAIServer) -> None:
    """As the SDK sends it: in `x-api-key`."""
    openai.script(reply="Hello, graph.")
    made = await make_key(anna, "chat", "conversations:read", "conversations:write")
    reading = await make_key(anna, "conversations:read")
    asked: Any = {"messages": [{"role": "user", "content": "Who are you?"}]}
    url = f"{server.url}/langgraph"
    async with (
        get_client(url=url, api_key=made["key"]) as client,
        get_client(url=url, api_key=reading["key"]) as reader,
    ):
        thread = await client.threads.create()
        state: Any = await client.runs.wait(thread["thread_id"], "chat", input=asked)
        assert state["messages"][-1]["content"] == "Hello, graph."
        assert (await reader.threads.get(thread["thread_id"]))["thread_id"] == thread["thread_id"]
        with pytest.raises(Exception, match="403"):
            await reader.runs.wait(thread["thread_id"], "chat", input=asked)


async def test_langserve_takes_a_key(anna: Person, server: Server, openai: OpenAIServer) -> None:
    openai.script(reply="Hello, chain.")
    made, other = await make_key(anna, "chat"), await make_key(anna, "files:read")
    body = {"input": {"messages": [{"type": "human", "content": "Who are you?"}]}}
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/langserve/chat/invoke", json=body, headers={"x-api-key": made["key"]})
        assert answer.json()["output"] == "Hello, chain."
        refused = await client.post("/langserve/chat/invoke", json=body, headers={"x-api-key": other["key"]})
        assert (refused.status_code, envelope(refused)["code"]) == (403, "scope_missing")


async def test_a_key_in_an_address_is_refused_and_not_logged(
    anna: Person, server: Server, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    key = (await make_key(anna, "conversations:read", "chat"))["key"]
    async with httpx.AsyncClient(base_url=server.url) as client:
        for name in ("api_key", "access_token", "x-api-key", "key"):
            for path in ("/api/v1/conversations", "/v1/models", "/api/v1/files"):
                answer = await client.get(path, params={name: key})
                assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
        # A search for what looks like one is none.
        found = await anna.http.get("/conversations", params={"q": "ls_la"})
        assert found.status_code == 200
    written = capfd.readouterr()
    assert key[:12] not in written.out + written.err + caplog.text


async def test_a_flood_of_wrong_keys_keeps_nobody_out(anna: Person, server: Server) -> None:
    key = (await make_key(anna, "conversations:read"))["key"]
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:

        async def ask(given: str) -> int:
            return (await client.get("/api/v1/conversations", headers={"x-api-key": given})).status_code

        wrong = [f"ls_{uuid4().hex}" for _ in range(1000)]
        asked = [given for index, given in enumerate(wrong) for given in ([given, key] if index % 10 == 0 else [given])]
        told = await asyncio.gather(*map(ask, asked))
    assert [status for given, status in zip(asked, told, strict=True) if given == key] == [200] * 100
    assert {status for given, status in zip(asked, told, strict=True) if given != key} == {401}
