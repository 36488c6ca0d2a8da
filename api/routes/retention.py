"""How long records are kept, what a legal hold keeps, and erasing a person. For administrators."""

from uuid import UUID

from fastapi import APIRouter

from api.cleanup import erase_account
from api.deps import Admin, Session, State
from api.errors import responses
from api.retention import apply_limits, is_more
from api.schemas.retention import (
    ErasureReport,
    HoldCreate,
    HoldRead,
    HoldsRead,
    RetentionApplied,
    RetentionDue,
    RetentionLimits,
    RetentionPreview,
)
from llama_service import errors
from llama_service.errors import BadRequest
from persistence import audit, erasure, groups, holds, retention

router = APIRouter(prefix="/admin", tags=["admin"])

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden)


@router.get("/retention", responses=_ADMIN)
async def get_retention(admin: Admin, session: Session) -> RetentionLimits:
    """Return how long each kind of record is kept."""
    return RetentionLimits.model_validate(await retention.limits(session))


@router.put("/retention", responses=_ADMIN | responses(errors.ValidationFailed))
async def set_retention(body: RetentionLimits, admin: Admin, session: Session) -> RetentionLimits:
    """Set how long each kind of record is kept. What is older is deleted within the hour, or by `apply` at once."""
    await retention.set_limits(session, body.by_store())
    await audit.note(session, "retention_set", admin, None, **body.model_dump())
    return body


@router.post("/retention/preview", responses=_ADMIN | responses(errors.ValidationFailed))
async def preview_retention(body: RetentionLimits, admin: Admin, session: Session) -> RetentionPreview:
    """Return what these limits would delete now; nothing is changed."""
    found = await retention.due(session, body.by_store())
    return RetentionPreview(items=[RetentionDue.model_validate(due) for due in found])


@router.post("/retention/apply", responses=_ADMIN)
async def apply_retention(admin: Admin, state: State) -> RetentionApplied:
    """Delete what is older than its limit, some hundred records of each kind at most, and tell what that was."""
    gone = await apply_limits(state, admin)
    return RetentionApplied(removed=gone, more=is_more(gone))


@router.get("/holds", responses=_ADMIN)
async def list_holds(admin: Admin, session: Session) -> HoldsRead:
    """List all legal holds, newest first."""
    return HoldsRead(items=[HoldRead.of(view) for view in await holds.list_all(session)])


@router.post(
    "/holds", status_code=201, responses=_ADMIN | responses(errors.NotFound, errors.Conflict, errors.ValidationFailed)
)
async def place_hold(body: HoldCreate, admin: Admin, session: Session) -> HoldsRead:
    """Hold a person or a conversation: nothing of it can be deleted, by whomever, until released. Return all holds."""
    user_id = body.user_id
    if body.username is not None:
        user_id = (await groups.find_person(session, body.username)).id
    row = await holds.place(
        session, admin.id, user_id=user_id, conversation_id=body.conversation_id, reason=body.reason
    )
    shown = HoldsRead(items=[HoldRead.of(view) for view in await holds.list_all(session)])
    subject = ("user", user_id) if user_id is not None else ("conversation", body.conversation_id)
    await audit.note(session, "hold_placed", admin, subject, hold=row.id)
    return shown


@router.delete("/holds/{hold_id}", status_code=204, responses=_ADMIN | responses(errors.NotFound))
async def release_hold(hold_id: UUID, admin: Admin, session: Session) -> None:
    """Release a legal hold; limits and deletions count again."""
    subject = await holds.release(session, hold_id)
    await audit.note(session, "hold_released", admin, subject, hold=hold_id)


_ERASURE = _ADMIN | responses(errors.NotFound, errors.BadRequest, errors.LegalHold)


@router.get("/users/{user_id}/erasure", responses=_ERASURE)
async def preview_user_erasure(user_id: UUID, admin: Admin, session: Session) -> ErasureReport:
    """Return what erasing a person would remove, and what would stay and why; nothing is changed."""
    found = await erasure.survey(session, user_id)
    await audit.note(session, "erasure_previewed", admin, ("user", user_id))
    return ErasureReport.of(found, dry_run=True)


@router.post("/users/{user_id}/erasure", responses=_ERASURE)
async def erase_user(user_id: UUID, admin: Admin, state: State) -> ErasureReport:
    """Erase a person: their account and everything that is theirs; return what was removed, and what stays and why."""
    if user_id == admin.id:
        raise BadRequest.because("own_deletion", "You can't erase yourself here; use your account page.")
    return ErasureReport.of(await erase_account(state, user_id, by=admin), dry_run=False)
