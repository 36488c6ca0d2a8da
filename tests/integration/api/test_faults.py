"""Providers on bad days, seen through the whole service: the stream and the database."""

from collections.abc import AsyncIterator

import pytest

from llama_service.settings import Settings
from tests.integration.api.test_chat import messages
from tests.providers import AIHubServer, OllamaServer, OpenAIServer
from tests.support import Person, Server, serving

FAULTS = {
    "refused": "content_refused",
    "hang_before": "provider_timeout",
    "hang_between": "provider_timeout",
    "drop": None,
    "drop_before": None,
    "401": "provider_auth_failed",
    "429": "provider_rate_limited",
    "500": None,
    "malformed": "provider_bad_answer",
    "no_model": "model_not_found",
    "too_long": "context_too_long",
    "html": None,
}


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Server]:
    """A server that waits less than a second for its providers; a new one each time, for its circuits are closed."""
    quick = {"provider_first_token_timeout": 0.6, "provider_between_tokens_timeout": 0.6, "inline_worker": False}
    async with serving(settings.model_copy(update=quick)) as running:
        yield running


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_told_and_loses_nothing(
    impatient: Server, fault: str, openai: OpenAIServer, ollama: OllamaServer, aihub: AIHubServer
) -> None:
    person = await Person.join(impatient.url)
    try:
        for source, double in (("openai", openai), ("ollama", ollama), ("aihub", aihub)):
            double.script(fault=fault, tokens=["Some ", "words ", "of ", "an ", "answer."], delay=0.02)
            await fails(person, source, FAULTS[fault], double.url)
            double.script()
    finally:
        await person.close()


async def fails(person: Person, source: str, code: str | None, secret: str) -> None:
    """Ask a provider that misbehaves; then ask it again on a better day."""
    events = await person.stream("A question that must not be lost.", model_source=source)
    assert events[-1].name == "error", [event.name for event in events]
    error = events[-1].data["error"]
    assert code in (None, error["code"])
    assert error["message"]
    assert secret not in error["message"]
    text = "".join(event.data["content"] for event in events if event.name == "chunk")
    thread = events[0].data["conversation_id"]
    question, answer = await messages(person, thread)
    assert question["content"] == "A question that must not be lost."
    assert (answer["status"], answer["content"]) == ("failed", text)
    assert answer["error"]["code"] == error["code"]
