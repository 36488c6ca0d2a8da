"""The tools that models may call."""

from fastapi import APIRouter

from api.deps import CurrentUser, State
from api.errors import responses
from api.schemas.tools import ToolRead, ToolsRead
from llama_service import errors

router = APIRouter(prefix="/tools", tags=["tools"])


@router.get("", responses=responses(errors.NotAuthenticated))
async def list_tools(user: CurrentUser, state: State) -> ToolsRead:
    """List the tools that you may switch on."""
    items = [ToolRead.of(spec) for spec in await state.tools.of_user(user.id)]
    return ToolsRead(items=items, default=state.settings.default_tools)
