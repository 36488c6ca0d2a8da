"""Servers that speak OpenAI's wire each a little differently."""

import time
from typing import Any

import pytest
from aiohttp import web

from chains.types import ModelParams
from llama_service.errors import ContentRefused, ProviderBadAnswer, ProviderError, ProviderUnavailable
from tests.providers import OpenAIServer
from tests.providers.asking import EXPECTED, Open, ask
from tests.providers.base import Fault

ALL = ModelParams(temperature=0.5, max_tokens=50)


@pytest.mark.parametrize(
    ("refused", "kept"),
    [
        ("stream_options", {"max_tokens": 50, "temperature": 0.5}),
        ("temperature", {"max_tokens": 50}),
        ("max_tokens", {"max_completion_tokens": 50, "temperature": 0.5}),
    ],
)
async def test_refused_parameter_is_learnt(
    openai: OpenAIServer, registry_with: Open, refused: str, kept: dict[str, Any]
) -> None:
    openai.rejects = {refused}
    registry = await registry_with(openai_base_url=openai.url)
    start, text, _ = await ask(registry, source="openai", params=ALL)
    assert text == EXPECTED
    assert [attempt.outcome for attempt in start.attempts] == ["ok"]
    await ask(registry, source="openai", params=ALL)
    assert len(openai.chats) == 3
    sent = openai.chats[-1].body
    assert {name: sent[name] for name in kept} == kept
    assert refused not in sent


async def test_two_refused_parameters(openai: OpenAIServer, registry_with: Open) -> None:
    openai.rejects = {"stream_options", "max_tokens"}
    registry = await registry_with(openai_base_url=openai.url)
    assert (await ask(registry, source="openai", params=ALL))[1] == EXPECTED


class RawServer(OpenAIServer):
    """Sends the bytes that it is given."""

    raw = b""

    async def chat_with(self, request: web.BaseRequest, body: Any, fault: Fault | None) -> web.StreamResponse:
        return web.Response(body=self.raw, content_type="text/event-stream")


DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n'


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (DELTA % (b"a", b"null") + DELTA % (b"b", b'"stop"'), "ab"),
        (DELTA % (b"a", b"null") + b"data: [DONE]\n\n", "a"),
        (DELTA.replace(b"\n", b"\r\n") % (b"a", b'"stop"') + b"data: [DONE]\r\n\r\n", "a"),
        (b": comment\n\nevent: x\nid: 1\nretry: 10\n" + DELTA % (b"a", b'"stop"'), "a"),
        (b'data:{"choices":[]}\n\n' + (DELTA % (b"a", b'"stop"')).rstrip(), "a"),
        ((DELTA % (b"a", b'"stop"')).replace(b"\n", b"\r"), "a"),
        (b"\xef\xbb\xbf" + DELTA % (b"a", b'"stop"'), "a"),
        (b"x-new-field: 1\n" + DELTA % (b"a", b'"stop"'), "a"),
        (b'data: {"choices":\ndata: [{"delta":{"content":"a"},\ndata: "finish_reason":"stop"}]}\n\n', "a"),
        (b'data: {"choices":[{"delta":null,"finish_reason":null}],"usage":null}\n\n' + DELTA % (b"a", b'"stop"'), "a"),
        (b'{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}', "a"),
        (b'{\n "choices": [\n  {"message": {"content": "a"}, "finish_reason": "stop"}\n ]\n}\n', "a"),
    ],
    ids=[
        "no DONE",
        "no reason",
        "CRLF",
        "comments",
        "no last newline",
        "CR",
        "BOM",
        "unknown field",
        "several data lines",
        "nulls",
        "not streamed",
        "not streamed, over several lines",
    ],
)
async def test_odd_but_understood(registry_with: Open, raw: bytes, text: str) -> None:
    async with RawServer() as server:
        server.raw = raw
        registry = await registry_with(openai_base_url=server.url)
        assert (await ask(registry, source="openai"))[1] == text


@pytest.mark.parametrize("how", ["hang", "cut"])
async def test_complete_answer_without_a_proper_end(registry_with: Open, how: str) -> None:
    class Endless(OpenAIServer):
        async def chat_with(self, request: web.BaseRequest, body: Any, fault: Fault | None) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(DELTA % (b"a", b'"stop"'))
            assert request.transport is not None
            if how == "cut":
                request.transport.abort()
            await self.hang()
            return response

    async with Endless() as server:
        registry = await registry_with(openai_base_url=server.url, provider_between_tokens_timeout=30)
        begun = time.monotonic()
        _, text, end = await ask(registry, source="openai")
        assert (text, end.finish_reason) == ("a", "stop")
        assert time.monotonic() - begun < 2.5


async def test_wrong_value_is_told_and_not_learnt(openai: OpenAIServer, registry_with: Open) -> None:
    openai.complains = "temperature must be less than or equal to 2"
    registry = await registry_with(openai_base_url=openai.url)
    with pytest.raises(ProviderError):
        await ask(registry, source="openai", params=ALL)
    openai.complains = ""
    await ask(registry, source="openai", params=ALL)
    assert openai.chats[-1].body["temperature"] == 0.5
    assert len(openai.chats) == 2


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (DELTA % (b"a", b"null"), ProviderUnavailable),
        (b"data: [1]\n\n", ProviderBadAnswer),
        (b'data: {"choices": 7}\n\n', ProviderBadAnswer),
        (b'data: {"choices": [7]}\n\n', ProviderBadAnswer),
        (b'data: {"choices": [{"delta": "x"}]}\n\n', ProviderBadAnswer),
        (b'{"object": "nonsense"}', ProviderBadAnswer),
        (b'{"choices": [{"message": {"content": "cut', ProviderBadAnswer),
        (b'data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}\n\n', ContentRefused),
        (b'data: {"error": {"code": "content_filter", "message": "x"}}\n\n', ContentRefused),
        (b'data: {"error": "a string"}\n\n', Exception),
        (b"\xff\xfe\x00", ProviderBadAnswer),
    ],
    ids=[
        "cut",
        "list",
        "number",
        "numbers",
        "string",
        "plain JSON",
        "half a JSON",
        "filtered",
        "filter event",
        "text",
        "binary",
    ],
)
async def test_nonsense_is_told(registry_with: Open, raw: bytes, error: type[Exception]) -> None:
    async with RawServer() as server:
        server.raw = raw
        registry = await registry_with(openai_base_url=server.url)
        with pytest.raises(error):
            await ask(registry, source="openai")


async def test_tool_calls_are_put_together(openai: OpenAIServer, registry_with: Open) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "blue",
            "parameters": {"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]},
        },
    }
    registry = await registry_with(openai_base_url=openai.url)
    _, text, end = await ask(registry, source="openai", params=ModelParams(tools=[tool]))
    assert (text, end.finish_reason) == ("", "tool_calls")
    assert [(call.id, call.name, call.arguments) for call in end.tool_calls] == [("call_1", "blue", '{"why": "words"}')]
