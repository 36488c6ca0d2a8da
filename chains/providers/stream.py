"""From the lines of a streamed answer to its text, for any provider that brings a parser of its events."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import orjson

from chains.faults import BrokeOff, error_in_stream
from chains.providers.reading import Lines
from chains.providers.wire import Refused
from chains.types import Delta, End, Usage
from llama_service.errors import AppError, ProviderBadAnswer, ProviderTimeout

MAX_ANSWER_CHARS = 1_000_000
"""An answer that grows beyond this is cut with the reason `length`: no model means to say so much."""


class Parser(Protocol):
    """Reads one answer's events. A new one is made for each answer."""

    done: bool
    """Whether the provider said that the answer is complete."""
    thinking: bool
    """Whether data came that is no text of the answer; the reader sets it back."""

    @property
    def complete(self) -> bool:
        """Whether the last word was said, though usage or an end mark may follow."""

    def feed(self, line: bytes) -> str:
        """Take a line, return the text it brings; raise an AppError where it tells one or makes no sense."""

    def end(self) -> End:
        """Tell how the answer ended; raise BrokeOff where it did not."""


class SseParser:
    """What parsers of server-sent events have in common. The end mark may be missing where a reason was given."""

    __slots__ = ("_events", "_reason", "_text", "_usage", "done", "thinking")

    def __init__(self) -> None:
        self.done = False
        self.thinking = False
        self._events = 0
        self._text = False
        self._reason: str | None = None
        self._usage: Usage | None = None

    @property
    def complete(self) -> bool:
        """Whether a reason for the end was given."""
        return self._reason is not None

    def feed(self, line: bytes) -> str:
        """Take a line of the stream, return the text it brings."""
        if not line or self.done:
            return ""
        event = sse_event(line)
        if event is None:
            if line.startswith(b"data:") and b"[DONE]" in line:
                self.done = True
                self._reason = self._reason or "stop"
            return ""
        self._events += 1
        try:
            return self._read(event)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ProviderBadAnswer from error

    def _read(self, event: dict[str, Any]) -> str:
        """Return an event's text, and keep what else it tells. What it makes no sense of may raise."""
        raise NotImplementedError


def sse_event(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a `data:` line; None for comments, other fields and the end mark `[DONE]`."""
    if not line.startswith(b"data:"):
        if not line or line[:1] in b":\r" or line.startswith((b"event:", b"id:", b"retry:")):
            return None
        raise ProviderBadAnswer
    data = line[5:].strip()
    if data == b"[DONE]" or not data:
        return None
    return json_event(data)


def json_event(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; raise what it reports, or ProviderBadAnswer."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ProviderBadAnswer from error
    if not isinstance(event, dict):
        raise ProviderBadAnswer
    if "error" in event and (told := error_in_stream(event)):
        raise told
    return event


async def read_deltas(opened: AbstractAsyncContextManager[Lines], parser: Parser) -> AsyncGenerator[Delta, None]:
    """Yield the text as it comes, then an End. Closing the generator ends the provider's request."""
    length = 0
    try:
        async with opened as lines:
            while (batch := await _next(lines, parser)) is not None:
                text, trouble = _text_of(batch, parser)
                if text:
                    if length:
                        lines.alive()
                    else:
                        lines.first()
                    length += len(text)
                    yield text
                    if length > MAX_ANSWER_CHARS:
                        yield End("length")
                        return
                elif parser.thinking:
                    parser.thinking = False
                    lines.alive()
                if trouble is not None:
                    raise trouble
                if parser.done:
                    break
                if parser.complete:
                    lines.hurry()
            yield parser.end()
            await lines.finish()
    except Refused as refusal:
        raise refusal.error from None


async def _next(lines: Lines, parser: Parser) -> list[bytes] | None:
    """Return the next lines, None at the end; a bad end of a complete answer is an end."""
    try:
        return await lines.batch()
    except (BrokeOff, ProviderTimeout):
        if parser.complete:
            return None
        raise


def _text_of(batch: list[bytes], parser: Parser) -> tuple[str, AppError | None]:
    """Return what the lines say, and the error behind it, if there is one: what was said before it is kept."""
    parts: list[str] = []
    try:
        for line in batch:
            parts.append(parser.feed(line))
    except AppError as error:
        return "".join(parts), error
    return "".join(parts), None


def ended(reason: str | None, *, events: int) -> str:
    """Return the reason of a stream's end; raise where the provider gave none."""
    if not events:
        raise ProviderBadAnswer
    if reason is None:
        raise BrokeOff
    return reason
