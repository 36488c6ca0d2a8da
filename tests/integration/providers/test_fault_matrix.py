"""Provider × fault: what the reader is told and when, and that the next turn works. Written to docs/faults.md."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from chains.models import ModelRegistry
from chains.types import Attempt, StreamEnd, StreamStart
from llama_service.errors import AppError
from llama_service.settings import ModelSource, ProviderName
from tests.providers import AIHubServer, OllamaServer, OpenAIServer, WireServer
from tests.providers.asking import EXPECTED, PROMPT, Open, ask, hub_settings

FIRST, BETWEEN = 0.4, 0.3
SOURCES: tuple[ProviderName, ...] = ("openai", "embedded", "ollama", "aihub")
FAULTS = Path(__file__).parents[3] / "docs" / "faults.md"


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, what it means, the code that it must give and the seconds it may take at most."""

    fault: str
    means: str
    code: str
    longest: float
    partial: bool = False
    attempts: int = 1


CASES = (
    Case("down", "nobody listens at the address", "provider_unavailable", 0.6, attempts=3),
    Case("refuse", "the connection is cut at once", "provider_unavailable", 0.6, attempts=3),
    Case("hang_before", "no first token comes", "provider_timeout", FIRST + 0.2),
    Case("hang_between", "the stream stops in its middle", "provider_timeout", BETWEEN + 0.2, partial=True),
    Case("drop", "the connection breaks in the middle", "provider_unavailable", 0.2, partial=True),
    Case("error_in_stream", "an error comes in the middle", "provider_error", 0.2, partial=True),
    Case("malformed", "a piece of the stream is no JSON", "provider_bad_answer", 0.2, partial=True),
    Case("endless_line", "a line of the stream has no end", "provider_bad_answer", 1.5, partial=True),
    Case("empty", "an empty answer with status 200", "provider_bad_answer", 0.2),
    Case("html", "a web page with status 200", "provider_bad_answer", 0.2),
    Case("401", "the key or the account is refused", "provider_auth_failed", 0.2),
    Case("429", "too many requests, wait 30 s", "provider_rate_limited", 0.2),
    Case("500", "the provider fails", "provider_error", 0.6, attempts=3),
    Case("503", "the provider is overloaded", "provider_unavailable", 0.6, attempts=3),
    Case("no_model", "there is no such model", "model_not_found", 0.2),
    Case("too_long", "the prompt is too long for the model", "context_too_long", 0.2),
    Case("refused", "the content is refused", "content_refused", 0.2),
)
FINE = (
    Case("slow", "the answer comes slowly, but comes", "", 2.0),
    Case("huge", "the answer has no end in sight: cut at 1,000,000 characters", "", 3.0),
)
_SEEN: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[dict[str, WireServer]]:
    async with OpenAIServer() as openai, OpenAIServer() as embedded, OllamaServer() as ollama, AIHubServer() as hub:
        yield {"openai": openai, "embedded": embedded, "ollama": ollama, "aihub": hub}


async def registry_of(servers: dict[str, WireServer], registry_with: Open) -> ModelRegistry:
    hub = servers["aihub"]
    assert isinstance(hub, AIHubServer)
    registry: ModelRegistry = await registry_with(
        openai_base_url=servers["openai"].url,
        embedded_chat_url=servers["embedded"].url,
        embeddings_baseurl=servers["ollama"].url,
        provider_first_token_timeout=FIRST,
        provider_between_tokens_timeout=BETWEEN,
        **hub_settings(hub),
    )
    return registry


async def fail(registry: ModelRegistry, source: ModelSource) -> tuple[AppError, str, float, list[Attempt]]:
    """Ask, return the error, the text before it, the seconds to it, and the attempts."""
    attempts: list[Attempt] = []
    said: list[str] = []
    begun = time.monotonic()
    try:
        async with aclosing(registry.stream(PROMPT, source=source, attempts=attempts)) as items:
            async for item in items:
                if isinstance(item, str):
                    said.append(item)
    except AppError as error:
        return error, "".join(said), time.monotonic() - begun, attempts
    pytest.fail("the fault did not show")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
@pytest.mark.parametrize("source", SOURCES)
async def test_fault(source: ProviderName, case: Case, servers: dict[str, WireServer], registry_with: Open) -> None:
    server = servers[source]
    registry = await registry_of(servers, registry_with)
    await registry.chat_model(await registry.resolve(source, None))  # so that the provider's time is measured alone
    if case.fault == "down":
        await server.down()
    else:
        server.script(fault=case.fault)
    try:
        error, said, seconds, attempts = await fail(registry, source)
    finally:
        server.script()
        if case.fault == "down":
            await server.up()
    assert error.code == case.code
    assert seconds < case.longest
    assert bool(said) is case.partial
    assert not case.partial or EXPECTED.startswith(said)
    assert len(attempts) == case.attempts
    assert "secret" not in f"{error.message} {error.details} {error!r}".lower()
    assert (error.retry_after == 30) is (case.fault == "429")
    assert (await ask(registry, source=source))[1] == EXPECTED
    ends = "text, then `error` event" if case.partial else f"{error.status}"
    tries = f", after {case.attempts} attempts" if case.attempts > 1 else ""
    _SEEN[source, case.fault] = f"{ends}: `{error.code}`{tries}"


@pytest.mark.parametrize("case", FINE, ids=lambda case: case.fault)
@pytest.mark.parametrize("source", SOURCES)
async def test_strange_but_fine(
    source: ProviderName, case: Case, servers: dict[str, WireServer], registry_with: Open
) -> None:
    server = servers[source]
    server.script(fault=case.fault)
    registry = await registry_of(servers, registry_with)
    try:
        start, text, end = await ask(registry, source=source)
    finally:
        server.script()
    assert isinstance(start, StreamStart)
    assert isinstance(end, StreamEnd)
    if case.fault == "slow":
        assert (text, end.finish_reason) == (EXPECTED, "stop")
    else:
        assert end.finish_reason == "length"
        assert len(text) == 1_000_000
    _SEEN[source, case.fault] = f"the answer, `finish_reason` `{end.finish_reason}`"


@pytest.mark.parametrize("source", SOURCES)
async def test_one_failure_is_repaired_silently(
    source: ProviderName, servers: dict[str, WireServer], registry_with: Open
) -> None:
    registry = await registry_of(servers, registry_with)
    for fault in ("refuse", "500", "503"):
        servers[source].script(fault=fault, times=1)
        start, text, _ = await ask(registry, source=source)
        assert text == EXPECTED
        assert start.attempts[-1].outcome == "ok"
        assert len(start.attempts) == 2 or fault == "refuse"  # a pooled connection may have died: no attempt


async def test_every_third_call_fails_and_nothing_leaks(servers: dict[str, WireServer], registry_with: Open) -> None:
    registry = await registry_of(servers, registry_with)
    for source in SOURCES:
        server = servers[source]
        for fault in ("drop", "500", "error_in_stream"):
            server.script(fault=fault, every=3)
            outcomes: list[str] = []
            for _ in range(12):
                try:
                    outcomes.append((await ask(registry, source=source))[1])
                except AppError as error:
                    outcomes.append(error.code)
            assert outcomes.count(EXPECTED) >= 8
        server.script()
        assert (await ask(registry, source=source))[1] == EXPECTED
        assert server.streaming == 0
        assert server.connections <= 2


def _page() -> str:
    lines = [
        "# What a reader sees when a provider has a bad day",
        "",
        "Generated by `tests/integration/providers/test_fault_matrix.py`; do not edit. A number is the HTTP status of",
        "an answer that had not begun; an `error` event ends a stream that had, and the text before it is kept. After",
        "each fault the next question to the same provider is answered.",
        "",
        "| fault | " + " | ".join(SOURCES) + " |",
        "|---" * (len(SOURCES) + 1) + "|",
    ]
    for case in (*CASES, *FINE):
        cells = " | ".join(_SEEN[source, case.fault] for source in SOURCES)
        lines.append(f"| {case.means} | {cells} |")
    return "\n".join(lines) + "\n"


def test_the_page_is_up_to_date() -> None:
    """Compare with docs/faults.md; with UPDATE_DOCS=1 write it."""
    if len(_SEEN) < len(SOURCES) * len(CASES + FINE):
        pytest.skip("the whole matrix has to run for its page")
    page = _page()
    if os.environ.get("UPDATE_DOCS"):
        FAULTS.write_text(page, encoding="utf-8")
    assert FAULTS.read_text(encoding="utf-8") == page, "run with UPDATE_DOCS=1"
