"""OpenAI's wire: chat completions (streamed and not), embeddings, models.

Also refuses what some servers refuse: `rejects` holds names of parameters that are answered with a 400.
"""

import base64
import json
import re
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from aiohttp import web

from tests.providers.base import Fault, WireServer
from tests.providers.brain import arguments_for, count, tool_for
from tests.providers.vectors import vector_of


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


class OpenAIServer(WireServer):
    """A server of OpenAI's wire; `url` ends in /v1."""

    kind = "openai"
    base_path = "/v1"

    def __init__(self, *, models: list[dict[str, Any]] | None = None, key: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.models = models or [{"id": "gpt-4"}, {"id": "gpt-4o-mini"}, {"id": "text-embedding-3-small"}]
        self.key = key
        self.rejects: set[str] = set()
        self.complains = ""
        self.unembeddable = ""

    def is_chat(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    def error(self, status: int, code: str, message: str) -> web.Response:
        body = {"error": {"message": message, "type": code, "param": None, "code": code}}
        return web.json_response(body, status=status)

    async def answer(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        if refused := self._wrong_key(request):
            return refused
        if request.path.endswith("/models"):
            rows = [{"object": "model", "created": 1, "owned_by": "test", **model} for model in self.models]
            return web.json_response({"object": "list", "data": rows})
        if request.path.endswith("/embeddings"):
            return self._embed(body)
        return web.json_response({"detail": "Not Found"}, status=404)

    def _wrong_key(self, request: web.BaseRequest) -> web.Response | None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return self.error(401, "invalid_api_key", "Incorrect API key provided.")
        return None

    def _embed(self, body: Any) -> web.Response:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if self.unembeddable and any(self.unembeddable in str(text) for text in texts):
            return self.error(413, "too_large", "Input validation error: `inputs` must have less than 512 tokens.")
        rows: list[dict[str, Any]] = []
        for index, text in enumerate(texts):
            vector: Any = vector_of(str(text))
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            rows.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response({"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage})

    async def chat_with(self, request: web.BaseRequest, body: Any, fault: Fault | None) -> web.StreamResponse:
        if refused := self._wrong_key(request):
            return refused
        for name in self.rejects & set(body):
            return self.error(400, "unsupported_parameter", f"Unsupported parameter: '{name}' is not supported.")
        if self.complains:
            return self.error(400, "invalid_value", self.complains)
        messages = [{"role": m["role"], "text": _text(m.get("content"))} for m in body["messages"]]
        if not body.get("stream"):
            return self._whole(body, messages, fault)
        return await self.send(request, "text/event-stream", self._frames(body, messages, fault), fault)

    def _usage(self, messages: list[dict[str, str]], made: int) -> dict[str, int]:
        given = count(messages)
        return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}

    def _structured(self, body: Any) -> str | None:
        wanted = body.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            return json.dumps(arguments_for(wanted["json_schema"]["schema"], _text(body["messages"][-1]["content"])))
        if wanted.get("type") == "json_object":
            names = re.findall(r"[`'\"](\w+)[`'\"]", _text(body["messages"][-1]["content"]))
            return json.dumps(dict.fromkeys(names, "words"))
        return None

    def _whole(self, body: Any, messages: list[dict[str, str]], fault: Fault | None) -> web.Response:
        tokens, reason = self.limited(self.tokens(messages, fault), _limit(body))
        message: dict[str, Any] = {"role": "assistant", "content": self._structured(body) or "".join(tokens)}
        if tool := tool_for(body, messages[-1]["text"]):
            function = {"name": tool["name"], "arguments": self._arguments(tool, messages)}
            call = {"id": "call_1", "type": "function", "function": function}
            message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": self._usage(messages, len(tokens)),
        }
        return web.json_response(answer)

    def _arguments(self, tool: dict[str, Any], messages: list[dict[str, str]]) -> str:
        filled = arguments_for(tool.get("parameters", {}), messages[-1]["text"])
        return json.dumps(filled, ensure_ascii=False)

    async def _frames(self, body: Any, messages: list[dict[str, str]], fault: Fault | None) -> AsyncIterator[bytes]:
        yield b": keep-alive\n\n" + self._frame(body, {"role": "assistant", "content": ""})
        if due := self.calls_due(body):
            made = 1
            async for token in self.paced(self._script.preamble.split(" ") if self._script.preamble else [], fault):
                yield self._frame(body, {"content": token + " "})
            for frame in self._call_frames(body, due):
                yield frame
            yield self._frame(body, {}, "tool_calls")
        elif tool := tool_for(body, messages[-1]["text"]):
            made = 1
            arguments = self._arguments(tool, messages)
            head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": tool["name"], "arguments": ""}}
            yield self._frame(body, {"tool_calls": [head]})
            for piece in (arguments[:5], arguments[5:]):
                yield self._frame(body, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            yield self._frame(body, {}, "tool_calls")
        else:
            tokens = [text] if (text := self._structured(body)) else self.tokens(messages, fault)
            tokens, reason = self.limited(tokens, _limit(body))
            made = len(tokens)
            async for token in self.paced(tokens, fault):
                yield self._frame(body, {"content": token})
            yield self._frame(body, {}, reason)
        if (body.get("stream_options") or {}).get("include_usage") and self._script.usage:
            last = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": body["model"], "choices": []}
            yield b"data: " + json.dumps({**last, "usage": self._usage(messages, made)}).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    def _call_frames(self, body: Any, calls: Sequence[tuple[str, Any]]) -> Iterator[bytes]:
        """Yield several calls at once, their arguments in pieces and by turns, as servers stream them."""
        texts = [given if isinstance(given, str) else json.dumps(given, ensure_ascii=False) for _, given in calls]
        for index, (name, _) in enumerate(calls):
            function = {"name": name, "arguments": ""}
            head = {"index": index, "id": f"call_{index + 1}", "type": "function", "function": function}
            yield self._frame(body, {"tool_calls": [head]})
        for at in range(0, max(map(len, texts)), 7):
            for index, text in enumerate(texts):
                if piece := text[at : at + 7]:
                    yield self._frame(body, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def _frame(self, body: Any, delta: dict[str, Any], reason: str | None = None) -> bytes:
        chunk = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": body["model"],
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
        }
        return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"

    def broken_frame(self) -> bytes:
        return b'data: {"choices": [{"delta": {"content": \n\n'

    def error_frame(self) -> bytes:
        error = {"message": "secret-internal-detail", "type": "server_error", "code": None}
        return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"


def _limit(body: Any) -> Any:
    return body.get("max_completion_tokens") or body.get("max_tokens")
