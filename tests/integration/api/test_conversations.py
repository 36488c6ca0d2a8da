"""Lists, search, export and import."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Person

CONVERSATION = {
    "id",
    "title",
    "model_source",
    "model_name",
    "system_prompt",
    "archived",
    "pinned",
    "leaf_id",
    "created_at",
    "updated_at",
}


async def begin(person: Person, **fields: Any) -> dict[str, Any]:
    answer = await person.http.post("/conversations", json=fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_create_change_and_list(anna: Person) -> None:
    made = await begin(anna, title="Lease", model_source="ollama", system_prompt="Be brief.")
    assert set(made) >= CONVERSATION
    path = f"/conversations/{made['id']}"
    changed = (await anna.http.patch(path, json={"pinned": True, "title": "Lease 2026"})).json()
    assert (changed["pinned"], changed["title"], changed["system_prompt"]) == (True, "Lease 2026", "Be brief.")
    assert (await anna.http.patch(path, json={"archived": True})).json()["archived"] is True
    assert made["id"] not in [item["id"] for item in (await anna.get("/conversations"))["items"]]
    kept = (await anna.get("/conversations", include_archived=True))["items"]
    assert made["id"] in [item["id"] for item in kept]
    assert (await anna.http.patch(path, json={"title": "x" * 201})).status_code == 422
    assert (await anna.http.delete(path)).status_code == 204
    assert (await anna.http.get(path)).status_code == 404


async def test_pages_follow_each_other_without_gaps(anna: Person) -> None:
    made = [(await begin(anna, title=f"T{n}"))["id"] for n in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = await anna.get("/conversations", **params)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    for bad in ({"limit": 0}, {"limit": 201}):
        assert (await anna.http.get("/conversations", params=bad)).status_code == 422
    broken = await anna.http.get("/conversations", params={"cursor": "nonsense"})
    assert (broken.status_code, envelope(broken)["code"]) == (400, "bad_request")


async def test_messages_come_in_pages_newest_first_in_the_order_of_the_talk(anna: Person) -> None:
    thread = (await anna.ask("Question 0"))["conversation_id"]
    for n in range(1, 4):
        await anna.ask(f"Question {n}", conversation_id=thread)
    first = await anna.get(f"/conversations/{thread}/messages", limit=4)
    second = await anna.get(f"/conversations/{thread}/messages", limit=4, cursor=first["next_cursor"])
    asked = [m["content"] for m in second["items"] + first["items"] if m["role"] == "user"]
    assert asked == [f"Question {n}" for n in range(4)]
    assert second["next_cursor"] is None


async def test_search_finds_titles_words_forms_and_typos(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    openai.script(reply="Договоры аренды расторгаются за три месяца.")
    lease = (await anna.ask("Как расторгнуть договор аренды квартиры?"))["conversation_id"]
    openai.script(reply="Volcanoes erupt where plates meet.")
    volcano = (await anna.ask("Why do volcanoes erupt?"))["conversation_id"]
    titled = (await begin(anna, title="Holiday in Portugal"))["id"]
    for words, expected in (
        ("договора", lease),
        ("erupting", volcano),
        ("portugal", titled),
        ("Portgual", titled),
        ("volcanos errupt", volcano),
    ):
        items = (await anna.get("/conversations", q=words))["items"]
        assert expected in [item["id"] for item in items], words
    hit = (await anna.get("/conversations", q="erupting"))["items"][0]
    start, end = hit["highlights"][0]
    assert hit["snippet"][start:end].startswith("erupt")
    assert (await boris.get("/conversations", q="volcanoes"))["items"] == []
    for odd in ("%", "'; DROP TABLE users; --", '"unclosed', "\\", "()&|!"):
        assert (await anna.http.get("/conversations", params={"q": odd})).status_code == 200


async def test_export_and_import_keep_the_tree(anna: Person, boris: Person) -> None:
    first = await anna.ask("What is tin?")
    thread = first["conversation_id"]
    await anna.ask("", conversation_id=thread, regenerate=True)
    await anna.ask("What is lead?", conversation_id=thread, edit_of=first["user_message_id"])
    exported = await anna.http.get(f"/conversations/{thread}/export", params={"format": "json"})
    assert "attachment" in exported.headers["content-disposition"]
    brought = await boris.http.post("/conversations/import", content=exported.content)
    assert brought.status_code == 201, brought.text
    assert (brought.json()["conversations"], brought.json()["messages"]) == (1, 5)
    copy = brought.json()["conversation_ids"][0]
    again = await boris.http.get(f"/conversations/{copy}/export")

    def shape(document: dict[str, Any]) -> list[tuple[str, str, str]]:
        texts = {m["id"]: m["content"] for m in document["messages"]}
        return sorted((m["role"], m["content"], texts.get(m["parent_id"], "")) for m in document["messages"])

    assert shape(json.loads(again.content)) == shape(json.loads(exported.content))
    mine, theirs = await messages(anna, thread), await messages(boris, copy)
    assert [m["content"] for m in mine] == [m["content"] for m in theirs]
    markdown = await anna.http.get(f"/conversations/{thread}/export", params={"format": "markdown"})
    assert "What is lead?" in markdown.text


def chatgpt() -> list[dict[str, Any]]:
    def node(key: str, parent: str | None, role: str | None, text: str) -> dict[str, Any]:
        message = {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}} if role else None
        return {"id": key, "parent": parent, "children": [], "message": message}

    nodes = [
        node("root", None, None, ""),
        node("sys", "root", "system", ""),
        node("q", "sys", "user", "What is rust?"),
        node("a1", "q", "assistant", "A language."),
        node("a2", "q", "assistant", "Iron oxide."),
    ]
    return [{"title": "Rust", "mapping": {n["id"]: n for n in nodes}, "current_node": "a2"}]


def open_webui() -> list[dict[str, Any]]:
    history = {
        "currentId": "2",
        "messages": {
            "1": {"id": "1", "parentId": None, "role": "user", "content": "Hello?"},
            "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "Hi!", "model": "llama3"},
        },
    }
    return [{"id": uuid4().hex, "title": "Greeting", "chat": {"title": "Greeting", "history": history}}]


async def test_import_of_other_products(anna: Person) -> None:
    brought = (await anna.http.post("/conversations/import", json=chatgpt())).json()
    talk = await messages(anna, brought["conversation_ids"][0])
    assert [m["content"] for m in talk] == ["What is rust?", "Iron oxide."]
    assert len(talk[1]["sibling_ids"]) == 2
    brought = (await anna.http.post("/conversations/import", json=open_webui())).json()
    talk = await messages(anna, brought["conversation_ids"][0])
    assert [(m["role"], m["content"]) for m in talk] == [("user", "Hello?"), ("assistant", "Hi!")]


async def test_import_refuses_nonsense_and_keeps_nothing_of_it(anna: Person) -> None:
    circle = open_webui()
    circle[0]["chat"]["history"]["messages"]["1"]["parentId"] = "2"
    good_then_bad = [open_webui()[0], {"mapping": 3}]
    for body in (
        b"",
        b"not json",
        b"[]",
        b"{}",
        b"[1]",
        json.dumps(circle).encode(),
        json.dumps(good_then_bad).encode(),
    ):
        answer = await anna.http.post("/conversations/import", content=body)
        assert (answer.status_code, envelope(answer)["code"]) == (400, "bad_request"), body[:40]
    assert (await anna.get("/conversations"))["items"] == []


async def test_statistics_count(anna: Person) -> None:
    await anna.ask("One.")
    await anna.ask("Two.")
    stats = await anna.get("/stats/user")
    assert (stats["conversations"], stats["messages"], stats["files"]) == (2, 4, 0)
    assert stats["output_tokens"] > 0
    assert stats["by_model"][0]["model"] == "openai/gpt-4"
    assert stats["by_day"][0]["answers"] == 2


async def test_models_are_listed_and_watched(anna: Person) -> None:
    listed = await anna.get("/models/list", mode="ollama")
    assert listed["count"] == len(listed["models"]) > 0
    assert {"name"} <= set(listed["models"][0])
    down = await anna.get("/models/list", mode="embedded")
    assert (down["models"], down["count"]) == ([], 0)
    assert down["error"]
    status = await anna.get("/models/status")
    assert set(status) == {"embedded", "ollama", "openai", "aihub"}
    assert status["openai"]["available"] is True
    async with httpx.AsyncClient(base_url=anna.http.base_url) as stranger:
        seen = (await stranger.get("/models/status")).json()
        assert seen["openai"]["available"] is True
        assert seen["openai"]["url"] is None
        assert (await stranger.get("/models/list", params={"mode": "nonsense"})).status_code == 422


async def test_import_takes_no_values_that_could_not_be_shown(anna: Person) -> None:
    answer = await anna.ask("Export me.")
    exported = (await anna.http.get(f"/conversations/{answer['conversation_id']}/export")).json()
    for field, value in (
        ("usage", {"input_tokens": "abc"}),
        ("status", "weird"),
        ("rating", "x" * 50),
        ("role", "root"),
    ):
        document = json.loads(json.dumps(exported))
        document["messages"][-1][field] = value
        refused = await anna.http.post("/conversations/import", json=document)
        assert (refused.status_code, envelope(refused)["code"]) == (400, "bad_request"), field
    document = json.loads(json.dumps(exported))
    document["conversation"]["model_source"] = "bogus"
    assert (await anna.http.post("/conversations/import", json=document)).status_code == 400
    assert (await anna.get("/stats/user"))["conversations"] == 1


def exported(*written: dict[str, Any], title: str = "Brought along") -> dict[str, Any]:
    return {
        "format": "llama-service/conversation",
        "version": 1,
        "conversation": {"title": title},
        "messages": list(written),
    }


def answer_in(key: str, **fields: Any) -> dict[str, Any]:
    return {"id": key, "role": "assistant", "content": "Answer", **fields}


SPENT: dict[str, Any] = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "cost_usd": 0.5}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_tokens", 2**40 + 1),
        ("output_tokens", -1),
        ("total_tokens", 9 * 10**18),
        ("cached_tokens", 10**30),
        ("cost_usd", 1e300),
        ("cost_usd", -0.01),
    ],
)
async def test_an_import_takes_no_numbers_that_no_answer_has_cost(field: str, value: float, anna: Person) -> None:
    body = exported(answer_in("1", usage=SPENT), answer_in("2", usage=SPENT | {field: value}))
    refused = await anna.http.post("/conversations/import", content=json.dumps(body))
    error = envelope(refused)
    assert (refused.status_code, error["code"]) == (422, "validation_error")
    (detail,) = error["details"]
    assert detail["loc"] == ["messages", "2", "usage", field]
    assert (await anna.get("/conversations"))["items"] == []


async def test_statistics_count_what_was_answered_here(anna: Person, openai: OpenAIServer) -> None:
    kinds = ("input_tokens", "output_tokens", "cost_usd")
    answer = await anna.ask("Hello there")
    thread = answer["conversation_id"]
    before = await anna.get("/stats/user")
    saved = await anna.http.get(f"/conversations/{thread}/export")
    brought = await anna.http.post("/conversations/import", content=saved.content)
    most = {"input_tokens": 2**40, "output_tokens": 2**40, "total_tokens": 2**40, "cost_usd": 1e9}
    body = exported(*(answer_in(str(n), usage=most) for n in range(3)))
    assert (await anna.http.post("/conversations/import", content=json.dumps(body))).status_code == 201
    after = await anna.get("/stats/user")
    assert [after[kind] for kind in kinds] == [before[kind] for kind in kinds]
    assert (after["by_day"], after["by_model"]) == (before["by_day"], before["by_model"])
    (copy,) = brought.json()["conversation_ids"]
    assert (await messages(anna, copy))[-1]["usage"] == answer["usage"], "the answer itself tells what it has cost"
    assert (await anna.get(f"/conversations/{copy}/usage"))["answers"] == 0
    # Every way to an answer here counts: again, in another branch, replayed, gone on with, by OpenAI's wire.
    again = await anna.ask("", conversation_id=thread, regenerate=True)
    openai.script(tokens=["word "] * 20)
    cut = await anna.ask("Another one", conversation_id=thread, max_tokens=5)
    await anna.ask("", conversation_id=thread, continue_message_id=cut["message_id"])
    async with anna.http.stream("POST", f"/messages/{again['message_id']}/replay", json={}) as response:
        await response.aread()
    wired = {"model": "openai/gpt-4", "store": True, "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(base_url=anna.http.base_url.join("/"), headers=anna.http.headers) as client:
        assert (await client.post("/v1/chat/completions", json=wired)).status_code == 200
        made = (await client.post("/langgraph/threads", json={})).json()["thread_id"]
        asked = {"assistant_id": "chat", "input": {"messages": [{"role": "user", "content": "Hello"}]}}
        assert (await client.post(f"/langgraph/threads/{made}/runs/wait", json=asked)).status_code == 200
    assert (await anna.get("/stats/user"))["by_day"][0]["answers"] == before["by_day"][0]["answers"] + 5


async def test_statistics_bear_numbers_of_any_size(anna: Person, database: Database) -> None:
    """An import of an older version may have left some, on answers that were gone on with here."""
    answer = await anna.ask("Hello there")
    absurd = json.dumps({"input_tokens": 9 * 10**30, "output_tokens": 10**18, "total_tokens": 1, "cost_usd": 1e300})
    for message in ((await anna.ask("Again"))["message_id"], answer["message_id"]):
        database.execute("UPDATE messages SET usage = %s::jsonb WHERE id = %s", (absurd, message))
    told = await anna.get("/stats/user")
    assert (told["input_tokens"], told["cost_usd"]) == (18 * 10**30, pytest.approx(2e300))
    assert (await anna.get(f"/conversations/{answer['conversation_id']}/usage"))["input_tokens"] == 9 * 10**30


async def test_an_import_keeps_when_messages_were_written_and_none_in_the_future(anna: Person) -> None:
    began = datetime.now(UTC)
    asked = {"id": "q", "role": "user", "content": "When?", "created_at": "2024-05-06T07:08:09.000123+02:00"}
    late = answer_in("late", parent_id="q", created_at="2999-01-01T00:00:00Z")
    early = answer_in("early", parent_id="q", created_at="0001-01-01T00:00:00+14:00")
    body = exported(asked, late, early, {"id": "then", "role": "user", "content": "So?", "parent_id": "late"})
    brought = (await anna.http.post("/conversations/import", json=body)).json()
    saved = await anna.get(f"/conversations/{brought['conversation_ids'][0]}/export", format="json")
    when = {message["content"]: datetime.fromisoformat(message["created_at"]) for message in saved["messages"]}
    assert when["When?"] == datetime(2024, 5, 6, 5, 8, 9, 123, UTC)
    assert began - timedelta(seconds=5) < when["So?"] <= datetime.now(UTC)
    times = [datetime.fromisoformat(message["created_at"]) for message in saved["messages"]]
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant", "assistant", "user"]
    assert times == sorted(times), "parents before children"
    assert times[1] == times[0] + timedelta(microseconds=1), "an answer is not older than its question"
    other = chatgpt()
    other[0]["mapping"]["q"]["message"]["create_time"] = 1_700_000_000.5
    other[0]["mapping"]["a1"]["message"]["create_time"] = 1e300
    brought = (await anna.http.post("/conversations/import", json=other)).json()
    first, second = await messages(anna, brought["conversation_ids"][0])
    assert datetime.fromisoformat(first["created_at"]) == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
    assert datetime.fromisoformat(second["created_at"]) > began - timedelta(seconds=5)
    wrong = exported(asked | {"created_at": "yesterday"})
    assert (await anna.http.post("/conversations/import", json=wrong)).status_code == 400
