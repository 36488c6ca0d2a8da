"""A run's events within this process: numbered, handed to the event log, read by any number of readers."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID

from persistence.events import REASONING, TEXT, RunEvent

KEEP_ALIVE: Sequence[RunEvent] = ()
"""What a reader gets while nothing happens, so that its connection is not taken for dead."""


class RunStream:
    """Events of one run. Text that comes faster than it is written shares an event.

    `events` are in Postgres already; numbers grow by one from the last. Readers see an event when Postgres has it, and
    each one once.
    """

    __slots__ = (
        "_events", "_flushed", "_in_flight", "_next", "_on_detached", "_pending", "_pieces", "_pieces_name", "_readers",
        "_sent_text", "is_detached", "is_ended", "on_first_text", "run_id",
    )  # fmt: skip

    def __init__(
        self, run_id: UUID, events: Sequence[RunEvent], on_detached: Callable[[UUID], None] = lambda _: None
    ) -> None:
        self.run_id = run_id
        self.is_detached = False
        self.is_ended = False
        # Called once, when the first piece of the answer has been sent.
        self.on_first_text: Callable[[], None] | None = None
        self._on_detached = on_detached
        self._events = list(events)
        self._next = events[-1].seq + 1 if events else 1
        self._pieces: list[str] = []
        self._pieces_name = TEXT
        self._sent_text = False
        self._pending: list[RunEvent] = []
        self._in_flight = 0
        self._readers: set[asyncio.Event] = set()
        # Made by who waits: a server has many streams that nobody waits for.
        self._flushed: asyncio.Event | None = None

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Put an event behind everything so far."""
        self._seal_pieces()
        self._add(name, data)

    def emit_text(self, text: str, name: str = TEXT) -> bool:
        """Add a piece of the answer, or of its reasoning; return True for the first one, which should not wait."""
        if name != self._pieces_name:
            self._seal_pieces()
            self._pieces_name = name
        self._pieces.append(text)
        first = name == REASONING or not self._sent_text
        self._sent_text = self._sent_text or name == TEXT
        return first

    def next_seq(self) -> int:
        """Return the number for an event that is written elsewhere, together with the run's end."""
        return self._next

    def _last_seq(self) -> int:
        return self._events[-1].seq if self._events else 0

    def _add(self, name: str, data: dict[str, Any]) -> None:
        self._pending.append(RunEvent.of(self._next, name, data))
        self._next += 1

    def _seal_pieces(self) -> None:
        if self._pieces:
            self._add(self._pieces_name, {"content": "".join(self._pieces)})
            self._pieces.clear()

    def take(self) -> Sequence[RunEvent]:
        """Hand over the events that are not in Postgres yet."""
        self._seal_pieces()
        events, self._pending = self._pending, []
        self._in_flight += len(events)
        return events

    def committed(self, events: Sequence[RunEvent]) -> None:
        """Show events to the readers: Postgres has them now."""
        shown = self._last_seq()
        self._events.extend(event for event in events if event.seq > shown)
        self._in_flight -= len(events)
        self._wake_readers()
        if self.on_first_text is not None and any(event.name == TEXT for event in events):
            # After the readers, which were woken just now, have sent it.
            asyncio.get_running_loop().call_soon(self.on_first_text)
            self.on_first_text = None
        if not (self._in_flight or self._pending or self._pieces):
            self._release_flushed()

    def lost(self, events: Sequence[RunEvent]) -> None:
        """Hear that Postgres has lost what stood before these events, and did not take them: all go there again."""
        self._in_flight -= len(events)
        self._pending[:0] = [*self._events, *events]

    def write_again(self) -> None:
        """Hand over everything once more: nobody knows what Postgres has. What it has stays as it is."""
        self.lost(())

    def detach(self) -> None:
        """Stop: another worker has the run, or nobody for a while. Readers go on with what Postgres has."""
        if self.is_detached:
            return
        self._in_flight = 0
        self.is_detached = True
        self._on_detached(self.run_id)
        self._release_flushed()
        self.close()

    def _release_flushed(self) -> None:
        if self._flushed is not None:
            self._flushed.set()
            self._flushed = None

    async def flushed(self) -> None:
        """Wait until everything so far is in Postgres, or the stream is detached."""
        while not self.is_detached and (self._in_flight or self._pending or self._pieces):
            self._flushed = self._flushed or asyncio.Event()
            await self._flushed.wait()

    def finish(self, event: RunEvent) -> None:
        """Show the last event, which was written with the run's end."""
        self._events.append(event)
        self._next = event.seq + 1
        self.close()

    def close(self) -> None:
        """Let readers go."""
        self.is_ended = True
        self._wake_readers()

    def keep_alive(self) -> None:
        """Give each reader a sign of life."""
        self._wake_readers()

    def _wake_readers(self) -> None:
        for reader in self._readers:
            reader.set()

    async def read(self, after: int) -> AsyncIterator[Sequence[RunEvent]]:
        """Yield the events behind number `after`, then live ones, until the run has ended or is detached."""
        position = max(after, 0)
        wake = asyncio.Event()
        self._readers.add(wake)
        try:
            while True:
                wake.clear()
                # By their numbers: those of an older version may have a gap.
                if position < self._last_seq():
                    fresh = self._events[bisect_right(self._events, position, key=lambda event: event.seq) :]
                    position = fresh[-1].seq
                    yield fresh
                    continue
                if self.is_ended:
                    return
                await wake.wait()
                if position >= self._last_seq() and not self.is_ended:
                    yield KEEP_ALIVE
        finally:
            self._readers.discard(wake)
