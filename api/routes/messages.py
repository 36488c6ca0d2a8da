"""What can be done with an answer: explain it, judge it, try it differently."""

from uuid import UUID

from fastapi import APIRouter, Request

from api.deps import CurrentUser, Session, State
from api.errors import request_id_of, responses
from api.schemas.chat import ChatRequest, Replay, turn_request
from api.schemas.conversations import Feedback, TraceRead
from api.streaming import STREAM_RESPONSE, EventStream
from api.turn_stream import IdempotencyKey, stream_turn
from graphs.runs.start import TurnCaller
from llama_service import errors
from persistence import messages
from persistence.access import readable_ids, visible_ids
from persistence.withheld import withhold

router = APIRouter(prefix="/messages", tags=["messages"])

_OWN = responses(errors.NotAuthenticated, errors.NotFound)


@router.get("/{message_id}/trace", responses=_OWN)
async def trace(message_id: UUID, user: CurrentUser, session: Session) -> TraceRead:
    """Say why this answer: what each node took, gave and cost, every candidate's scores, the exact prompt."""
    message, run = await messages.trace(session, user.id, message_id)
    kept = await withhold(session, user.id, run.trace or {})
    for node in kept.get("nodes", []):
        if "prompt" in node["output"]:
            prompt = node["output"]["prompt"]
            node["output"]["prompt"] = await messages.whole_prompt(session, message.conversation_id, prompt)
    return TraceRead(
        message_id=message.id,
        run_id=run.id,
        conversation_id=message.conversation_id,
        status=run.status,
        request=run.request,
        nodes=kept.get("nodes", []),
        attempt=run.attempt,
        checkpoint_id=kept.get("checkpoint_id"),
        timings=message.timings,
        error=run.error,
    )


@router.put("/{message_id}/feedback", status_code=204, responses=_OWN)
async def feedback(message_id: UUID, body: Feedback, user: CurrentUser, session: Session) -> None:
    """Keep an opinion of an answer, in the place of the one before."""
    await messages.rate(session, user.id, message_id, **body.model_dump())


@router.delete("/{message_id}/feedback", status_code=204, responses=_OWN)
async def withdraw_feedback(message_id: UUID, user: CurrentUser, session: Session) -> None:
    """Take an opinion back."""
    await messages.unrate(session, user.id, message_id)


@router.post(
    "/{message_id}/replay",
    responses=_OWN | responses(errors.Conflict) | {200: STREAM_RESPONSE},
    response_class=EventStream,
)
async def replay(
    message_id: UUID,
    body: Replay,
    request: Request,
    user: CurrentUser,
    state: State,
    idempotency_key: IdempotencyKey = None,
) -> EventStream:
    """Ask the same question again with something changed; the answer becomes a sibling, to be compared."""
    async with state.database.reading() as session:
        message, run = await messages.trace(session, user.id, message_id)
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    before = {
        name: value for name, value in run.request.items() if name in ChatRequest.model_fields and name not in _PLACE
    }
    if "model_source" in changes and "model_name" not in changes:
        # Another provider has other names; its own default answers.
        before.pop("model_name", None)
    named = [name for name in _REACH if before.get(name)]
    async with state.database.reading() as session:
        for name in named:
            before[name] = list(await _REACH[name](session, user.id, [UUID(id_) for id_ in before[name]]))
    if named and not any(before[name] for name in named):
        # All that was asked is gone; the rest of what its owner has was not asked.
        before["use_rag"] = False
    again = ChatRequest.model_validate(
        {
            **before,
            **changes,
            "conversation_id": message.conversation_id,
            "parent_message_id": run.user_message_id,
            "regenerate": True,
        }
    )
    return await stream_turn(state, turn_request(again), TurnCaller(user.id), request_id_of(request), idempotency_key)


# What was searched then is searched again, as far as it may be seen now.
_REACH = {"file_ids": readable_ids, "library_ids": visible_ids}
# The question's place, and its pictures, are read from the question.
_PLACE = {
    *("message", "conversation_id", "parent_message_id", "edit_of", "regenerate", "continue_message_id", "at_end"),
    "image_file_ids",
}
