"""Turns and their runs."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request

from api.deps import AskingCaller, CurrentUser, State
from api.errors import request_id_of, responses, unknown_step
from api.schemas.chat import Cancelled, ChatRequest, ChatResponse, Resume, Resumed, RunRead, turn_request
from api.state import AppState
from api.streaming import STREAM_RESPONSE, EventStream, frames, told_again
from api.turn_stream import IdempotencyKey, asked_before, has_events, stream_turn
from graphs.runs.run import Ending, Run
from graphs.runs.start import AlreadyAsked
from llama_service import errors
from llama_service.errors import BadRequest, Interrupted, NotFound, error_of
from persistence import messages, runs
from persistence.decisions import Answer, UnknownStep
from persistence.events import RunEvent
from persistence.tables import Run as RunRow

router = APIRouter(tags=["chat"])

_WAITING = Ending("waiting", "streaming")
_TURN = responses(
    errors.NotAuthenticated,
    errors.NotFound,
    errors.Conflict,
    errors.ValidationFailed,
    errors.BudgetExceeded,
    errors.ModelCannot,
    errors.ToolUnknown,
    errors.BadRequest,
)
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


async def _outcome_again(state: AppState, before: AlreadyAsked) -> ChatResponse:
    """Wait for the end of a run that was begun before, and return its answer, as far as it may still be read.

    Raises Conflict, with the run's id, where it waits for a person or its events are no longer kept.
    """
    end: RunEvent | None = None
    async for events in told_again(state.runs.read(before.run_id), state.database, before.user_id):
        end = next((event for event in events if event.is_last), None)
        # One that asked before may have been answered since.
        asks = end is None and any(event.name == "action" for event in events)
        if end is not None or (asks and (await _run(state, before.user_id, before.run_id)).status == "waiting"):
            break
    if end is None:
        raise asked_before(before.run_id)
    told = end.data
    if end.name == "error":
        raise error_of(told["error"]["code"], told["error"]["message"])
    async with state.database.reading() as session:
        message = await messages.get(session, before.user_id, UUID(told["message_id"]))
    return ChatResponse.model_validate({**told, "response": message.content, "reasoning": message.reasoning})


async def _outcome(state: AppState, run: Run) -> ChatResponse:
    """Wait for a run's end and return its answer, or raise the error that it ended with."""
    parts: dict[str, list[str]] = {
        "chunk": [run.place.unfinished.text],
        "reasoning": [run.place.unfinished.reasoning],
    }
    end: RunEvent | None = None
    async for events in state.runs.read(run.run_id):
        for event in events:
            if event.name in parts:
                parts[event.name].append(event.data["content"])
            elif event.is_last or event.name == "action":
                end = event
        if end is not None:
            break
    if end is None:
        # This server is being stopped; another one goes on with the run.
        raise Interrupted
    if end.name == "error":
        raise error_of(end.data["error"]["code"], end.data["error"]["message"])
    told = end.data if end.is_last else run.result(_WAITING, run.record.answer_info())
    response, reasoning = ("".join(parts[name]) for name in ("chunk", "reasoning"))
    return ChatResponse.model_validate({**told, "response": response, "reasoning": reasoning or None})


@router.post("/chat", responses=_TURN | _MODEL)
async def chat(
    body: ChatRequest, request: Request, caller: AskingCaller, state: State, idempotency_key: IdempotencyKey = None
) -> ChatResponse:
    """Ask, and wait for the whole answer, or for the question to a person that stands before it."""
    try:
        run = await state.turns.start_turn(turn_request(body), caller, request_id_of(request), idempotency_key)
    except AlreadyAsked as before:
        return await _outcome_again(state, before)
    return await _outcome(state, run)


@router.post("/chat/stream", responses=_TURN | {200: STREAM_RESPONSE}, response_class=EventStream)
async def chat_stream(
    body: ChatRequest, request: Request, caller: AskingCaller, state: State, idempotency_key: IdempotencyKey = None
) -> EventStream:
    """Ask, and read the answer while it is written. A client that leaves comes back by the run's stream.

    One that has not heard whether its question was taken sends it again with the same `Idempotency-Key`.
    """
    return await stream_turn(state, turn_request(body), caller, request_id_of(request), idempotency_key)


def _shape(run: RunRow) -> RunRead:
    return RunRead(
        id=run.id,
        run_id=run.id,
        status=run.status,
        conversation_id=run.conversation_id,
        user_message_id=run.user_message_id,
        message_id=run.message_id,
        error=run.error,
        attempt=run.attempt,
        interrupts=run.interrupts,
    )


_OWN = responses(errors.NotAuthenticated, errors.NotFound)


async def _run(state: AppState, user_id: UUID, run_id: UUID) -> RunRow:
    async with state.database.reading() as session:
        return await runs.get(session, user_id, run_id)


@router.get("/chat/runs/{run_id}", responses=_OWN)
async def run_status(run_id: UUID, user: CurrentUser, state: State) -> RunRead:
    """Return the state of a run."""
    return _shape(await _run(state, user.id, run_id))


@router.get(
    "/chat/runs/{run_id}/stream",
    responses=_OWN | responses(errors.BadRequest) | {200: STREAM_RESPONSE},
    response_class=EventStream,
)
async def run_stream(
    run_id: UUID,
    user: CurrentUser,
    state: State,
    last_event_id: Annotated[str | None, Header(description="Number of the last event that was seen")] = None,
) -> EventStream:
    """Read what was missed, then what comes. The events of a finished run stay readable for an hour."""
    run = await _run(state, user.id, run_id)
    if last_event_id is not None and not re.fullmatch(r"[0-9]{1,9}", last_event_id):
        raise BadRequest("Last-Event-ID is the number of an event.")
    if run.status not in runs.OPEN and not await has_events(state, run_id):
        raise NotFound("The events of this run are not kept any more; its answer is in the conversation.")
    events = state.runs.read(run_id, int(last_event_id or 0))
    return EventStream(frames(told_again(events, state.database, user.id)))


@router.post("/chat/runs/{run_id}/cancel", status_code=202, responses=_OWN)
async def run_cancel(run_id: UUID, user: CurrentUser, state: State) -> Cancelled:
    """Stop a run; what was said so far is kept. A run that has ended stays as it is."""
    run = await _run(state, user.id, run_id)
    if run.status in runs.OPEN:
        await state.runs.cancel(user.id, run_id)
    return Cancelled(run_id=run_id, status="stopped" if run.status in runs.OPEN else _shape(run).status)


@router.post(
    "/chat/runs/{run_id}/resume",
    status_code=202,
    responses=_OWN | responses(errors.NotWaiting, errors.ValidationFailed),
)
async def run_resume(run_id: UUID, body: Resume, user: CurrentUser, state: State) -> Resumed:
    """Answer what a run waits for; it goes on, also on another server than the one that it began on."""
    await _run(state, user.id, run_id)
    answer = Answer([decision.model_dump(mode="json") for decision in body.decisions], user)
    try:
        await state.runs.resume(run_id, answer)
    except UnknownStep as unknown:
        raise unknown_step(unknown, "body", "decisions") from None
    return Resumed(run_id=run_id, status="running")
