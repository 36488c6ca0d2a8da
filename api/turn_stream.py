"""A question over HTTP: its key, and the stream of its answer."""

from typing import Annotated

from fastapi import Header

from api.state import AppState
from api.streaming import EventStream, frames, told_again
from graphs.runs.request import TurnRequest
from graphs.runs.start import AlreadyAsked, TurnCaller

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A new value for each question, the same one where it is sent again because no answer came: the"
        " question is then taken once, and the run that answers it is followed from its first event.",
    ),
]


async def stream_turn(
    state: AppState, request: TurnRequest, caller: TurnCaller, request_id: str, key: str | None
) -> EventStream:
    """Start a turn, or find the one that was started under this key, and return its events from the first on."""
    try:
        run = await state.turns.start_turn(request, caller, request_id, key)
    except AlreadyAsked as before:
        again = told_again(state.runs.read(before.run_id), state.database, before.user_id)
        return EventStream(frames(again))
    return EventStream(frames(state.runs.read(run.run_id)))
