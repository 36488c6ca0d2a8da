"""Lean reading of streams, with time-outs that need no timer per token.

A stream is read as batches of lines, one batch for each piece that arrives, so tokens that came together are handed on
together.
"""

import asyncio
from collections.abc import Callable

import aiohttp

from chains.faults import BrokeOff
from llama_service.errors import ProviderBadAnswer, ProviderTimeout

MAX_LINE_BYTES = 4 * 1024 * 1024
"""No honest line of a stream is longer; more is nonsense that must not fill the memory."""

AFTERMATH_SECONDS = 2.0
"""How long usage and end mark may take after the answer's last word; some servers never send them."""

_DRAIN_SECONDS = 0.05


class Watchdog:
    """One timer for a whole stream: it looks when the last sign of life was and goes back to sleep.

    `alive` is called for each sign of life and only writes down the time. While nobody is `waiting` for data the time
    stands still: a slow reader says nothing about the provider.
    """

    __slots__ = ("_between", "_expire", "_handle", "_last", "_limit", "_loop", "waiting")

    def __init__(self, first: float, between: float, expire: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self.waiting = False
        self._limit = first
        self._between = between
        self._expire = expire
        self._handle = self._loop.call_later(first, self._look)

    def alive(self) -> None:
        """Write down that data came."""
        self._last = self._loop.time()

    def first(self) -> None:
        """Write down the first data: from now on the time between tokens counts."""
        self.alive()
        if self._limit != self._between:
            self._limit = self._between
            self._handle.cancel()
            self._handle = self._loop.call_later(self._between, self._look)

    def hurry(self) -> None:
        """Wait for a moment only: what is still to come is not needed."""
        self._limit = AFTERMATH_SECONDS
        self._handle.cancel()
        self._handle = self._loop.call_later(AFTERMATH_SECONDS, self._look)

    def cancel(self) -> None:
        """Stop watching."""
        self._handle.cancel()

    def _look(self) -> None:
        if not self.waiting:
            self.alive()
        left = self._last + self._limit - self._loop.time()
        if left <= 0.001:
            self._expire()
        else:
            self._handle = self._loop.call_later(left, self._look)


class LineReader:
    """The lines of a streamed answer, in the batches in which they arrive."""

    def __init__(self, response: aiohttp.ClientResponse, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self.alive = watchdog.alive
        self.first = watchdog.first
        self.hurry = watchdog.hurry
        self._response = response
        self._read = response.content.readany
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.Future[None] | None = None
        response.content.on_eof(self._end_pause)
        self._rest = b""
        self._held = b""

    async def batch(self) -> list[bytes] | None:
        """Return the complete lines that came since the last call, None at the end of the answer.

        Waits for data. Raises BrokeOff when the connection ends early, ProviderTimeout when nothing comes,
        ProviderBadAnswer when a line has no end.
        """
        self._watchdog.waiting = True
        try:
            data = await self._read()
        except aiohttp.ClientError as error:
            raise BrokeOff from error
        finally:
            self._watchdog.waiting = False
        if not data:
            rest, self._rest = self._rest.rstrip(b"\r"), b""
            return [rest] if rest else None
        data = self._rest + data
        if b"\r" in data:
            data = self._with_newlines(data)
        lines = data.split(b"\n")
        self._rest = lines.pop() + self._held
        self._held = b""
        if len(self._rest) > MAX_LINE_BYTES:
            raise ProviderBadAnswer
        return lines

    async def pause(self, until: float) -> None:
        """Let lines gather until a time of the loop's clock, or the answer's end: nobody is woken for each of them."""
        if self._response.content.is_eof() or until <= self._loop.time():
            return
        self._pause = self._loop.create_future()
        timer = self._loop.call_at(until, self._end_pause)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    def _end_pause(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    def _with_newlines(self, data: bytes) -> bytes:
        """Return data whose lines end with a line feed; a carriage return at its end may be half of a line's end."""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    async def finish(self) -> None:
        """Read the few bytes behind the end of the answer, so that the connection can be used again."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self._read():
                    pass
        except (TimeoutError, aiohttp.ClientError, ProviderTimeout):
            self._response.close()
