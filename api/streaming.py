"""A run's frames as an SSE answer."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx would collect the stream otherwise.
    "X-Accel-Buffering": "no",
}


class EventStream(Response):
    """Frames as `text/event-stream`. The client's leaving ends the reading, not the run.

    Starlette's StreamingResponse keeps two more tasks and a task group for each stream; a server has many that wait.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None], status_code: int = 200) -> None:
        self.status_code = status_code
        self.background = None
        self._frames = frames
        self._client_left = False
        self.init_headers(_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames as they come."""
        reader = asyncio.current_task()
        assert reader is not None  # noqa: S101  (a server calls this in a task)
        watcher = asyncio.create_task(self._watch(receive, reader), name="client")
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for frames in self._frames:
                if self._client_left:
                    return
                await send({"type": "http.response.body", "body": frames, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not self._client_left or reader.uncancel() > 0:
                raise
        finally:
            watcher.cancel()
            await self._frames.aclose()

    async def _watch(self, receive: Receive, reader: "asyncio.Task[object]") -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        reader.cancel()


STREAM_RESPONSE = {
    "description": "Events `start`, `sources`, `chunk` …, then `done` or `error`; see the API document.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'id: 1\nevent: start\ndata: {"type":"start","run_id":"…"}\n\n'
            'id: 2\nevent: chunk\ndata: {"type":"chunk","content":"Hello"}\n\n',
        }
    },
}
