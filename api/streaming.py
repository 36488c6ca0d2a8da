"""A run's events as an SSE answer."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from persistence.events import RunEvent, event_line
from persistence.session import Database
from persistence.withheld import withhold

KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx would collect the stream otherwise.
    "X-Accel-Buffering": "no",
}


def frame(event: RunEvent) -> bytes:
    """Return an event as it goes over the wire (HTML standard, 9.2 Server-sent events)."""
    return f"id: {event.seq}\nevent: {event.name}\ndata: {event.line}\n\n".encode()


async def frames(batches: AsyncIterator[Sequence[RunEvent]]) -> AsyncGenerator[bytes, None]:
    """Yield batches of events as bytes; an empty batch becomes a comment that keeps the connection alive."""
    async for events in batches:
        yield b"".join(map(frame, events)) if events else KEEP_ALIVE


async def told_again(
    batches: AsyncIterator[Sequence[RunEvent]], database: Database, user_id: UUID
) -> AsyncGenerator[Sequence[RunEvent], None]:
    """Yield batches of events that were told before, as far as the caller may still read the files in them."""
    async for events in batches:
        if not any(event.name in _WITH_PASSAGES for event in events):
            yield events
            continue
        # Nothing is held while the client reads.
        async with database.reading() as session:
            shown = [await _shown(session, user_id, event) for event in events]
        yield shown


_WITH_PASSAGES = ("sources", "step", "done")


async def _shown(session: AsyncSession, user_id: UUID, event: RunEvent) -> RunEvent:
    if event.name not in _WITH_PASSAGES:
        return event
    told = event.data
    shown = await withhold(session, user_id, told)
    # Where nothing is withheld, the line goes out as it was.
    return event if shown is told else replace(event, line=event_line(event.name, shown))


class EventStream(Response):
    """Events as `text/event-stream`. The client's leaving ends the reading, not the run.

    Starlette's StreamingResponse keeps two more tasks and a task group for each stream; a server has many that wait.
    """

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        status_code: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        on_left: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Send `frames`; `on_left` is called where the client leaves before their end."""
        self.status_code = status_code
        self.background = None
        self._frames = frames
        self._client_left = False
        self._on_left = on_left
        self.init_headers({**_HEADERS, **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events as they come."""
        reader = asyncio.current_task()
        assert reader is not None  # noqa: S101  (a server calls this in a task)
        watcher = asyncio.create_task(self._watch(receive, reader), name="client")
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for body in self._frames:
                if self._client_left:
                    return
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not self._client_left or reader.uncancel() > 0:
                raise
        finally:
            watcher.cancel()
            await self._frames.aclose()
            if self._client_left and self._on_left is not None:
                await self._on_left()

    async def _watch(self, receive: Receive, reader: "asyncio.Task[object]") -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        reader.cancel()


STREAM_RESPONSE = {
    "description": "Events `start`, `sources`, `chunk` …, then `done` or `error`; see the API document.",
    "content": {
        "text/event-stream": {
            "example": 'id: 1\nevent: start\ndata: {"type":"start","run_id":"…"}\n\n'
            'id: 2\nevent: chunk\ndata: {"type":"chunk","content":"Hello"}\n\n',
        }
    },
}
