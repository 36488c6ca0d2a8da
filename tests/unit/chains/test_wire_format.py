"""Parsers against streams cut at any place: the text must not depend on how bytes arrive."""

import json
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.faults import BrokeOff
from chains.providers.aihub_wire import AIHubParser, text_of, usage_of, whole_answer
from chains.providers.ollama import OllamaParser
from chains.providers.openai_parser import OpenAIParser
from chains.providers.stream import Parser
from chains.types import Usage
from llama_service.errors import ContentRefused, ProviderBadAnswer

TOKENS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12)


def sse(event: object) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


def read(parser: Parser, raw: bytes) -> str:
    return "".join(parser.feed(line) for line in raw.split(b"\n"))


@given(TOKENS)
def test_openai(tokens: list[str]) -> None:
    events = [{"choices": [{"delta": {"content": token}, "finish_reason": None}]} for token in tokens]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    last = {"model": "m-1", "choices": [{"delta": {}, "finish_reason": "stop"}]}
    raw = b"".join(map(sse, [*events, last, {"choices": [], "usage": usage}])) + b"data: [DONE]\n\n"
    parser = OpenAIParser()
    assert read(parser, raw) == "".join(tokens)
    end = parser.end()
    assert (end.finish_reason, end.usage, end.model) == ("stop", Usage(3, 4, 7), "m-1")


@given(TOKENS)
def test_ollama(tokens: list[str]) -> None:
    events: list[object] = [{"message": {"role": "assistant", "content": token}, "done": False} for token in tokens]
    events.append({"done": True, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 4, "model": "m"})
    parser = OllamaParser()
    assert read(parser, b"".join(orjson.dumps(event) + b"\n" for event in events)) == "".join(tokens)
    assert (parser.end().finish_reason, parser.end().usage) == ("length", Usage(3, 4, 7))


@given(TOKENS, st.sampled_from(["text", "message", "delta", "choices"]))
def test_aihub_in_each_of_its_shapes(tokens: list[str], shape: str) -> None:
    shapes: dict[str, Callable[[str], object]] = {
        "text": lambda token: {"text": token},
        "message": lambda token: {"message": {"role": "assistant", "text": token}},
        "delta": lambda token: {"delta": {"text": token}},
        "choices": lambda token: {"choices": [{"delta": {"content": token}}]},
    }
    parser = AIHubParser()
    assert read(parser, b"".join(sse(shapes[shape](token)) for token in tokens)) == "".join(tokens)
    with pytest.raises(BrokeOff):
        parser.end()
    read(parser, b"data: [DONE]\n\n")
    assert parser.end().finish_reason == "stop"


def test_reasoning_is_a_sign_of_life_but_no_text() -> None:
    parser = OpenAIParser()
    assert read(parser, sse({"choices": [{"delta": {"reasoning_content": "hm"}}]})) == ""
    assert parser.reasoning == ["hm"]
    ollama = OllamaParser()
    assert read(ollama, b'{"message":{"content":"","thinking":"hm"},"done":false}\n') == ""
    assert ollama.reasoning == ["hm"]


@pytest.mark.parametrize("parser", [OpenAIParser(), OllamaParser(), AIHubParser()])
def test_nothing_at_all_is_no_answer(parser: Parser) -> None:
    with pytest.raises(ProviderBadAnswer):
        parser.end()


def test_whole_answers_of_the_hub() -> None:
    answer = {"message": {"role": "assistant", "text": "hi"}, "usage": {"totalTokens": "9"}, "finishReason": "length"}
    text, end = whole_answer(answer)
    assert (text, end.finish_reason, end.usage) == ("hi", "length", Usage(0, 0, 9))
    broken_answers: list[object] = [None, [], {}, {"message": "hi"}, {"message": {"text": 3}}]
    for broken in broken_answers:
        with pytest.raises(ProviderBadAnswer):
            whole_answer(broken)
    with pytest.raises(ContentRefused):
        whole_answer({"message": {"text": ""}, "finishReason": "content_filter"})


def test_usage_of_the_hub() -> None:
    assert usage_of({"inputTokens": 2, "outputTokens": 3}) == Usage(2, 3, 5)
    assert usage_of({"promptTokens": 2, "completionTokens": 3, "totalTokens": 6}) == Usage(2, 3, 6)
    assert usage_of({}) is usage_of(None) is usage_of([1]) is None
    assert text_of({"text": ""}) == text_of({}) == ""


def test_a_character_of_an_argument_that_comes_in_two_halves_is_one() -> None:
    def call(arguments: str) -> bytes:
        function = {"name": "calculate", "arguments": arguments}
        return (
            b"data: "
            + json.dumps({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": function}]}}]}).encode()
        )

    last = sse({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    parser = OpenAIParser()
    read(parser, b"\n\n".join([call('{"a": "'), call("\ud83d"), call("\ude00"), call('\ud83d"}'), last]))
    (asked,) = parser.end().tool_calls
    assert asked.arguments == '{"a": "😀\ufffd"}'
