"""AI HUB's chat answers: whole, or as server-sent events."""

from typing import Any

from chains.providers.stream import SseParser, ended
from chains.providers.thinking import parts_of, reasoning_of
from chains.types import End, Usage
from llama_service.errors import ContentRefused, ProviderBadAnswer

_REFUSALS = {"content_filter", "CONTENT_FILTER", "ALTERNATIVE_STATUS_CONTENT_FILTER"}


def usage_of(told: Any) -> Usage | None:
    """Return the usage; parts that the hub does not count are 0."""
    if not isinstance(told, dict):
        return None
    given = _first(told, "inputTokens", "promptTokens", "inputTextTokens")
    made = _first(told, "outputTokens", "completionTokens")
    total = _first(told, "totalTokens")
    if not (given or made or total):
        return None
    return Usage(given, made, total or given + made)


def _first(told: dict[str, Any], *names: str) -> int:
    values = (told.get(name) for name in names)
    return next((int(value) for value in values if isinstance(value, int | float | str) and str(value).isdigit()), 0)


def text_of(event: dict[str, Any]) -> str:
    """Return an event's text: under `text`, `message.text`, `delta.text` or `choices[0].delta.content`."""
    text = event.get("text")
    for name in ("message", "delta"):
        if text is None and isinstance(event.get(name), dict):
            text = event[name].get("text")
    if text is None and event.get("choices"):
        text = event["choices"][0].get("delta", {}).get("content")
    if isinstance(text, list):
        text = parts_of(text)[1]
    if text is not None and not isinstance(text, str):
        raise ProviderBadAnswer
    return text or ""


def whole_answer(answer: Any) -> tuple[str, End]:
    """Return text and end of an answer that was not streamed."""
    if not isinstance(answer, dict) or not isinstance(answer.get("message"), dict):
        raise ProviderBadAnswer
    text = answer["message"].get("text")
    if not isinstance(text, str):
        raise ProviderBadAnswer
    reason = str(answer.get("finishReason") or "stop")
    if reason in _REFUSALS and not text:
        raise ContentRefused
    return text, End(reason, usage_of(answer.get("usage")))


def _deltas(event: dict[str, Any]) -> list[Any]:
    return [choice.get("delta") for choice in event.get("choices") or () if isinstance(choice, dict)]


class AIHubParser(SseParser):
    """Parser of one streamed answer."""

    __slots__ = ()

    def _read(self, event: dict[str, Any]) -> str:
        if reason := event.get("finishReason"):
            self._reason = str(reason)
        if "usage" in event:
            self._usage = usage_of(event["usage"]) or self._usage
        for place in (event, event.get("message"), event.get("delta"), *_deltas(event)):
            if isinstance(place, dict) and (reasoning := reasoning_of(place)):
                self.reasoning.append(reasoning)
        text = text_of(event)
        self._text = self._text or bool(text)
        return text

    def end(self) -> End:
        """Tell how the answer ended."""
        reason = ended(self._reason, events=self._events)
        if reason in _REFUSALS and not self._text:
            raise ContentRefused
        return End(reason, self._usage)
