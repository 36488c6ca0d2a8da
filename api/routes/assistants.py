"""Assistants: saved by people, for themselves or for everybody who is signed in."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import CurrentUser, Cursor, Limit, Session
from api.errors import responses
from api.schemas.common import Page
from api.schemas.saved import AssistantChange, AssistantCreate, AssistantRead
from llama_service import errors
from persistence import owned
from persistence.tables import Assistant

router = APIRouter(prefix="/assistants", tags=["assistants"])

_SIGNED_IN = responses(errors.NotAuthenticated)
_ONE = _SIGNED_IN | responses(errors.NotFound)
_WRITTEN = _ONE | responses(errors.ValidationFailed)


@router.get("", responses=_SIGNED_IN | responses(errors.BadRequest))
async def list_assistants(
    user: CurrentUser, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[AssistantRead]:
    """List your own and those that are shared with everybody, newest first."""
    items, following = await owned.list_page(session, Assistant, user.id, limit=limit, cursor=cursor)
    return Page(items=[AssistantRead.of(item, user.id) for item in items], next_cursor=following)


@router.post("", status_code=201, responses=_WRITTEN | responses(errors.Conflict))
async def create_assistant(body: AssistantCreate, user: CurrentUser, session: Session) -> AssistantRead:
    """Save an assistant."""
    values = body.model_dump(exclude_none=True)
    return AssistantRead.of(await owned.create(session, Assistant, user.id, values), user.id)


@router.get("/{assistant_id}", responses=_ONE)
async def get_assistant(assistant_id: UUID, user: CurrentUser, session: Session) -> AssistantRead:
    """Return one of your own or a shared one."""
    return AssistantRead.of(await owned.get(session, Assistant, user.id, assistant_id), user.id)


@router.patch("/{assistant_id}", responses=_WRITTEN)
async def change_assistant(
    assistant_id: UUID, body: AssistantChange, user: CurrentUser, session: Session
) -> AssistantRead:
    """Change what is present in the body; only its owner may."""
    return AssistantRead.of(await owned.change(session, Assistant, user.id, assistant_id, body.changes()), user.id)


@router.delete("/{assistant_id}", status_code=204, responses=_ONE)
async def delete_assistant(assistant_id: UUID, user: CurrentUser, session: Session) -> None:
    """Delete an assistant of yours; an administrator may delete shared ones."""
    await owned.remove(session, Assistant, user.id, assistant_id, is_admin=user.is_superuser)
