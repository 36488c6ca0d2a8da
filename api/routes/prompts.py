"""Prompts: saved by people, for themselves or for everybody who is signed in."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import CurrentUser, Cursor, Limit, Session
from api.errors import responses
from api.schemas.common import Page
from api.schemas.saved import PromptChange, PromptCreate, PromptRead
from llama_service import errors
from persistence import owned
from persistence.tables import SavedPrompt

router = APIRouter(prefix="/prompts", tags=["prompts"])

_SIGNED_IN = responses(errors.NotAuthenticated)
_ONE = _SIGNED_IN | responses(errors.NotFound)
_WRITTEN = _ONE | responses(errors.ValidationFailed)


@router.get("", responses=_SIGNED_IN | responses(errors.BadRequest))
async def list_prompts(
    user: CurrentUser, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[PromptRead]:
    """List your own and those that are shared with everybody, newest first."""
    items, following = await owned.list_page(session, SavedPrompt, user.id, limit=limit, cursor=cursor)
    return Page(items=[PromptRead.of(item, user.id) for item in items], next_cursor=following)


@router.post("", status_code=201, responses=_WRITTEN | responses(errors.Conflict))
async def create_prompt(body: PromptCreate, user: CurrentUser, session: Session) -> PromptRead:
    """Save a prompt."""
    values = body.model_dump(exclude_none=True)
    return PromptRead.of(await owned.create(session, SavedPrompt, user.id, values), user.id)


@router.patch("/{prompt_id}", responses=_WRITTEN)
async def change_prompt(prompt_id: UUID, body: PromptChange, user: CurrentUser, session: Session) -> PromptRead:
    """Change what is present in the body; only its owner may."""
    return PromptRead.of(await owned.change(session, SavedPrompt, user.id, prompt_id, body.changes()), user.id)


@router.delete("/{prompt_id}", status_code=204, responses=_ONE)
async def delete_prompt(prompt_id: UUID, user: CurrentUser, session: Session) -> None:
    """Delete a prompt of yours; an administrator may delete shared ones."""
    await owned.remove(session, SavedPrompt, user.id, prompt_id, is_admin=user.is_superuser)
