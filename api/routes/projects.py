"""Projects: conversations that belong together, with instructions and files of their own."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import CurrentUser, Cursor, Limit, Session
from api.errors import responses
from api.schemas.common import Page
from api.schemas.saved import ProjectChange, ProjectCreate, ProjectRead
from llama_service import errors
from persistence import owned
from persistence.tables import Project

router = APIRouter(prefix="/projects", tags=["projects"])

_SIGNED_IN = responses(errors.NotAuthenticated)
_ONE = _SIGNED_IN | responses(errors.NotFound)
_WRITTEN = _ONE | responses(errors.ValidationFailed)


@router.get("", responses=_SIGNED_IN | responses(errors.BadRequest))
async def list_projects(
    user: CurrentUser, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[ProjectRead]:
    """List your projects, newest first."""
    items, following = await owned.list_page(session, Project, user.id, limit=limit, cursor=cursor)
    return Page(items=[ProjectRead.of(item, user.id) for item in items], next_cursor=following)


@router.post("", status_code=201, responses=_WRITTEN | responses(errors.Conflict))
async def create_project(body: ProjectCreate, user: CurrentUser, session: Session) -> ProjectRead:
    """Begin a project."""
    return ProjectRead.of(await owned.create(session, Project, user.id, body.model_dump(exclude_none=True)), user.id)


@router.get("/{project_id}", responses=_ONE)
async def get_project(project_id: UUID, user: CurrentUser, session: Session) -> ProjectRead:
    """Return one of your projects."""
    return ProjectRead.of(await owned.get(session, Project, user.id, project_id), user.id)


@router.patch("/{project_id}", responses=_WRITTEN)
async def change_project(project_id: UUID, body: ProjectChange, user: CurrentUser, session: Session) -> ProjectRead:
    """Change what is present in the body."""
    return ProjectRead.of(await owned.change(session, Project, user.id, project_id, body.changes()), user.id)


@router.delete("/{project_id}", status_code=204, responses=_ONE)
async def delete_project(project_id: UUID, user: CurrentUser, session: Session) -> None:
    """Delete a project; its conversations and files stay."""
    await owned.remove(session, Project, user.id, project_id)
