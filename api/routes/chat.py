"""Turns and their runs."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request

from api import turns
from api.deps import AskerOfTurn, CurrentUser, State
from api.errors import request_id_of, responses
from api.runs import Interrupted
from api.schemas.chat import Cancelled, ChatRequest, ChatResponse, RunRead
from api.state import AppState
from api.streaming import STREAM_RESPONSE, EventStream
from api.turn import COMPLETED, TurnServices
from llama_service import errors
from llama_service.errors import BadRequest
from persistence import runs
from persistence.tables import Run

router = APIRouter(tags=["chat"])

_TURN = responses(errors.NotAuthenticated, errors.NotFound, errors.Conflict, errors.ValidationFailed, errors.BadRequest)
_MODEL = responses(
    errors.ProviderError,
    errors.ProviderAuthFailed,
    errors.ModelNotFound,
    errors.ContextTooLong,
    errors.ContentRefused,
    errors.ProviderBadAnswer,
    errors.ProviderUnavailable,
    errors.ProviderRateLimited,
    errors.ProviderBusy,
    errors.ProviderTimeout,
)


async def _outcome(state: AppState, services: TurnServices) -> ChatResponse:
    """Wait for a run's end and return its answer, or raise the error that it ended with."""
    async for _ in state.runs.read(services.begun.run_id, 0):
        pass
    if services.error is not None:
        raise services.error
    if not services.finished:
        # Somebody else ended the run: its worker had lost it.
        raise Interrupted
    result = services.result(COMPLETED)
    return ChatResponse(**result, response=services.begun.said + services.record.text)


@router.post("/chat", responses=_TURN | _MODEL)
async def chat(body: ChatRequest, request: Request, asker: AskerOfTurn, state: State) -> ChatResponse:
    """Ask, and wait for the whole answer."""
    services = await turns.begin(state, body, asker, request_id_of(request))
    return await _outcome(state, services)


@router.post("/chat/stream", responses=_TURN | {200: STREAM_RESPONSE}, response_class=EventStream)
async def chat_stream(body: ChatRequest, request: Request, asker: AskerOfTurn, state: State) -> EventStream:
    """Ask, and read the answer while it is written. A client that leaves comes back by the run's stream."""
    services = await turns.begin(state, body, asker, request_id_of(request))
    return EventStream(state.runs.read(services.begun.run_id, 0))


def _shape(run: Run) -> RunRead:
    return RunRead(
        id=run.id,
        run_id=run.id,
        status=run.status,
        conversation_id=run.conversation_id,
        user_message_id=run.user_message_id,
        message_id=run.message_id,
        error=run.error,
    )


_OWN = responses(errors.NotAuthenticated, errors.NotFound)


async def _run(state: AppState, user_id: UUID, run_id: UUID) -> Run:
    async with state.database.reading() as session:
        return await runs.get(session, user_id, run_id)


@router.get("/chat/runs/{run_id}", responses=_OWN)
async def run_status(run_id: UUID, user: CurrentUser, state: State) -> RunRead:
    """Return the state of a run."""
    return _shape(await _run(state, user.id, run_id))


@router.get("/chat/runs/{run_id}/stream", responses=_OWN | {200: STREAM_RESPONSE}, response_class=EventStream)
async def run_stream(
    run_id: UUID,
    user: CurrentUser,
    state: State,
    last_event_id: Annotated[str | None, Header(description="Number of the last event that was seen")] = None,
) -> EventStream:
    """Read what was missed, then what comes. The events of a finished run stay readable for an hour."""
    await _run(state, user.id, run_id)
    if last_event_id is not None and not re.fullmatch(r"[0-9]{1,9}", last_event_id):
        raise BadRequest("Last-Event-ID is the number of an event.")
    return EventStream(state.runs.read(run_id, int(last_event_id or 0)))


@router.post("/chat/runs/{run_id}/cancel", status_code=202, responses=_OWN)
async def run_cancel(run_id: UUID, user: CurrentUser, state: State) -> Cancelled:
    """Stop a run; what was said so far is kept. A run that has ended stays as it is."""
    run = await _run(state, user.id, run_id)
    if run.status == "running":
        await state.runs.cancel(run_id)
    return Cancelled(run_id=run_id, status="stopped" if run.status == "running" else _shape(run).status)
