"""Threads: conversations of the caller, their states and what clients keep with them."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from langgraph.errors import InvalidUpdateError
from sqlalchemy.ext.asyncio import AsyncSession

from api.agent_server.assistants import ASSISTANT_ID, GRAPH
from api.agent_server.schemas import (
    HistoryRequest,
    StateAt,
    StateUpdate,
    ThreadCreate,
    ThreadPatch,
    ThreadSearch,
    unsupported,
)
from api.agent_server.states import ThreadStates
from api.agent_server.updates import check_update
from api.cleanup import forget_conversation
from api.deps import CurrentUser, Session, State
from llama_service.errors import Conflict, NotFound
from llama_service.ids import new_id
from persistence import conversations, messages, runs
from persistence.tables import Conversation

_STATUS = {"running": "busy", "waiting": "interrupted", "failed": "error", "interrupted": "error"}

router = APIRouter(prefix="/threads", include_in_schema=False)


async def threads_read(session: AsyncSession, rows: Sequence[Conversation]) -> list[dict[str, Any]]:
    """Return conversations as the protocol's threads."""
    statuses = await runs.newest_statuses(session, [row.id for row in rows])
    return [
        {
            "thread_id": str(row.id),
            "created_at": row.created_at.isoformat(),
            "updated_at": row.updated_at.isoformat(),
            "state_updated_at": row.updated_at.isoformat(),
            "metadata": {"graph_id": GRAPH, "assistant_id": ASSISTANT_ID, "title": row.title}
            | (row.client_metadata or {}),
            "status": _STATUS.get(statuses.get(row.id, ""), "idle"),
            "config": {},
            "values": None,
            "interrupts": {},
        }
        for row in rows
    ]


@router.post("")
async def create_thread(body: ThreadCreate, user: CurrentUser, session: Session) -> dict[str, Any]:
    """Begin a thread. Raises Conflict for an id that is taken, unless `if_exists` is `do_nothing`."""
    body.check()
    thread_id = body.thread_id or new_id()
    kept = {"client_metadata": body.metadata or None}
    is_new = await conversations.create_unless_taken(session, user.id, thread_id, **kept)
    if not is_new and body.if_exists == "raise":
        raise Conflict("There is a thread of this id.")
    row = await conversations.get(session, user.id, thread_id)
    return (await threads_read(session, [row]))[0]


@router.post("/search")
async def search_threads(body: ThreadSearch, user: CurrentUser, session: Session) -> list[dict[str, Any]]:
    """List threads that hold at least some metadata, newest first unless it is said otherwise."""
    body.check()
    column = "id" if body.sort_by == "thread_id" else body.sort_by or "updated_at"
    if column == "status":
        raise unsupported("sort_by", "Threads are not sorted by status here.")
    rows = await conversations.list_with(
        session,
        user.id,
        ids=body.ids,
        metadata=_kept(body.metadata),
        order=(column, body.sort_order != "asc"),
        # The status is that of the newest run, which only then is known.
        limit=body.limit if body.status is None else None,
        offset=body.offset if body.status is None else 0,
    )
    found = await threads_read(session, rows)
    if body.status is None:
        return found
    return [thread for thread in found if thread["status"] == body.status][body.offset : body.offset + body.limit]


def _kept(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata that is the client's own: all threads are of the one graph."""
    return {key: value for key, value in metadata.items() if key not in ("graph_id", "assistant_id")}


@router.post("/count")
async def count_threads(body: ThreadSearch, user: CurrentUser, session: Session) -> int:
    """Count what the search would list."""
    return len(await search_threads(body.model_copy(update={"limit": 10**9, "offset": 0}), user, session))


async def get_states(thread_id: UUID, user: CurrentUser, state: State) -> ThreadStates:
    """Return the states of a thread of the caller's. Raises NotFound.

    They have ways of their own to the database: the route holds none while it reads them, or a few of its like would
    wait for each other.
    """
    async with state.database.reading() as session:
        return ThreadStates(state, await conversations.get(session, user.id, thread_id))


States = Annotated[ThreadStates, Depends(get_states)]


@router.get("/{thread_id}")
async def get_thread(thread_id: UUID, states: States, state: State) -> dict[str, Any]:
    """Return a thread with its values."""
    async with state.database.reading() as session:
        thread = (await threads_read(session, [states.conversation]))[0]
    current = await states.current()
    interrupts = {task["id"]: task["interrupts"] for task in current["tasks"] if task["interrupts"]}
    return thread | {"values": current["values"], "interrupts": interrupts}


@router.patch("/{thread_id}")
async def patch_thread(thread_id: UUID, body: ThreadPatch, user: CurrentUser, session: Session) -> dict[str, Any]:
    """Put metadata over a thread's."""
    body.check()
    row = await conversations.get(session, user.id, thread_id, lock=True)
    row.client_metadata = {**(row.client_metadata or {}), **_kept(body.metadata)}
    await session.flush()
    return (await threads_read(session, [row]))[0]


@router.delete("/{thread_id}", status_code=204)
async def delete_thread(thread_id: UUID, user: CurrentUser, state: State) -> None:
    """Delete a thread: the conversation with all that belongs to it."""
    await forget_conversation(state, user.id, thread_id, by=user)


@router.get("/{thread_id}/state")
async def get_state(thread_id: UUID, states: States) -> dict[str, Any]:
    """Return the state at the end of the branch that is shown."""
    return await states.current()


@router.post("/{thread_id}/state/checkpoint")
async def get_state_at(thread_id: UUID, body: StateAt, states: States) -> dict[str, Any]:
    """Return the state of a checkpoint."""
    named = body.checkpoint.checkpoint_id
    return await states.read(await states.at(str(named))) if named else await states.current()


@router.get("/{thread_id}/state/{checkpoint_id}")
async def get_state_of(thread_id: UUID, checkpoint_id: UUID, states: States) -> dict[str, Any]:
    """Return the state of a checkpoint."""
    return await states.read(await states.at(str(checkpoint_id)))


@router.post("/{thread_id}/state")
async def update_state(thread_id: UUID, body: StateUpdate, states: States, state: State) -> dict[str, Any]:
    """Put values over the state after an answer; the question below it runs from there.

    Messages are the conversation's, which a run writes: they are refused here.
    """
    check_update(state.graph, body.values or {}, body.as_node)
    named = (body.checkpoint and body.checkpoint.checkpoint_id) or body.checkpoint_id
    base = str(named) if named else (await states.current())["checkpoint_id"]
    if base is None:
        raise NotFound("This thread has no state yet.")
    run, answered = await states.place_of(base)
    if not answered or run.status in runs.OPEN:
        raise Conflict("Only the state after an answer can be changed.")
    config: Any = {
        "configurable": {"thread_id": str(thread_id), "checkpoint_id": base},
        "metadata": {"run": str(run.id)},
    }
    try:
        made = await state.graph.aupdate_state(config, body.values, as_node=body.as_node)
    except InvalidUpdateError:
        raise unsupported("as_node", "Name the node that is to have returned the values.") from None
    checkpoint = made["configurable"]
    async with state.database.transaction() as session:
        await messages.set_checkpoint(session, run.message_id, checkpoint["checkpoint_id"])
    return {"checkpoint": checkpoint, "configurable": checkpoint, "checkpoint_id": checkpoint["checkpoint_id"]}


@router.post("/{thread_id}/history")
async def post_history(thread_id: UUID, body: HistoryRequest, states: States) -> list[dict[str, Any]]:
    """List the states of a thread, newest first."""
    return await states.history(body.limit, body.earlier_than, body.metadata)


@router.get("/{thread_id}/history")
async def get_history(
    thread_id: UUID,
    states: States,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    before: UUID | None = None,
) -> list[dict[str, Any]]:
    """List the states of a thread, newest first."""
    return await post_history(thread_id, HistoryRequest(limit=limit, before=before), states)
