"""What answers cost, what people think of them, and two models that answer one question."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llama_service.settings import Settings
from tests.conftest import Database, Join
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_chat import messages
from tests.integration.api.test_projects import administrator
from tests.providers import OpenAIServer
from tests.support import Person, Server, serving


@pytest.fixture(scope="module")
async def priced(settings: Settings) -> AsyncIterator[Server]:
    """A server whose operator has said what models cost."""
    prices = {"model_prices": {"openai/gpt-4": (10.0, 30.0), "ollama/llama3.2:latest": (0.0, 0.0)}}
    async with serving(settings.model_copy(update=prices)) as running:
        yield running


@pytest.fixture
async def clara(priced: Server, openai: OpenAIServer) -> AsyncIterator[Person]:
    """Somebody on that server."""
    openai.script()
    person = await Person.join(priced.url)
    yield person
    await person.close()


async def test_answers_and_conversations_say_what_they_cost(clara: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["one ", "two"])
    first = await clara.ask("Hello", model_source="openai", model_name="gpt-4")
    usage = first["usage"]
    expected = (usage["input_tokens"] * 10 + usage["output_tokens"] * 30) / 1e6
    assert usage["cost_usd"] == pytest.approx(expected)
    assert expected > 0
    thread = first["conversation_id"]
    assert (await messages(clara, thread))[-1]["usage"]["cost_usd"] == pytest.approx(expected)
    unknown = await clara.ask("Hello", model_source="openai", model_name="gpt-mine", conversation_id=thread)
    assert unknown["usage"]["cost_usd"] is None, "a server of one's own is not OpenAI: no price is guessed"
    told = await clara.get(f"/conversations/{thread}/usage")
    assert (told["answers"], told["priced"]) == (2, 1)
    assert told["cost_usd"] == pytest.approx(expected)
    assert told["input_tokens"] == usage["input_tokens"] + unknown["usage"]["input_tokens"]
    stats = await clara.get("/stats/user")
    assert stats["cost_usd"] == pytest.approx(expected)
    models = (await clara.get("/models/list", mode="openai"))["models"]
    prices = {model["name"]: (model["cost_input"], model["cost_output"]) for model in models}
    assert prices["gpt-4"] == (10, 30)


async def test_a_strangers_costs_are_not_told(clara: Person, priced: Server) -> None:
    mine = await clara.ask("Hello")
    stranger = await Person.join(priced.url)
    assert (await stranger.http.get(f"/conversations/{mine['conversation_id']}/usage")).status_code == 404
    await stranger.close()


async def test_the_default_model_is_named(anna: Person, openai: OpenAIServer) -> None:
    told = await anna.get("/models/default")
    answer = await anna.ask("Hello")
    assert (told["model_source"], told["model_name"]) == (answer["model_source"], answer["model_name"])
    assert told["fallback_from"] is None


async def test_feedback_with_reasons_is_kept_changed_and_withdrawn(anna: Person, boris: Person) -> None:
    answer = await anna.ask("Hello")
    path = f"/messages/{answer['message_id']}/feedback"
    body = {"rating": "down", "reasons": ["wrong", "sources", "wrong"], "comment": "It was Tuesday.", "show_text": True}
    assert (await anna.http.put(path, json=body)).status_code == 204
    kept = (await messages(anna, answer["conversation_id"]))[-1]["feedback"]
    assert kept == body | {"reasons": ["wrong", "sources"]}
    assert (await anna.http.put(path, json={"rating": "up"})).status_code == 204
    kept = (await messages(anna, answer["conversation_id"]))[-1]["feedback"]
    assert kept == {"rating": "up", "comment": None, "reasons": [], "show_text": False}
    assert (await boris.http.delete(path)).status_code == 404
    assert (await anna.http.delete(path)).status_code == 204
    assert (await messages(anna, answer["conversation_id"]))[-1]["feedback"] is None
    assert (await anna.http.put(path, json={"rating": "down", "reasons": ["dull"]})).status_code == 422


async def test_administrators_see_feedback_and_texts_only_where_they_are_shown(
    join: Join, database: Database, anna: Person
) -> None:
    admin = await administrator(join, database)
    database.execute("UPDATE messages SET rated_at = NULL")  # what other tests have left in this session's database
    hidden = await anna.ask("Who stole the walnut?")
    shown = await anna.ask("Where is the tram?")
    up = await anna.ask("Is it nice?")
    bodies: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (hidden, {"rating": "down", "reasons": ["harmful"]}),
        (shown, {"rating": "down", "comment": "Late", "show_text": True}),
        (up, {"rating": "up"}),
    ]
    for answer, body in bodies:
        await anna.http.put(f"/messages/{answer['message_id']}/feedback", json=body)
    assert (await anna.http.get("/admin/feedback")).status_code == 403
    first = await admin.get("/admin/feedback", limit=2)
    second = await admin.get("/admin/feedback", limit=2, cursor=first["next_cursor"])
    rows = {row["message_id"]: row for row in [*first["items"], *second["items"]]}
    assert [row["message_id"] for row in first["items"]] == [up["message_id"], shown["message_id"]], "newest first"
    assert second["next_cursor"] is None
    assert rows[hidden["message_id"]]["reasons"] == ["harmful"]
    assert (rows[hidden["message_id"]]["question"], rows[hidden["message_id"]]["answer"]) == (None, None)
    told = rows[shown["message_id"]]
    assert (told["question"], told["answer"], told["comment"]) == ("Where is the tram?", shown["response"], "Late")
    assert (told["username"], told["model_name"]) == (anna.name, shown["model_name"])
    assert len((await admin.get("/admin/feedback", rating="up"))["items"]) == 1


async def test_two_models_answer_one_question_at_once(anna: Person, openai: OpenAIServer) -> None:
    """The same model twice is a conflict, as before; both answers stand, and either can be gone on from."""
    openai.script(tokens=["word "] * 12, delay=0.2)
    first = await anna.http.post("/chat/stream", json={"message": "Hello", "model_source": "openai"}, timeout=60)
    done = [line for line in first.text.splitlines() if line.startswith("data:")]
    assert '"type":"done"' in done[-1].replace(" ", "")
    start = await anna.ask("And you?", model_source="openai", model_name="m-1")
    body = {
        "conversation_id": start["conversation_id"],
        "parent_message_id": start["user_message_id"],
        "regenerate": True,
        "model_source": "openai",
    }
    answers = await asyncio.gather(
        *(anna.http.post("/chat", json=body | {"model_name": name}) for name in ("m-2", "m-3", "m-2"))
    )
    by_status = sorted(answer.status_code for answer in answers)
    assert by_status == [200, 200, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert envelope(refused)["details"][0]["run_id"]
    both = [answer.json() for answer in answers if answer.status_code == 200]
    assert {answer["model_name"] for answer in both} == {"m-2", "m-3"}
    for answer in both:
        path = f"/conversations/{start['conversation_id']}"
        await anna.http.patch(path, json={"leaf_id": answer["message_id"]})
        branch = await messages(anna, start["conversation_id"])
        assert branch[-1]["id"] == answer["message_id"]
        assert len(branch[-1]["sibling_ids"]) == 3
        assert branch[-1]["content"] == "word " * 12
        openai.script(tokens=["fine"])
        on = await anna.ask("Go on", conversation_id=start["conversation_id"], parent_message_id=answer["message_id"])
        history = [message["content"] for message in openai.chats[-1].body["messages"]]
        assert on["response"] == "fine"
        assert "word " * 12 in history
