"""Shared conversations: who reads a link, what they see, and that it ends."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from llama_service.settings import Settings
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_scope import OWL, QUESTION
from tests.providers import OpenAIServer
from tests.support import Person, Server, serving


@pytest.fixture(scope="module")
async def public(settings: Settings) -> AsyncIterator[Server]:
    """A server whose operator allows links that need no account."""
    async with serving(settings.model_copy(update={"allow_public_shares": True})) as running:
        yield running


async def shared(person: Person, thread: str, **how: Any) -> dict[str, Any]:
    """Share a conversation and return what was told."""
    made = await person.http.post(f"/conversations/{thread}/shares", json=how)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()
    return told


def path(share: dict[str, Any]) -> str:
    return f"/shared/{share['token']}"


async def anonymous(server: Server, share: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as nobody:
        return await nobody.get(path(share))


async def test_a_share_is_a_frozen_copy_of_the_branch(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    await anna.indexed("owl.txt", OWL)
    openai.script(reply="In spruces [1].")
    answer = await anna.ask(QUESTION)
    thread = answer["conversation_id"]
    plain, full = await shared(anna, thread), await shared(anna, thread, with_sources=True)
    openai.script(reply="Later words.")
    await anna.ask("And now?", conversation_id=thread)
    await anna.http.patch(f"/conversations/{thread}", json={"title": "Another title"})
    read = await boris.http.get(path(plain))
    assert read.headers["cache-control"] == "no-store"
    found = read.json()
    assert (found["owner"], found["title"]) == (anna.name, QUESTION)
    assert [(m["role"], m["content"], m["sources"]) for m in found["messages"]] == [
        ("user", QUESTION, []),
        ("assistant", "In spruces [1].", []),
    ]
    (source,) = (await boris.get(path(full)))["messages"][1]["sources"]
    assert source == {"n": 1, "file_name": "owl.txt", "page": None, "snippet": OWL.decode(), "available": True}
    file = answer["sources"][0]["file_id"]
    assert (await boris.http.get(f"/files/{file}/text")).status_code == 404, "a passage that is shown opens no file"


async def test_a_link_is_for_who_is_signed_in_unless_the_operator_allows_more(
    server: Server, public: Server, anna: Person
) -> None:
    thread = (await anna.ask("Hello"))["conversation_id"]
    inside = await shared(anna, thread)
    assert (await anonymous(server, inside)).status_code == 404
    refused = await anna.http.post(f"/conversations/{thread}/shares", json={"audience": "anyone"})
    assert (refused.status_code, envelope(refused)["code"]) == (403, "forbidden")
    assert (await anna.get(f"/conversations/{thread}/shares"))["anyone_allowed"] is False
    clara = await Person.join(public.url)
    there = (await clara.ask("Hello"))["conversation_id"]
    outside, closed = await shared(clara, there, audience="anyone"), await shared(clara, there)
    assert (await anonymous(public, outside)).json()["messages"][0]["content"] == "Hello"
    assert (await anonymous(public, closed)).status_code == 404
    # The operator's word counts when a link is read: both servers have the one database.
    assert (await anonymous(server, outside)).status_code == 404
    assert (await anna.http.get(path(outside))).status_code == 200
    await clara.close()


async def test_a_share_ends_when_it_is_revoked_expires_or_loses_its_chat_or_owner(
    anna: Person, boris: Person, database: Database
) -> None:
    thread = (await anna.ask("Hello"))["conversation_id"]
    kept, revoked, expired = [await shared(anna, thread) for _ in range(3)]
    database.execute("UPDATE shares SET expires_at = clock_timestamp() WHERE id = %s", (expired["id"],))
    one = f"/conversations/{thread}/shares/{revoked['id']}"
    assert (await boris.http.delete(one)).status_code == 404
    assert (await anna.http.delete(one)).status_code == 204
    assert [(await boris.http.get(path(share))).status_code for share in (kept, revoked, expired)] == [200, 404, 404]
    listed = (await anna.get(f"/conversations/{thread}/shares"))["items"]
    assert [share["id"] for share in listed] == [expired["id"], kept["id"]]
    assert "token" not in listed[0]
    database.execute("UPDATE users SET is_active = false WHERE username = %s", (anna.name,))
    assert (await boris.http.get(path(kept))).status_code == 404
    database.execute("UPDATE users SET is_active = true WHERE username = %s", (anna.name,))
    assert (await boris.http.get(path(kept))).status_code == 200
    await anna.http.delete(f"/conversations/{thread}")
    assert (await boris.http.get(path(kept))).status_code == 404


async def test_only_the_owner_shares_and_lists(anna: Person, boris: Person) -> None:
    thread = (await anna.ask("Hello"))["conversation_id"]
    await shared(anna, thread)
    assert (await boris.http.post(f"/conversations/{thread}/shares", json={})).status_code == 404
    assert (await boris.http.get(f"/conversations/{thread}/shares")).status_code == 404
    assert (await boris.http.get("/shared/nonsense")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"audience": "friends"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"},
        {"with_sources": "perhaps"},
    ],
)
async def test_a_share_that_makes_no_sense_is_refused(anna: Person, body: dict[str, Any]) -> None:
    thread = (await anna.ask("Hello"))["conversation_id"]
    assert (await anna.http.post(f"/conversations/{thread}/shares", json=body)).status_code == 422


async def test_there_is_nothing_to_share_in_an_empty_chat_and_an_end_to_sharing(anna: Person) -> None:
    empty = (await anna.http.post("/conversations", json={})).json()["id"]
    assert (await anna.http.post(f"/conversations/{empty}/shares", json={})).status_code == 409
    thread = (await anna.ask("Hello"))["conversation_id"]
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for _ in range(50):
        await shared(anna, thread, expires_at=soon)
    assert (await anna.http.post(f"/conversations/{thread}/shares", json={})).status_code == 409


async def test_a_links_token_is_in_no_log(anna: Person, boris: Person, capfd: pytest.CaptureFixture[str]) -> None:
    share = await shared(anna, (await anna.ask("Hello"))["conversation_id"])
    await boris.get(path(share))
    written = capfd.readouterr()
    assert share["token"] not in written.out + written.err
