"""A source that nobody answers at is an edge of the graph: the next one is asked, and the state keeps the failure."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from llama_service.settings import Settings
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_checkpoint_tree import states
from tests.providers import OpenAIServer
from tests.support import Person, Server, serving

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def falling_back(settings: Settings) -> AsyncIterator[Server]:
    """A server whose default provider is not there, and that has another one to turn to."""
    away = {"default_model_source": "ollama", "embeddings_baseurl": NOBODY, "model_fallback_sources": ["openai"]}
    async with serving(settings.model_copy(update=away)) as running:
        yield running


@pytest.fixture
async def vera(falling_back: Server) -> AsyncIterator[Person]:
    """Somebody who is signed in there."""
    person = await Person.join(falling_back.url)
    yield person
    await person.close()


def asked_sources(trace: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return which sources a turn has asked, and with which error."""
    steps = [node for node in trace["nodes"] if node["node"] == "generate"]
    return [(step["input"]["source"], step["output"]["error"]) for step in steps]


async def test_the_next_source_answers_and_the_state_tells_why(vera: Person, openai: OpenAIServer) -> None:
    openai.script(reply="From somebody else.")
    answer = await vera.ask("Who are you?")
    assert (answer["response"], answer["model_source"], answer["fallback_from"]) == (
        "From somebody else.",
        "openai",
        "ollama",
    )
    trace = await vera.get(f"/messages/{answer['message_id']}/trace")
    assert asked_sources(trace) == [("ollama", "provider_unavailable"), ("openai", None)]
    newest, *earlier = await states(vera, answer["conversation_id"])
    assert [(s["source"], s["code"]) for s in newest["values"]["failed_sources"]] == [
        ("ollama", "provider_unavailable")
    ]
    assert sum(state["next"] == ["generate"] for state in earlier) == 2, "once for each source"
    # The next turn begins anew, with the default source.
    again = await vera.ask("And now?", conversation_id=answer["conversation_id"])
    trace = await vera.get(f"/messages/{again['message_id']}/trace")
    assert [source for source, _ in asked_sources(trace)] == ["ollama", "openai"]


async def test_a_named_source_is_never_replaced(vera: Person, openai: OpenAIServer) -> None:
    asked = len(openai.chats)
    refused = await vera.http.post("/chat", json={"message": "Who are you?", "model_source": "ollama"})
    assert refused.status_code == 503
    assert envelope(refused)["code"] == "provider_unavailable"
    assert len(openai.chats) == asked


async def test_an_answer_that_breaks_off_is_not_begun_elsewhere(vera: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["One ", "two ", "three ", "four "], fault="drop")
    asked = len(openai.chats)
    events = await vera.stream("Count.")
    assert events[-1].name == "error"
    assert len(openai.chats) == asked + 1


async def test_where_nobody_answers_the_first_ones_error_is_told(vera: Person, openai: OpenAIServer) -> None:
    openai.script(fault="429")
    refused = await vera.http.post("/chat", json={"message": "Who are you?"})
    assert refused.status_code == 503
    assert envelope(refused)["code"] == "provider_unavailable"
