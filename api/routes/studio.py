"""For engineers: the graph itself, and a conversation's checkpoints."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from langchain_core.messages import BaseMessage

from api.deps import CurrentUser, State
from api.errors import responses
from api.schemas.common import Shape
from llama_service import errors
from persistence import conversations
from persistence.withheld import withhold

router = APIRouter(tags=["studio"])


class GraphRead(Shape):
    """The chat graph as it is compiled."""

    mermaid: str
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]


class CheckpointRead(Shape):
    """A state of the graph, as it was kept; the states of a conversation form a tree."""

    checkpoint_id: str
    parent_checkpoint_id: str | None
    run_id: str | None
    created_at: str | None
    step: int | None
    source: str | None
    next: list[str]
    values: dict[str, Any]


class CheckpointList(Shape):
    """A conversation's checkpoints, newest first."""

    items: list[CheckpointRead]


@router.get("/studio/graph", responses=responses(errors.NotAuthenticated))
async def graph(user: CurrentUser, state: State) -> GraphRead:
    """Return the chat graph's drawing."""
    drawn = state.graph.get_graph()
    return GraphRead(
        mermaid=drawn.draw_mermaid(),
        nodes=[{"id": node.id, "name": node.name} for node in drawn.nodes.values()],
        edges=[{"source": edge.source, "target": edge.target, "conditional": edge.conditional} for edge in drawn.edges],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {"id": value.id, "type": value.type, "content": str(value.text)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else repr(value)[:2000]


@router.get(
    "/conversations/{conversation_id}/checkpoints", responses=responses(errors.NotAuthenticated, errors.NotFound)
)
async def checkpoints(conversation_id: UUID, user: CurrentUser, state: State) -> CheckpointList:
    """Return what the graph kept of this conversation."""
    async with state.database.reading() as session:
        await conversations.get(session, user.id, conversation_id)
    config: Any = {"configurable": {"thread_id": str(conversation_id)}}
    items = []
    async for snapshot in state.graph.aget_state_history(config, limit=50):
        metadata: Any = snapshot.metadata or {}
        items.append(
            CheckpointRead(
                checkpoint_id=str(snapshot.config["configurable"].get("checkpoint_id", "")),
                parent_checkpoint_id=(snapshot.parent_config or {}).get("configurable", {}).get("checkpoint_id"),
                run_id=metadata.get("run"),
                created_at=snapshot.created_at,
                step=metadata.get("step"),
                source=metadata.get("source"),
                next=list(snapshot.next),
                values=_plain(dict(snapshot.values)),
            )
        )
    async with state.database.reading() as session:
        values = await withhold(session, user.id, [item.values for item in items])
    for item, shown in zip(items, values, strict=True):
        item.values = shown
    return CheckpointList(items=items)
