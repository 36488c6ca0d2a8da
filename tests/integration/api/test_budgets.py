"""Budgets: reserved before a call, settled after it, at every door; and nobody gets a token over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from llama_service.settings import Settings
from persistence.budgets import next_period, period_of
from tests.conftest import Database, Join
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import group, user_id
from tests.providers import OpenAIServer
from tests.support import Person, events_of, eventually, serving

Limit = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def limit(admin: Person, database: Database) -> AsyncIterator[Limit]:
    """Set a budget as an administrator does; all of them go with the test."""

    async def put(**body: Any) -> dict[str, Any]:
        answer = await admin.http.put("/admin/budgets", json={"period": "day", **body})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["items"][-1]
        return found

    yield put
    for row in (await admin.get("/admin/budgets"))["items"]:
        assert (await admin.http.delete(f"/admin/budgets/{row['id']}")).status_code == 204
    assert database.execute("SELECT count(*) FROM budget_reservations").fetchall() == [(0,)]


def v1(person: Person, path: str) -> str:
    return str(person.http.base_url.join(f"/v1/{path}"))


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CHAT = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}


async def settled(database: Database, tokens: int | None = None) -> int:
    """Wait until nothing is reserved; return what was spent of the only budget."""

    async def look() -> tuple[int] | None:
        if database.execute("SELECT count(*) FROM budget_reservations").fetchone() != (0,):
            return None
        (spent,) = database.execute("SELECT coalesce(sum(tokens), 0)::int FROM budget_use").fetchall()[0]
        return (spent,) if tokens is None or spent == tokens else None

    return (await eventually(look))[0]


async def test_a_call_is_settled_by_what_it_spent(
    limit: Limit, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    await limit(username=anna.name, tokens=1_000_000, requests=100)
    openai.script(reply="A short answer.")
    answer = await anna.http.post(v1(anna, "chat/completions"), json=CHAT)
    used = answer.json()["usage"]["total_tokens"]
    assert await settled(database, used) == used
    (left,) = (await anna.get("/stats/budget"))["items"]
    assert (left["scope"], left["tokens"], left["used_tokens"], left["used_requests"]) == ("user", 10**6, used, 1)
    assert datetime.fromisoformat(left["starts_anew"]) > datetime.now(UTC)
    # An answer that its reader stops is counted as far as it came; a call that failed costs nothing.
    openai.script(fault="refuse")
    assert (await anna.http.post(v1(anna, "chat/completions"), json=CHAT)).status_code >= 500
    assert await settled(database, used) == used
    assert (await anna.get("/stats/budget"))["items"][0]["used_requests"] == 1


@pytest.mark.parametrize("what", ["tokens", "requests"])
async def test_every_door_is_closed_when_a_budget_is_used_up(
    what: str, limit: Limit, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    await limit(user_id=await user_id(anna), **{what: 0})
    body = {"message": "Hello", "model_source": "openai", "model_name": "gpt-4o-mini"}
    refused = await anna.http.post("/chat", json=body)
    assert (refused.status_code, envelope(refused)["code"]) == (402, "budget_exceeded")
    async with anna.http.stream("POST", "/chat/stream", json=body) as response:
        told = [event async for event in events_of(response)][-1]
    assert (told.name, told.data["error"]["code"]) == ("error", "budget_exceeded")
    assert "starts anew on" in told.data["error"]["message"]
    wire = await anna.http.post(v1(anna, "chat/completions"), json=CHAT)
    assert (wire.status_code, wire.json()["error"]["code"]) == (402, "budget_exceeded")
    handle = (await anna.http.get(v1(anna, "models"))).json()["data"][-1]["id"]
    refused = await anna.http.post(v1(anna, "embeddings"), json={"model": handle, "input": "Hello"})
    assert refused.status_code == 402, refused.text
    lang = {"messages": [{"type": "human", "content": "Hello"}], "model_source": "openai"}
    invoked = await anna.http.post(str(anna.http.base_url.join("/langserve/chat/invoke")), json={"input": lang})
    assert invoked.status_code == 402, invoked.text
    waited = await anna.http.post(
        str(anna.http.base_url.join("/langgraph/runs/wait")),
        json={
            "assistant_id": "chat",
            "input": {"messages": [{"role": "user", "content": "Hello"}]},
            "context": {"model_source": "openai", "model_name": "gpt-4o-mini"},
        },
    )
    assert waited.json()["__error__"]["error"] == "budget_exceeded"
    assert (await boris.ask("Hello", model_source="openai"))["response"], "another's budget limits nobody else"


async def test_an_answer_gets_shorter_before_it_is_refused(
    limit: Limit, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(reply="A short answer.")
    await limit(user_id=await user_id(anna), tokens=400)
    answer = await anna.http.post(v1(anna, "chat/completions"), json={**CHAT, "max_tokens": 5_000})
    assert answer.status_code == 200, answer.text
    asked = openai.chats[-1].body
    assert 64 <= asked.get("max_tokens", asked.get("max_completion_tokens")) < 400
    assert await settled(database) <= 400


async def test_whom_a_budget_is_for(
    limit: Limit, admin: Person, anna: Person, boris: Person, join: Join, openai: OpenAIServer
) -> None:
    crowd = await group(admin, f"Cooks {anna.name}", anna, boris)
    clara = await join()

    async def asks(person: Person) -> int:
        return (await person.http.post(v1(person, "chat/completions"), json=CHAT)).status_code

    # Each of the group by themselves, then all of them together, then everybody.
    await limit(group_id=crowd, each=True, requests=1)
    assert [await asks(person) for person in (anna, anna, boris, clara, clara)] == [200, 402, 200, 200, 200]
    listed = await limit(group_id=crowd, each=True, requests=5)
    assert (listed["name"], listed["used_requests"]) == (f"Cooks {anna.name}", 2)
    await limit(group_id=crowd, requests=1)
    assert [await asks(person) for person in (anna, boris, clara)] == [200, 402, 200]
    await limit(each=True, requests=1)
    assert [await asks(person) for person in (clara, clara)] == [200, 402]
    assert {item["scope"] for item in (await anna.get("/stats/budget"))["items"]} == {"group", "everybody"}
    assert (await anna.http.get("/admin/budgets")).status_code == 403


async def test_who_has_no_budget_is_answered_as_ever(
    limit: Limit, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    await limit(username=boris.name, tokens=100_000)
    await limit(username=anna.name, requests=100)
    for person, limits in ((anna, False), (boris, True)):
        assert (await person.http.post(v1(person, "chat/completions"), json=CHAT)).status_code == 200
        asked = openai.chats[-1].body
        assert ("max_tokens" in asked or "max_completion_tokens" in asked) is limits


async def test_a_call_that_nobody_waited_for_is_counted(
    limit: Limit, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    """It was asked, and may have been thought about; so are pictures in it."""
    await limit(username=anna.name, tokens=100_000)
    openai.script(delay=30)
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": content}], "stream": True}
    with pytest.raises(httpx.ReadTimeout):
        await anna.http.post(v1(anna, "chat/completions"), json=body, timeout=1.0)
    assert await settled(database) > 1_000
    (left,) = (await anna.get("/stats/budget"))["items"]
    assert left["used_requests"] == 1


async def test_fifty_people_at_once_get_not_a_token_over(
    limit: Limit, join: Join, openai: OpenAIServer, database: Database
) -> None:
    openai.script(reply="So many words " * 12)
    people = [await join() for _ in range(10)]
    await limit(tokens=3_000)
    body = {**CHAT, "max_tokens": 100}

    async def ask(person: Person) -> int:
        answer = await person.http.post(v1(person, "chat/completions"), json=body)
        assert answer.status_code in (200, 402), answer.text
        return int(answer.json()["usage"]["total_tokens"]) if answer.status_code == 200 else 0

    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            (used,) = database.execute("SELECT coalesce(max(tokens), 0)::int FROM budget_use").fetchall()[0]
            most = max(most, used)
            await asyncio.sleep(0.005)

    watcher = asyncio.create_task(watch())
    told = [await asyncio.gather(*(ask(person) for person in people for _ in range(5))) for _ in range(3)]
    watcher.cancel()
    spent = [tokens for round_ in told for tokens in round_]
    assert 0 in spent, "somebody came too late"
    assert sum(spent) <= 3_000
    assert most <= 3_000, "not even reserved"
    assert await settled(database, sum(spent)) == sum(spent)
    assert sum(spent) > 3_000 - 200, "what was left was given to who asked"


async def test_what_a_dead_process_has_reserved_lapses(
    limit: Limit, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    made = await limit(user_id=await user_id(anna), tokens=500)
    left_behind = """
        WITH used AS (
            INSERT INTO budget_use SELECT id, user_id, date_trunc('day', now(), 'UTC'), 500, 1, 0 FROM budgets
            WHERE id = %s RETURNING *
        )
        INSERT INTO budget_reservations
        SELECT gen_random_uuid(), budget_id, holder, began, tokens, money, now() + interval '1 hour' FROM used
    """
    database.execute(left_behind, (made["id"],))
    assert (await anna.http.post(v1(anna, "chat/completions"), json=CHAT)).status_code == 402
    database.execute("UPDATE budget_reservations SET expires_at = clock_timestamp()")
    assert (await anna.http.post(v1(anna, "chat/completions"), json=CHAT)).status_code == 200
    assert await settled(database) < 500


async def test_money_is_reserved_by_the_model_s_price(
    limit: Limit, settings: Settings, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    """A hundred dollars for a million tokens: what is left pays a shorter answer, then none."""
    priced = settings.model_copy(update={"model_prices": {"openai/gpt-4o-mini": (0.0, 100.0)}, "inline_worker": False})
    await limit(user_id=await user_id(anna), money=0.02)
    openai.script(reply="word " * 150)
    async with serving(priced) as server:
        person = await Person.enter(server.url, anna.name, anna.password)
        for _ in range(4):
            answer = await person.http.post(v1(person, "chat/completions"), json=CHAT)
            if answer.status_code == 402:
                break
            await settled(database)
        assert answer.status_code == 402, "200 tokens at most"
        (left,) = (await person.get("/stats/budget"))["items"]
        assert 0.01 < left["used_money"] <= 0.02
        free = await person.http.post(v1(person, "chat/completions"), json={**CHAT, "model": "openai/gpt-4"})
        assert free.status_code == 200, "what has no known price costs no money"
        await person.close()


@pytest.mark.parametrize(
    "body",
    [
        {"tokens": -1},
        {"period": "week", "tokens": 1},
        {},
        {"user_id": "00000000-0000-0000-0000-000000000001", "each": True, "tokens": 1},
        {"money": "much"},
    ],
)
async def test_a_budget_that_can_not_be_is_refused(admin: Person, body: dict[str, Any]) -> None:
    refused = await admin.http.put("/admin/budgets", json={"period": "day", **body})
    assert (refused.status_code, envelope(refused)["code"]) == (422, "validation_error")
    nobody = {"period": "day", "user_id": "00000000-0000-0000-0000-000000000001", "tokens": 1}
    assert (await admin.http.put("/admin/budgets", json=nobody)).status_code == 404


def test_periods_begin_and_end_in_utc() -> None:
    moment = datetime.fromisoformat("2026-12-31T23:30:00+00:00")
    assert period_of(moment, "day").isoformat() == "2026-12-31T00:00:00+00:00"
    assert next_period(period_of(moment, "month"), "month").isoformat() == "2027-01-01T00:00:00+00:00"
    assert next_period(period_of(moment, "day"), "day").isoformat() == "2027-01-01T00:00:00+00:00"
    elsewhere = datetime.fromisoformat("2027-01-01T01:00:00+03:00")
    assert period_of(elsewhere, "month").isoformat() == "2026-12-01T00:00:00+00:00"


async def test_stopping_an_answer_while_it_reserves_loses_no_other_one(
    limit: Limit, anna: Person, database: Database
) -> None:
    """A reservation that is cancelled at its BEGIN must leave no transaction open to whoever comes next."""
    await limit(username=anna.name, tokens=1_000_000)
    told = set()
    for _ in range(40):
        async with anna.http.stream("POST", "/chat/stream", json={"message": "Go on."}) as answer:
            async for event in events_of(answer):
                if event.name == "start":
                    told.add(event.data["message_id"])
                    await anna.http.post(f"/chat/runs/{event.data['run_id']}/cancel")
                    cancelled = event.data["message_id"]
        states = database.execute("SELECT status FROM messages WHERE id = %s", [cancelled]).fetchall()
        assert states in ([("stopped",)], [("complete",)])
    assert len(told) == 40
    await settled(database)


async def test_a_stopped_answer_tells_what_the_budget_has_counted_for_it(
    limit: Limit, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    await limit(each=False, tokens=100_000)
    openai.script(tokens=["word "] * 200, delay=0.02)
    seen = []
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Write much."}) as response:
        async for event in events_of(response):
            seen.append(event)
            if len(seen) == 5:
                await anna.http.post(f"/chat/runs/{seen[0].data['run_id']}/cancel")
    told = seen[-1].data["usage"]
    assert told["estimated"] is True
    assert told["total_tokens"] == await settled(database)
