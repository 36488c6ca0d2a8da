"""Announcements: what administrators tell everybody."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, CurrentUser, Session
from api.errors import responses
from api.schemas.announcements import AnnouncementCreate, AnnouncementRead, AnnouncementsRead
from llama_service import errors
from persistence import announcements, audit

router = APIRouter(tags=["announcements"])

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden)


@router.get("/announcements", responses=responses(errors.NotAuthenticated))
async def list_announcements(user: CurrentUser, session: Session) -> AnnouncementsRead:
    """Return what administrators tell everybody now, newest first."""
    rows = await announcements.current(session)
    return AnnouncementsRead(items=[AnnouncementRead.model_validate(row) for row in rows])


@router.post(
    "/admin/announcements",
    status_code=201,
    responses=_ADMIN | responses(errors.Conflict, errors.ValidationFailed),
)
async def create_announcement(body: AnnouncementCreate, admin: Admin, session: Session) -> AnnouncementRead:
    """Tell everybody something."""
    row = await announcements.create(session, text=body.text, is_warning=body.is_warning, until=body.until)
    await audit.note(session, "announced", admin, ("announcement", row.id))
    return AnnouncementRead.model_validate(row)


@router.delete("/admin/announcements/{announcement_id}", status_code=204, responses=_ADMIN | responses(errors.NotFound))
async def delete_announcement(announcement_id: UUID, admin: Admin, session: Session) -> None:
    """Take something back."""
    await announcements.remove(session, announcement_id)
    await audit.note(session, "announcement_removed", admin, ("announcement", announcement_id))
