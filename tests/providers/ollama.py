"""Ollama's wire: chat in lines of JSON, embed, tags, show."""

import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.providers.base import Fault, WireServer
from tests.providers.brain import arguments_for, count, tool_for
from tests.providers.vectors import vector_of

_MODELS: list[dict[str, Any]] = [
    {
        "name": "llama3.2:latest",
        "size": 2_019_393_189,
        "details": {"family": "llama", "families": ["llama"], "parameter_size": "3.2B", "quantization_level": "Q4_K_M"},
    },
    {
        "name": "llava:7b",
        "size": 4_733_363_377,
        "details": {"family": "llama", "families": ["llama", "clip"], "quantization_level": "Q4_0"},
    },
    {
        "name": "nomic-embed-text:latest",
        "size": 274_302_450,
        "details": {"family": "nomic-bert", "families": ["nomic-bert"], "quantization_level": "F16"},
    },
]


class OllamaServer(WireServer):
    """A server of Ollama's wire."""

    kind = "ollama"

    def __init__(self, *, models: list[dict[str, Any]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.models = _MODELS if models is None else models

    def is_chat(self, path: str) -> bool:
        return path == "/api/chat"

    def error(self, status: int, code: str, message: str) -> web.Response:
        return web.json_response({"error": message}, status=status)

    async def answer(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        if request.path == "/api/tags":
            return web.json_response({"models": [{"model": m["name"], **m} for m in self.models]})
        if request.path == "/api/version":
            return web.json_response({"version": "0.12.0"})
        if request.path == "/api/show":
            model = next((m for m in self.models if m["name"] == body["model"]), None)
            if model is None:
                return self.error(404, "not_found", f"model '{body['model']}' not found")
            vision = ["vision"] if "clip" in model["details"]["families"] else []
            window = {"general.architecture": "llama", "llama.context_length": 131072}
            return web.json_response({"capabilities": ["completion", "tools", *vision], "model_info": window})
        if request.path == "/api/embed":
            texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
            return web.json_response({"model": body["model"], "embeddings": [vector_of(text) for text in texts]})
        return web.Response(status=404, text="404 page not found")

    async def chat_with(self, request: web.BaseRequest, body: Any, fault: Fault | None) -> web.StreamResponse:
        if body["model"] not in {model["name"] for model in self.models}:
            return self.error(404, "not_found", f"model '{body['model']}' not found")
        messages = [{"role": m["role"], "text": m.get("content") or ""} for m in body["messages"]]
        if body.get("stream") is False:
            whole = "".join(self.tokens(messages, fault))
            return web.json_response(
                self._last(body, messages, 1) | {"message": {"role": "assistant", "content": whole}}
            )
        return await self.send(request, "application/x-ndjson", self._frames(body, messages, fault), fault)

    def tokens(self, messages: list[dict[str, str]], fault: Fault | None) -> list[str]:
        """Return the answer's tokens; behind an unfinished answer at the prompt's end, as Ollama does, the rest."""
        prefix = messages[-1]["text"] if messages[-1]["role"] == "assistant" else ""
        tokens = super().tokens(messages[:-1] if prefix else messages, fault)
        if not prefix or not "".join(tokens).startswith(prefix):
            return tokens
        rest, left = [], len(prefix)
        for token in tokens:
            if left < len(token):
                rest.append(token[left:])
            left = max(left - len(token), 0)
        return rest

    async def _frames(self, body: Any, messages: list[dict[str, str]], fault: Fault | None) -> AsyncIterator[bytes]:
        made, reason = 0, "stop"
        if due := self.calls_due(body):
            if self._script.preamble:
                yield self._line(body, {"role": "assistant", "content": self._script.preamble})
            calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in due]
            yield self._line(body, {"role": "assistant", "content": "", "tool_calls": calls})
        elif tool := tool_for(body, messages[-1]["text"]):
            function = {"name": tool["name"], "arguments": arguments_for(tool["parameters"], messages[-1]["text"])}
            yield self._line(body, {"role": "assistant", "content": "", "tool_calls": [{"function": function}]})
        else:
            limit = (body.get("options") or {}).get("num_predict")
            tokens, reason = self.limited(self.tokens(messages, fault), limit)
            async for token in self.paced(tokens, fault):
                made += 1
                yield self._line(body, {"role": "assistant", "content": token})
        yield json.dumps(self._last(body, messages, made) | {"done_reason": reason}).encode() + b"\n"

    def _line(self, body: Any, message: dict[str, Any]) -> bytes:
        told = {"model": body["model"], "created_at": "2025-11-01T00:00:00Z", "message": message, "done": False}
        return json.dumps(told, separators=(",", ":")).encode() + b"\n"

    def _last(self, body: Any, messages: list[dict[str, str]], made: int) -> dict[str, Any]:
        counts = {"prompt_eval_count": count(messages), "eval_count": made} if self._script.usage else {}
        return {
            "model": body["model"],
            "created_at": "2025-11-01T00:00:01Z",
            "message": {"role": "assistant", "content": ""},
            "done_reason": "stop",
            "done": True,
            "total_duration": 1_000_000,
            **counts,
        }

    def broken_frame(self) -> bytes:
        return b'{"model": "llama3.2", "message": {"content": \n'

    def error_frame(self) -> bytes:
        return b'{"error":"an error was encountered while running the model: secret-internal-detail"}\n'
