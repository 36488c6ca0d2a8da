"""Runs: turns of a conversation, begun, followed, waited for, answered and stopped."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from api.agent_server.assistants import ASSISTANT_ID, check_assistant
from api.agent_server.schemas import SUPPORTED_MODES, Offset, RunCreate, history_of, unsupported
from api.agent_server.states import ThreadStates
from api.agent_server.stream import AgentStream
from api.cleanup import forget_conversation
from api.deps import CurrentUser, Session, State
from api.errors import request_id_of, unknown_step
from api.schemas.common import clean_text
from api.state import AppState
from api.streaming import EventStream
from graphs.runs.request import TurnRequest
from graphs.runs.start import TurnCaller
from llama_service.errors import BadRequest, LegalHold, NotFound, NotWaiting
from persistence import conversations, runs
from persistence.audit import Actor
from persistence.decisions import Answer, UnknownStep
from persistence.tables import Conversation, Run

_STATUS = {
    "running": "running",
    "waiting": "interrupted",
    "completed": "success",
    "stopped": "interrupted",
    "failed": "error",
    "interrupted": "error",
}

router = APIRouter(include_in_schema=False)


def run_read(run: Run) -> dict[str, Any]:
    """Return a run as the protocol has it."""
    return {
        "run_id": str(run.id),
        "thread_id": str(run.conversation_id),
        "assistant_id": ASSISTANT_ID,
        "created_at": run.created_at.isoformat(),
        "updated_at": (run.finished_at or run.created_at).isoformat(),
        "status": _STATUS[run.status],
        "metadata": {"attempt": run.attempt},
        "kwargs": {},
        "multitask_strategy": "reject",
    }


class _Begun:
    """A run that this request has begun or answered, with the thread that it is of."""

    def __init__(self, state: AppState, thread: Conversation, run: Run, modes: tuple[str, ...], after: int = 0) -> None:
        self.run = run
        self.after = after
        self.stream = AgentStream(state, ThreadStates(state, thread), run, modes)
        self.headers = {"Content-Location": f"/threads/{thread.id}/runs/{run.id}"}


async def _thread(state: AppState, user_id: UUID, thread_id: UUID, *, create: bool = False) -> Conversation:
    async with state.database.transaction() as session:
        if create:
            await conversations.create_unless_taken(session, user_id, thread_id)
        return await conversations.get(session, user_id, thread_id)


async def _run(state: AppState, thread: Conversation, run_id: UUID) -> Run:
    async with state.database.reading() as session:
        run = await runs.of_conversation(session, thread.id, run_id)
    if run is None:
        raise NotFound
    return run


async def _begin(state: AppState, user: CurrentUser, thread: Conversation, body: RunCreate, request_id: str) -> _Begun:
    """Begin what a body asks for. Raises ValidationFailed, BadRequest, Conflict, NotWaiting, NotFound."""
    check_assistant(body.assistant_id)
    body.check()
    modes, after = body.modes, 0
    if body.command is not None:
        run_id, after = await _answer(state, user, thread, body.command.get("resume"))
    else:
        if body.multitask_strategy == "interrupt":
            await _stop_others(state, user.id, thread)
        turn = await _turn(state, thread, body)
        run_id = (await state.turns.start_turn(turn, TurnCaller(user.id), request_id)).run_id
    return _Begun(state, thread, await _run(state, thread, run_id), modes, after)


async def _begin_in(state: AppState, user: CurrentUser, thread_id: UUID, body: RunCreate, request: Request) -> _Begun:
    """Begin a run in a thread of the caller's."""
    thread = await _thread(state, user.id, thread_id, create=body.if_not_exists == "create")
    return await _begin(state, user, thread, body, request_id_of(request))


async def _begin_alone(state: AppState, user: CurrentUser, body: RunCreate, request: Request) -> _Begun:
    """Begin a run in a thread of its own; where it is refused, that is gone."""
    async with state.database.transaction() as session:
        thread = await conversations.create(session, user.id)
    try:
        return await _begin(state, user, thread, body, request_id_of(request))
    except BaseException:
        await _forget(state, user.id, thread.id)
        raise


@asynccontextmanager
async def _forgotten_after(state: AppState, user_id: UUID, begun: _Begun, body: RunCreate) -> AsyncIterator[None]:
    """Delete a run's own thread behind its end, or where its client leaves, unless `on_completion` keeps it.

    Where this server is stopped, another one goes on: the answer will be in the thread, and nowhere else.
    """
    try:
        yield
    finally:
        if body.on_completion == "delete" and not begun.stream.goes_on:
            await _forget(state, user_id, begun.run.conversation_id)


async def _forget(state: AppState, user_id: UUID, thread_id: UUID) -> None:
    """Delete a run's own thread; of somebody who is held, it stays."""
    with suppress(LegalHold):
        await forget_conversation(state, user_id, thread_id)


async def _answer(state: AppState, user: Actor, thread: Conversation, answer: Any) -> tuple[UUID, int]:
    """Answer the thread's waiting run; return it, and the number of its last event before.

    Raises BadRequest, NotWaiting, and ValidationFailed for a decision about a step that the run does not ask about.
    """
    if answer is None:
        raise BadRequest("A command has to say what the run goes on with (resume).")
    async with state.database.reading() as session:
        waiting = await runs.list_of(session, thread.id, statuses=["waiting"], limit=1, offset=0)
        events = await runs.events_after(session, waiting[0].id, 0) if waiting else []
    if not waiting:
        raise NotWaiting
    try:
        await state.runs.resume(waiting[0].id, Answer(answer, user, "langgraph"))
    except UnknownStep as unknown:
        raise unknown_step(unknown, "body", "command", "resume") from None
    return waiting[0].id, events[-1].seq if events else 0


async def _stop_others(state: AppState, user_id: UUID, thread: Conversation) -> None:
    async with state.database.reading() as session:
        others = await runs.open_of(session, [thread.id])
    for other in others:
        await state.runs.cancel_and_wait(user_id, other)


async def _turn(state: AppState, thread: Conversation, body: RunCreate) -> TurnRequest:
    """Return the turn: at the end of the branch that is shown, or at the place of a checkpoint."""
    options: dict[str, Any] = body.options.model_dump()
    place: dict[str, Any] = {"conversation_id": thread.id}
    if body.base_checkpoint is not None:
        run, answered = await ThreadStates(state, thread).place_of(body.base_checkpoint)
        if body.input is None:
            return TurnRequest("", regenerate=True, parent_message_id=run.user_message_id, **place, **options)
        place |= {"parent_message_id": run.message_id} if answered else {"edit_of": run.user_message_id}
    elif body.input is None:
        raise BadRequest("A run needs an input, a command, or a checkpoint to run from again.")
    messages = body.messages()
    history = history_of(messages) if thread.leaf_id is None else ()
    return TurnRequest(clean_text(str(messages[-1].text)), history=history, **place, **options)


@router.post("/threads/{thread_id}/runs")
async def create_run(
    thread_id: UUID, body: RunCreate, request: Request, response: Response, user: CurrentUser, state: State
) -> dict[str, Any]:
    """Begin a run and return it; it goes on by itself."""
    begun = await _begin_in(state, user, thread_id, body, request)
    response.headers.update(begun.headers)
    return run_read(begun.run)


@router.post("/threads/{thread_id}/runs/stream")
async def stream_run(
    thread_id: UUID, body: RunCreate, request: Request, user: CurrentUser, state: State
) -> EventStream:
    """Begin a run and stream it."""
    begun = await _begin_in(state, user, thread_id, body, request)
    return _streamed(state, user.id, begun, stops=body.on_disconnect == "cancel", after=begun.after)


@router.post("/threads/{thread_id}/runs/wait")
async def wait_run(
    thread_id: UUID, body: RunCreate, request: Request, response: Response, user: CurrentUser, state: State
) -> dict[str, Any]:
    """Begin a run, wait for its end, and return the values that it leaves."""
    begun = await _begin_in(state, user, thread_id, body, request)
    response.headers.update(begun.headers)
    return await begun.stream.values()


def _streamed(state: AppState, user_id: UUID, begun: _Begun, *, stops: bool, after: int = 0) -> EventStream:
    async def stop() -> None:
        await state.runs.cancel(user_id, begun.run.id)

    return EventStream(begun.stream.frames(after), headers=begun.headers, on_left=stop if stops else None)


@router.post("/runs/stream")
async def stream_alone(body: RunCreate, request: Request, user: CurrentUser, state: State) -> EventStream:
    """Stream a run without a thread of the caller's; what it leaves is deleted, unless `on_completion` keeps it."""
    begun = await _begin_alone(state, user, body, request)

    async def frames() -> Any:
        async with _forgotten_after(state, user.id, begun, body):
            async for frame in begun.stream.frames():
                yield frame

    return EventStream(frames(), headers=begun.headers)


@router.post("/runs/wait")
async def wait_alone(body: RunCreate, request: Request, user: CurrentUser, state: State) -> dict[str, Any]:
    """Wait for a run without a thread of the caller's, and return the values that it leaves."""
    begun = await _begin_alone(state, user, body, request)
    async with _forgotten_after(state, user.id, begun, body):
        return await begun.stream.values()


@router.post("/runs")
async def create_alone(body: RunCreate, request: Request, user: CurrentUser, state: State) -> dict[str, Any]:
    """Begin a run in a thread of its own, which stays."""
    return run_read((await _begin_alone(state, user, body, request)).run)


@router.get("/threads/{thread_id}/runs")
async def list_runs(
    thread_id: UUID,
    user: CurrentUser,
    session: Session,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[Offset, Query()] = 0,
    status: str | None = None,
) -> list[dict[str, Any]]:
    """List the runs of a thread, newest first."""
    await conversations.get(session, user.id, thread_id)
    statuses = [own for own, theirs in _STATUS.items() if theirs == status] if status else None
    found: Sequence[Run] = await runs.list_of(session, thread_id, statuses=statuses, limit=limit, offset=offset)
    return [run_read(run) for run in found]


@router.get("/threads/{thread_id}/runs/{run_id}")
async def get_run(thread_id: UUID, run_id: UUID, user: CurrentUser, state: State) -> dict[str, Any]:
    """Return a run."""
    return run_read(await _run(state, await _thread(state, user.id, thread_id), run_id))


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def join_run(thread_id: UUID, run_id: UUID, user: CurrentUser, state: State) -> dict[str, Any]:
    """Wait for a run's end and return the values that it leaves."""
    thread = await _thread(state, user.id, thread_id)
    return await _Begun(state, thread, await _run(state, thread, run_id), ()).stream.values()


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
async def join_stream(
    thread_id: UUID,
    run_id: UUID,
    user: CurrentUser,
    state: State,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    cancel_on_disconnect: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """Stream a run from its beginning, or behind `Last-Event-ID`."""
    thread = await _thread(state, user.id, thread_id)
    modes = tuple(mode for given in stream_mode or ["values"] for mode in given.split(",") if mode in SUPPORTED_MODES)
    begun = _Begun(state, thread, await _run(state, thread, run_id), modes)
    # Clients that have seen nothing yet name -1.
    after = int(last_event_id) if last_event_id and re.fullmatch("[0-9]{1,9}", last_event_id) else 0
    return _streamed(state, user.id, begun, stops=cancel_on_disconnect, after=after)


@router.post("/threads/{thread_id}/runs/{run_id}/cancel", status_code=202)
async def cancel_run(
    thread_id: UUID,
    run_id: UUID,
    user: CurrentUser,
    state: State,
    wait: bool = False,
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> dict[str, Any]:
    """Stop a run; what was said stays."""
    if action == "rollback":
        raise unsupported("action", "Runs are not rolled back here; use interrupt.")
    thread = await _thread(state, user.id, thread_id)
    run = await _run(state, thread, run_id)
    if run.status in runs.OPEN:
        await (state.runs.cancel_and_wait if wait else state.runs.cancel)(user.id, run_id)
    return run_read(await _run(state, thread, run_id))
