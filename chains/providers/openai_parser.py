"""Reads the events of a streamed chat completion: text, tool calls, usage, and how it ended."""

from typing import Any

from chains.providers.events import joined
from chains.providers.stream import SseParser, ended
from chains.providers.thinking import parts_of, reasoning_of
from chains.types import End, ToolCall, Usage
from llama_service.errors import ContentRefused


class OpenAIParser(SseParser):
    """Parser of one answer."""

    __slots__ = ("_calls", "_model")

    def __init__(self) -> None:
        super().__init__()
        self._model: str | None = None
        self._calls: dict[int, list[str]] = {}

    def _read(self, event: dict[str, Any]) -> str:
        if usage := event.get("usage"):
            self._usage = _usage(usage)
        choices = event.get("choices")
        if not choices:
            return ""
        choice = choices[0]
        if reason := choice.get("finish_reason"):
            self._reason = str(reason)
            self._model = event.get("model")
        # A server that does not stream sends a message where a delta was asked for.
        delta = choice.get("delta") or choice.get("message")
        if not delta:
            return ""
        content = delta.get("content") or delta.get("refusal")
        if isinstance(content, str):
            self._text = True
            if len(delta) > 1:  # reasoning may stand beside it
                self._aside(delta)
            return content
        self._aside(delta)
        reasoning, text = parts_of(content)
        if reasoning:
            self.reasoning.append(reasoning)
        self._text = self._text or bool(text)
        return text

    def _aside(self, delta: dict[str, Any]) -> None:
        """Take what is no text: reasoning, and pieces of tool calls."""
        if reasoning := reasoning_of(delta):
            self.reasoning.append(reasoning)
        for piece in delta.get("tool_calls") or ():
            self.is_busy = True
            call = self._calls.setdefault(int(piece.get("index", 0)), ["", "", ""])
            function = piece.get("function") or {}
            call[0] = piece.get("id") or call[0]
            call[1] += function.get("name") or ""
            call[2] += function.get("arguments") or ""

    def end(self) -> End:
        """Tell how the answer ended."""
        reason = ended(self._reason, events=self._events)
        if reason == "content_filter" and not self._text:
            raise ContentRefused
        calls = tuple(ToolCall(*map(joined, call)) for _, call in sorted(self._calls.items()))
        return End(reason, self._usage, self._model, calls)


def _usage(told: dict[str, Any]) -> Usage:
    given, made = int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or 0)
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens")
    return Usage(given, made, int(told.get("total_tokens") or given + made), cached_tokens=int(cached or 0))
