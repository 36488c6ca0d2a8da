"""Providers on bad days, seen through the whole service: the stream, the database, the next turn.

What is seen is compared with `docs/faults-service.md`; `UPDATE_DOCS=1` writes it anew.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

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


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, str], str]:
    """What each fault was told as, by fault and source."""
    return {}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_told_and_loses_nothing(
    impatient: Server,
    fault: str,
    openai: OpenAIServer,
    ollama: OllamaServer,
    aihub: AIHubServer,
    seen: dict[tuple[str, str], str],
) -> None:
    person = await Person.join(impatient.url)
    try:
        for source, double in (("openai", openai), ("ollama", ollama), ("aihub", aihub)):
            double.script(fault=fault, tokens=["Some ", "words ", "of ", "an ", "answer."], delay=0.02)
            thread, seen[fault, source] = await fails(person, source, FAULTS[fault], double.url)
            double.script()
            again = await person.ask("", conversation_id=thread, regenerate=True, model_source=source)
            assert again["response"], "the next turn works"
    finally:
        await person.close()


async def fails(person: Person, source: str, code: str | None, secret: str) -> tuple[str, str]:
    """Ask a provider that misbehaves; return the conversation, and what is told and kept."""
    events = await person.stream("A question that must not be lost.", model_source=source)
    assert events[-1].name == "error", [event.name for event in events]
    error = events[-1].data["error"]
    assert code in (None, error["code"])
    assert error["message"]
    assert secret not in error["message"]
    text = "".join(event.data["content"] for event in events if event.name == "chunk")
    thread: str = events[0].data["conversation_id"]
    question, answer = await messages(person, thread)
    assert question["content"] == "A question that must not be lost."
    assert (answer["status"], answer["content"]) == ("failed", text)
    assert answer["error"]["code"] == error["code"]
    return thread, f"`{error['code']}`, {'text so far kept' if text else 'no text'}"


def test_the_table_is_what_is_seen(seen: dict[tuple[str, str], str], repository: Path) -> None:
    if len(seen) != 3 * len(FAULTS):
        pytest.skip("not all faults were tried in this run")
    lines = [
        "# Providers' bad days, seen through the service",
        "",
        "Written by `tests/integration/api/test_faults.py`. In each case the stream ends with one `error` event of",
        "this code (the first-token and between-tokens time-outs set to 0.6 s), the database holds the question and",
        "an answer with the status `failed`, the error and the text that was told, and the next turn works.",
        "What a provider's client sees, with times: [faults.md](faults.md).",
        "",
        "| fault | openai | ollama | aihub |",
        "|---|---|---|---|",
        *(
            f"| {fault} | {seen[fault, 'openai']} | {seen[fault, 'ollama']} | {seen[fault, 'aihub']} |"
            for fault in FAULTS
        ),
        "",
    ]
    table = "\n".join(lines)
    path = repository / "docs" / "faults-service.md"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(table, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == table
