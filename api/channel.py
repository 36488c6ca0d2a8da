"""A run's events within this process: numbered, handed to the event log, read by any number of clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID

import orjson

KEEP_ALIVE = b": keep-alive\n\n"


def frame(seq: int, event: str, line: str) -> bytes:
    """Return an event as it goes over the wire (HTML standard, 9.2 Server-sent events)."""
    return f"id: {seq}\nevent: {event}\ndata: {line}\n\n".encode()


def line_of(event: str, data: dict[str, Any]) -> str:
    """Return the one line of JSON of an event, which repeats the event's name as `type`."""
    return orjson.dumps({"type": event, **data}).decode()


class RunChannel:
    """Events of one run. Text that comes faster than it is written shares an event.

    `told` are events that Postgres has already; numbers grow by one from there. Readers see an event when Postgres has
    it, and each one once.
    """

    __slots__ = (
        "_frames", "_in_flight", "_next", "_on_lost", "_pending", "_readers", "_settled", "_spoken", "_text",
        "ended", "is_lost", "run_id",
    )  # fmt: skip

    def __init__(
        self,
        run_id: UUID,
        told: Sequence[tuple[int, str, str]],
        on_lost: Callable[[UUID], None] = lambda _: None,
    ) -> None:
        self.run_id = run_id
        self._on_lost = on_lost
        self.is_lost = False
        self.ended = False
        self._next = len(told) + 1
        self._frames = [frame(*event) for event in told]
        self._text: list[str] = []
        self._pending: list[tuple[int, str, str]] = []
        self._in_flight = 0
        self._readers: set[asyncio.Event] = set()
        # Made by who waits: a server has many streams that nobody waits for.
        self._settled: asyncio.Event | None = None
        self._spoken = False

    def say(self, event: str, data: dict[str, Any]) -> None:
        """Put an event behind everything that was said so far."""
        self._seal_text()
        self._add(event, line_of(event, data))

    def add_text(self, text: str) -> bool:
        """Add a piece of the answer; return True for the first one, which should go out without delay."""
        self._text.append(text)
        first, self._spoken = not self._spoken, True
        return first

    def next_seq(self) -> int:
        """Return the number for an event that is written elsewhere, together with the run's end."""
        return self._next

    def _add(self, event: str, line: str) -> None:
        self._pending.append((self._next, event, line))
        self._next += 1

    def _seal_text(self) -> None:
        if self._text:
            self._add("chunk", line_of("chunk", {"content": "".join(self._text)}))
            self._text.clear()

    def take(self) -> Sequence[tuple[int, str, str]]:
        """Hand over the events that wait: number, name, line of JSON."""
        self._seal_text()
        events, self._pending = self._pending, []
        self._in_flight += len(events)
        return events

    def committed(self, events: Sequence[tuple[int, str, str]]) -> None:
        """Show events to the readers: Postgres has them now."""
        self._frames.extend(frame(*event) for event in events)
        self._in_flight -= len(events)
        self._wake()
        if not self._unsettled:
            self._settle()

    def lost(self) -> None:
        """Hear that another worker has ended the run."""
        self._in_flight = 0
        self.is_lost = True
        self._on_lost(self.run_id)
        self._settle()
        self.close()

    @property
    def _unsettled(self) -> bool:
        return bool(self._in_flight or self._pending or self._text)

    def _settle(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    async def settled(self) -> None:
        """Wait until everything that was said is in Postgres, or the run is lost."""
        if self._unsettled and not self.is_lost:
            self._settled = self._settled or asyncio.Event()
            await self._settled.wait()

    def finish(self, seq: int, event: str, line: str) -> None:
        """Show the last event, which was written with the run's end, and let the readers go."""
        self._frames.append(frame(seq, event, line))
        self.close()

    def close(self) -> None:
        """Let the readers go after what there is."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.set()

    def keep_alive(self) -> None:
        """Make every reader that waits send a comment, so that proxies keep the connection."""
        self._wake()

    async def read(self, after: int) -> AsyncIterator[bytes]:
        """Yield the frames behind number `after`, then live ones, until the run has ended.

        Where `lost()` closed the channel, the last event is not here but in Postgres.
        """
        position = max(after, 0)
        wake = asyncio.Event()
        self._readers.add(wake)
        try:
            while True:
                wake.clear()
                if position < len(self._frames):
                    fresh = self._frames[position:]
                    position += len(fresh)
                    yield fresh[0] if len(fresh) == 1 else b"".join(fresh)
                    continue
                if self.ended:
                    return
                await wake.wait()
                if position >= len(self._frames) and not self.ended:
                    yield KEEP_ALIVE
        finally:
            self._readers.discard(wake)
