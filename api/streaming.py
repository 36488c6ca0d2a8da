"""A run's frames as an SSE answer."""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    # nginx would collect the stream otherwise.
    "X-Accel-Buffering": "no",
}


def event_stream(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """Return frames as `text/event-stream`. The client's leaving ends the reading, not the run."""
    return StreamingResponse(frames, media_type="text/event-stream", headers=HEADERS)


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
