"""A question over HTTP: its key, and the stream of its answer."""

from typing import Annotated
from uuid import UUID

from fastapi import Header

from api.state import AppState
from api.streaming import EventStream, frames, told_again
from graphs.runs.request import TurnRequest
from graphs.runs.start import AlreadyAsked, TurnCaller
from llama_service.errors import Conflict
from persistence import runs

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


async def has_events(state: AppState, run_id: UUID) -> bool:
    """Whether a run can still be followed: a stream without any event would be asked for again and again."""
    async with state.database.reading() as session:
        return await runs.has_events(session, run_id)


def asked_before(run_id: UUID) -> Conflict:
    """Return the error for a question that was taken before and can't be followed, or not to an end, from here."""
    return Conflict("This question was asked before; follow its run.", details=[{"run_id": str(run_id)}])


async def stream_turn(
    state: AppState, request: TurnRequest, caller: TurnCaller, request_id: str, key: str | None
) -> EventStream:
    """Start a turn, or find the one that was started under this key, and return its events from the first on."""
    try:
        run = await state.turns.start_turn(request, caller, request_id, key)
    except AlreadyAsked as before:
        if not await has_events(state, before.run_id):
            raise asked_before(before.run_id) from None
        again = told_again(state.runs.read(before.run_id), state.database, before.user_id)
        return EventStream(frames(again))
    return EventStream(frames(state.runs.read(run.run_id)))
