"""Assistants: there is one, the chat graph."""

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter
from pydantic import Field

from api.agent_server.schemas import Offset, TurnOptions
from api.deps import CurrentUser, State
from api.schemas.common import Body
from graphs.chat import Graph
from llama_service import __version__
from llama_service.errors import NotFound

GRAPH = "chat"
ASSISTANT_ID = str(uuid5(NAMESPACE_URL, GRAPH))
_STARTED = datetime.now(UTC).isoformat()

router = APIRouter(include_in_schema=False)


class AssistantSearch(Body):
    """Which assistants to list."""

    graph_id: str | None = None
    name: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    limit: int = Field(default=10, ge=1, le=1000)
    offset: Offset = 0


def _assistant() -> dict[str, Any]:
    return {
        "assistant_id": ASSISTANT_ID,
        "graph_id": GRAPH,
        "name": GRAPH,
        "description": "Answers from your files, with citations.",
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "version": 1,
        "created_at": _STARTED,
        "updated_at": _STARTED,
    }


def check_assistant(assistant_id: str) -> None:
    """Raise NotFound for an assistant that there is not: it is named by its id, or by its graph."""
    if assistant_id not in (ASSISTANT_ID, GRAPH):
        raise NotFound(f"The only assistant here is {GRAPH}.")


@router.get("/ok")
async def is_ok() -> dict[str, bool]:
    """Say that the server is there."""
    return {"ok": True}


@router.get("/info")
async def info() -> dict[str, Any]:
    """Say what the server can do."""
    flags = {"assistants": True, "crons": False, "langsmith": False}
    return {"version": __version__, "flags": flags}


@router.post("/assistants/search")
async def search_assistants(body: AssistantSearch, user: CurrentUser) -> list[dict[str, Any]]:
    """List the assistant, where it fits."""
    fits = body.graph_id in (None, GRAPH) and (body.name or "") in GRAPH and body.offset == 0
    known = {"created_by": "system"}
    return [_assistant()] if fits and body.metadata.items() <= known.items() else []


@router.post("/assistants/count")
async def count_assistants(body: AssistantSearch, user: CurrentUser) -> int:
    """Count what the search would list."""
    return len(await search_assistants(body, user))


@router.get("/assistants/{assistant_id}")
async def get_assistant(assistant_id: str, user: CurrentUser) -> dict[str, Any]:
    """Return the assistant."""
    check_assistant(assistant_id)
    return _assistant()


@router.get("/assistants/{assistant_id}/graph")
async def get_graph(assistant_id: str, user: CurrentUser, state: State) -> dict[str, Any]:
    """Return the drawing of the graph, as LangGraph gives it."""
    check_assistant(assistant_id)
    return state.graph.get_graph().to_json()


@router.get("/assistants/{assistant_id}/schemas")
async def get_schemas(assistant_id: str, user: CurrentUser, state: State) -> dict[str, Any]:
    """Return the schemas of the graph's input, output, state and context."""
    check_assistant(assistant_id)
    return {"graph_id": GRAPH, **_schemas(state.graph)}


@router.get("/assistants/{assistant_id}/subgraphs")
async def get_subgraphs(assistant_id: str, user: CurrentUser) -> dict[str, Any]:
    """Return the graphs within the graph: none."""
    check_assistant(assistant_id)
    return {}


def _schemas(graph: Graph) -> dict[str, Any]:
    state = graph.get_output_jsonschema()
    return {
        "input_schema": graph.get_input_jsonschema(),
        "output_schema": state,
        "state_schema": state,
        "config_schema": TurnOptions.model_json_schema(),
        "context_schema": TurnOptions.model_json_schema(),
    }
