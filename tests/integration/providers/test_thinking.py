"""Thoughts are told apart from the answer, in every provider and every spelling, however the stream is cut."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from chains.models import ModelRegistry
from chains.types import Reasoning, StreamEnd, Target
from llama_service.errors import ProviderBadAnswer
from llama_service.settings import ProviderName
from tests.providers import AIHubServer, OllamaServer, OpenAIServer, WireServer
from tests.providers.asking import Open, hub_settings

THOUGHTS, ANSWER = "secret thoughts", "Answer is 42."
TAGGED = f"<think>\n{THOUGHTS}</think>\n\n{ANSWER}"


async def read(registry: ModelRegistry, source: ProviderName) -> tuple[str, str]:
    """Return (reasoning, answer)."""
    reasoning, text, ends = "", "", 0
    async for item in registry.stream([HumanMessage("Why?")], source=source):
        if isinstance(item, Reasoning):
            reasoning += item.text
        elif isinstance(item, str):
            text += item
        elif isinstance(item, StreamEnd):
            ends += 1
    assert ends == 1
    return reasoning.strip(), text


def sse(*events: Any) -> list[bytes]:
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def openai_deltas(*deltas: Any) -> list[bytes]:
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    return sse(*events, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def ollama_messages(*messages: Any) -> list[bytes]:
    lines = [{"model": "m", "message": {"role": "assistant", **message}, "done": False} for message in messages]
    last = {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop"}
    return [json.dumps(line).encode() + b"\n" for line in [*lines, last]]


def hub_events(*events: Any) -> list[bytes]:
    return sse(*events, {"text": "", "finishReason": "stop"})


def pieces(text: str, *cuts: int) -> list[str]:
    """Return a text cut at these places."""
    places = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(places) if start < end]


async def opened(server: WireServer, source: ProviderName, registry_with: Open) -> ModelRegistry:
    """Return a registry whose `source` is the server."""
    names = {"openai": "openai_base_url", "embedded": "embedded_chat_url", "ollama": "embeddings_baseurl"}
    given = hub_settings(server) if isinstance(server, AIHubServer) else {names[source]: server.url}
    registry: ModelRegistry = await registry_with(**given)
    return registry


def not_streamed(message: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


OPENAI_SPELLINGS: dict[str, Sequence[bytes]] = {
    "reasoning_content": openai_deltas(
        {"reasoning_content": "secret "}, {"reasoning_content": "thoughts"}, {"content": ANSWER}
    ),
    "reasoning": openai_deltas({"reasoning": THOUGHTS, "content": ""}, {"content": ANSWER}),
    "both at once": openai_deltas({"role": "assistant", "reasoning_content": THOUGHTS, "content": ANSWER}),
    "thinking": openai_deltas({"thinking": THOUGHTS}, {"content": ANSWER}),
    "details": openai_deltas(
        {"reasoning_details": [{"type": "reasoning.text", "text": THOUGHTS}]}, {"content": ANSWER}
    ),
    "parts": openai_deltas(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}]}]},
        {"content": [{"type": "text", "text": "Answer "}, {"type": "text", "text": "is 42."}]},
    ),
    "tags": openai_deltas({"content": TAGGED}),
    "thinking tags": openai_deltas({"content": f"<thinking>{THOUGHTS}</thinking>{ANSWER}"}),
    "brackets": openai_deltas({"content": f"[THINK]{THOUGHTS}[/THINK]{ANSWER}"}),
    "not streamed": [
        json.dumps(
            {"choices": [{"message": {"content": ANSWER, "reasoning_content": THOUGHTS}, "finish_reason": "stop"}]}
        ).encode()
    ],
    "not streamed, tags": [not_streamed({"content": TAGGED})],
}


@pytest.mark.parametrize("spelling", OPENAI_SPELLINGS)
@pytest.mark.parametrize("source", ["openai", "embedded"])
async def test_openais_wire(spelling: str, source: ProviderName, openai: OpenAIServer, registry_with: Open) -> None:
    openai.script(raw=OPENAI_SPELLINGS[spelling])
    assert await read(await opened(openai, source, registry_with), source) == (THOUGHTS, ANSWER)


async def test_tags_may_be_cut_anywhere(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await opened(openai, "openai", registry_with)
    for cut in range(1, len(TAGGED)):
        openai.script(raw=openai_deltas(*({"content": piece} for piece in pieces(TAGGED, cut, cut + 3))))
        assert await read(registry, "openai") == (THOUGHTS, ANSWER), cut


@pytest.mark.parametrize(
    "messages",
    [
        [{"thinking": "secret "}, {"thinking": "thoughts", "content": ""}, {"content": ANSWER}],
        [{"content": piece} for piece in pieces(TAGGED, 3, 20, 26)],
    ],
    ids=["thinking", "tags"],
)
async def test_ollamas_wire(messages: list[dict[str, str]], ollama: OllamaServer, registry_with: Open) -> None:
    ollama.script(raw=ollama_messages(*messages), raw_type="application/x-ndjson")
    assert await read(await opened(ollama, "ollama", registry_with), "ollama") == (THOUGHTS, ANSWER)


@pytest.mark.parametrize(
    "events",
    [
        [{"message": {"role": "assistant", "text": piece}} for piece in pieces(TAGGED, 5, 24)],
        [{"delta": {"reasoning": THOUGHTS}}, {"delta": {"text": ANSWER}}],
        [{"choices": [{"delta": {"reasoning_content": THOUGHTS}}]}, {"choices": [{"delta": {"content": ANSWER}}]}],
    ],
    ids=["tags", "reasoning", "as OpenAI"],
)
async def test_the_hubs_wire(events: list[Any], hub: AIHubServer, registry_with: Open) -> None:
    hub.script(raw=hub_events(*events))
    assert await read(await opened(hub, "aihub", registry_with), "aihub") == (THOUGHTS, ANSWER)


async def test_a_hub_that_does_not_stream(hub: AIHubServer, registry_with: Open) -> None:
    hub.script(reply=TAGGED)
    registry = await registry_with(**{**hub_settings(hub), "aihub_chat_stream_path": ""})
    assert await read(registry, "aihub") == (THOUGHTS, ANSWER)


@pytest.mark.parametrize(
    "text",
    [
        "The tag <think> is written by models; </think> ends it.",
        "```\n<think>\n```",
        "<thinker> is no tag.",
        "a < b",
        "<",
    ],
)
async def test_what_only_looks_like_thoughts_is_answer(text: str, openai: OpenAIServer, registry_with: Open) -> None:
    openai.script(raw=openai_deltas(*({"content": letter} for letter in text)))
    assert await read(await opened(openai, "openai", registry_with), "openai") == ("", text)


@pytest.mark.parametrize(
    ("halves", "text"),
    [
        (('"a \\ud83d"', '"\\ude00 b"'), "a \N{GRINNING FACE} b"),
        (('"a \\ud83d"', '" b"'), "a \N{REPLACEMENT CHARACTER} b"),
        (('"a"', '"\\ude00"'), "a\N{REPLACEMENT CHARACTER}"),
        (('"a"', '"b\\ud83d"'), "ab\N{REPLACEMENT CHARACTER}"),
    ],
    ids=["joined", "first alone", "second alone", "at the end"],
)
async def test_halves_of_characters(
    halves: tuple[str, str], text: str, openai: OpenAIServer, registry_with: Open
) -> None:
    raw = [f'data: {{"choices":[{{"delta":{{"content":{half}}}}}]}}\n\n'.encode() for half in halves]
    openai.script(raw=[*raw, b"data: [DONE]\n\n"])
    assert await read(await opened(openai, "openai", registry_with), "openai") == ("", text)


async def test_characters_cut_between_packets(openai: OpenAIServer, registry_with: Open) -> None:
    whole = b"".join(openai_deltas({"content": "Ёлка 🎄"})).replace(b"\\u0401", "Ё".encode())
    for cut in range(1, len(whole), 7):
        openai.script(raw=[whole[:cut], whole[cut:]], delay=0.001)
        assert (await read(await opened(openai, "openai", registry_with), "openai"))[1] == "Ёлка 🎄"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (openai_deltas({"content": ""}), "without a word"),
        (openai_deltas({"reasoning_content": THOUGHTS}), "without a word"),
        (openai_deltas({"content": "<think>never closed"}), "without a word"),
        (sse({"choices": [{"delta": {}, "finish_reason": "length"}]}), "limit"),
        (
            openai_deltas({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]}),
            "asked for a tool",
        ),
    ],
    ids=["empty", "thoughts only", "an open tag", "length", "a tool"],
)
async def test_an_answer_without_text_is_an_error(
    raw: list[bytes], words: str, openai: OpenAIServer, registry_with: Open
) -> None:
    openai.script(raw=raw)
    with pytest.raises(ProviderBadAnswer) as failed:
        await read(await opened(openai, "openai", registry_with), "openai")
    assert words in failed.value.message


async def test_langchain_gets_thoughts_too(openai: OpenAIServer, registry_with: Open) -> None:
    openai.script(raw=OPENAI_SPELLINGS["reasoning_content"])
    registry = await opened(openai, "openai", registry_with)
    model = await registry.chat_model(Target("openai", "gpt-4", "openai"))
    chunks = [chunk async for chunk in model.astream([SystemMessage("Be brief."), HumanMessage("Why?")])]
    assert "".join(chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks) == THOUGHTS
    assert "".join(str(chunk.text) for chunk in chunks) == ANSWER
