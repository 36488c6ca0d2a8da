"""From the lines of a streamed answer to its text, for any provider that brings a parser of its events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from chains.faults import BrokeOff
from chains.providers.events import SseDecoder, SurrogateJoiner
from chains.providers.reading import LineReader
from chains.providers.thinking import ThinkingSplitter
from chains.providers.wire import Refused
from chains.types import Delta, End, Reasoning, Usage
from llama_service.errors import AppError, ProviderBadAnswer, ProviderTimeout

PACE = 0.04
"""Seconds between two deltas of an answer: tokens that come meanwhile share what each delta
costs from here to the reader's screen, and nobody sees the difference."""

MAX_ANSWER_CHARS = 1_000_000
"""An answer that grows beyond this is cut with the reason `length`: no model means to say so much."""


class Parser(Protocol):
    """Reads one answer's events. A new one is made for each answer."""

    is_busy: bool
    """Whether data came that is no text of the answer; the reader sets it back."""
    reasoning: list[str]
    """What the model has thought since the reader last took it."""

    @property
    def done(self) -> bool:
        """Whether the provider said that the answer is complete."""

    @property
    def complete(self) -> bool:
        """Whether the last word was said, though usage or an end mark may follow."""

    @property
    def is_ragged(self) -> bool:
        """Whether halves of surrogate pairs came."""

    def feed(self, line: bytes) -> str:
        """Take a line, return the text it brings; raise an AppError where it tells one or makes no sense."""

    def rest(self) -> str:
        """Return the text that only the stream's end completes."""

    def end(self) -> End:
        """Tell how the answer ended; raise BrokeOff where it did not."""


class SseParser:
    """What parsers of server-sent events have in common. The end mark may be missing where a reason was given."""

    __slots__ = ("_decoder", "_events", "_reason", "_text", "_usage", "is_busy", "reasoning")

    def __init__(self) -> None:
        self.is_busy = False
        self.reasoning: list[str] = []
        self._decoder = SseDecoder()
        self._events = 0
        self._text = False
        self._reason: str | None = None
        self._usage: Usage | None = None

    @property
    def done(self) -> bool:
        """Whether the end mark has come."""
        return self._decoder.done

    @property
    def complete(self) -> bool:
        """Whether a reason for the end was given."""
        return self._reason is not None

    @property
    def is_ragged(self) -> bool:
        """Whether halves of surrogate pairs came."""
        return self._decoder.is_ragged

    def feed(self, line: bytes) -> str:
        """Take a line of the stream, return the text it brings."""
        if self._decoder.done:
            return ""
        event = self._decoder.feed(line)
        if event is None:
            if self._decoder.done:
                self._reason = self._reason or "stop"
            return ""
        return self._take(event)

    def rest(self) -> str:
        """Return the text of an answer that came whole, where a stream was asked for."""
        event = self._decoder.rest()
        if event is None:
            return ""
        text = self._take(event)
        if not text and self._reason is None:
            raise ProviderBadAnswer
        self._reason = self._reason or "stop"
        return text

    def _take(self, event: dict[str, Any]) -> str:
        self._events += 1
        try:
            return self._read(event)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ProviderBadAnswer from error

    def _read(self, event: dict[str, Any]) -> str:
        """Return an event's text, and keep what else it tells. What it makes no sense of may raise."""
        raise NotImplementedError


class _Splitter:
    """Turns what a parser gives into text and reasoning: joins cut characters, takes thoughts out of the text."""

    __slots__ = ("_joiner", "_parser", "_tags")

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._tags: ThinkingSplitter | None = ThinkingSplitter()
        self._joiner = SurrogateJoiner()

    def split(self, text: str) -> tuple[str, str]:
        """Return (reasoning, text) of what was read."""
        reasoning = "".join(self._parser.reasoning)
        self._parser.reasoning.clear()
        if self._parser.is_ragged:
            text, reasoning = self._joiner.feed(text), reasoning.encode("utf-8", "replace").decode()
        if self._tags is None or not text:
            return reasoning, text
        thought, text = self._tags.feed(text)
        if self._tags.is_decided:
            self._tags = None
        return reasoning + thought, text

    def rest(self) -> tuple[str, str]:
        """Return (reasoning, text) of what was held back, at the end."""
        reasoning, text = self.split(self._joiner.rest())
        if self._tags is None:
            return reasoning, text
        thought, last = self._tags.rest()
        return reasoning + thought, text + last


async def read_deltas(opened: AbstractAsyncContextManager[LineReader], parser: Parser) -> AsyncGenerator[Delta, None]:
    """Yield reasoning and text as they come, then an End. Closing the generator ends the provider's request.

    The first is given at once, what follows at most each PACE seconds.
    """
    length = 0
    splitter = _Splitter(parser)
    loop = asyncio.get_running_loop()
    try:
        async with opened as lines:
            while (batch := await _next(lines, parser)) is not None:
                raw, trouble = _text_of(batch, parser)
                deltas, due = _deltas(*splitter.split(raw)), loop.time() + PACE
                for delta in deltas:
                    _note_progress(lines, length)
                    fits = _cut(delta, MAX_ANSWER_CHARS - length)
                    length += len(fits if isinstance(fits, str) else fits.text)
                    yield fits
                if length == MAX_ANSWER_CHARS:
                    yield End("length")
                    return
                if trouble is not None:
                    raise trouble
                if parser.done:
                    break
                await _until_next(lines, parser, due if deltas else None)
            reasoning, text = splitter.split(parser.rest())
            last_reasoning, last_text = splitter.rest()
            for delta in _deltas(reasoning + last_reasoning, text + last_text):
                yield delta
            yield parser.end()
            await lines.finish()
    except Refused as refusal:
        raise refusal.error from None


async def _until_next(lines: LineReader, parser: Parser, due: float | None) -> None:
    """Tell the reader how long the next lines may take, and let them gather until `due`, a time of the loop's clock."""
    if parser.is_busy:
        parser.is_busy = False
        lines.alive()
    if parser.complete:
        lines.hurry()
    elif due is not None:
        await lines.pause(due)


def _cut(delta: str | Reasoning, most: int) -> str | Reasoning:
    return delta[:most] if isinstance(delta, str) else Reasoning(delta.text[:most])


def _note_progress(lines: LineReader, length: int) -> None:
    if length:
        lines.alive()
    else:
        lines.first()


def _deltas(reasoning: str, text: str) -> list[str | Reasoning]:
    """Return what was read as deltas: thoughts come before the words that follow them."""
    return [delta for delta in (Reasoning(reasoning) if reasoning else "", text) if delta]


def split_whole(text: str) -> list[str | Reasoning]:
    """Return a whole answer's thoughts and words."""
    tags = ThinkingSplitter()
    pairs = (tags.feed(text), tags.rest())
    return _deltas(*("".join(pair[place] for pair in pairs) for place in (0, 1)))


async def _next(lines: LineReader, parser: Parser) -> list[bytes] | None:
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
