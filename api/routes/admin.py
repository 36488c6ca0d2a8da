"""Administration of accounts."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy import func, or_, select, update

from api.cleanup import forget_account, stop_runs
from api.deps import Admin, Cursor, Limit, Session, State
from api.errors import responses
from api.recent import RecentErrors
from api.routes.stats import usage_of
from api.schemas.auth import (
    BulkAction,
    BulkFailure,
    BulkResult,
    InvitationCreate,
    InvitationCreated,
    InvitationRead,
    InvitationsRead,
    UserChange,
)
from api.schemas.common import Page
from api.schemas.conversations import FeedbackEntry
from api.schemas.groups import AnyLibrariesRead, AnyLibraryRead
from api.schemas.stats import ErrorEntry, ErrorList, UserStats
from api.state import AppState
from auth import two_factor
from auth.schemas import UserRead
from auth.tokens import Account, revoke
from auth.users import UserDatabase, UserManager
from llama_service import errors
from llama_service.errors import AppError, BadRequest, NotFound
from persistence import audit, invitations, libraries, messages
from persistence.changes import change_or_not_found
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import User

router = APIRouter(prefix="/admin", tags=["admin"])

_INVITED_FOR: Final = timedelta(days=7)

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden)


@router.get("/users", responses=_ADMIN | responses(errors.BadRequest))
async def list_users(
    admin: Admin,
    session: Session,
    limit: Limit = 50,
    cursor: Cursor = None,
    q: Annotated[str | None, Query(max_length=100, description="Part of a name or address")] = None,
) -> Page[UserRead]:
    """List accounts, newest first."""
    query = select(User)
    if q:
        part = f"%{q.lower().replace('%', '').replace('_', '')}%"
        query = query.where(or_(func.lower(User.username).like(part), func.lower(User.email).like(part)))
    if cursor:
        query = query.where(User.id < decode_cursor(cursor, (UUID,))[0])
    rows = list((await session.execute(query.order_by(User.id.desc()).limit(limit + 1))).scalars())
    await audit.note(session, "users_listed", admin)
    following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return Page(items=[UserRead.model_validate(row) for row in rows[:limit]], next_cursor=following)


@router.patch("/users/{user_id}", responses=_ADMIN | responses(errors.NotFound, errors.BadRequest))
async def change_user(user_id: UUID, body: UserChange, admin: Admin, state: State) -> UserRead:
    """Switch an account on or off, make it an administrator's, set its password; its sessions end where they must."""
    async with state.database.reading() as session:
        users = UserManager(session, state.hasher)
        user = await users.by_id(user_id)
    if user is None:
        raise NotFound
    if user.id == admin.id and (body.is_active is False or body.is_superuser is False):
        raise BadRequest.because("own_rights", "You can't take your own rights away; let another administrator do it.")
    changes = {
        name: value
        for name, value in body.model_dump(exclude_unset=True, exclude={"password", "two_factor"}).items()
        if value is not None
    }
    if body.password is not None:
        changes["hashed_password"] = await users.checked(body.password, user)
    async with state.database.transaction() as session:
        changed = await UserManager(session, state.hasher).by_id(user_id)
        if changed is None:
            raise NotFound
        changed = await UserDatabase(session, User).update(changed, changes)
        if body.two_factor is False:
            await two_factor.switch_off(session, changed.id)
        if body.password is not None or body.is_active is False or body.two_factor is False:
            await revoke(session, changed.id)
        shape = UserRead.model_validate(changed)
        told = body.model_dump(exclude_none=True, exclude={"password"}) | {"password_set": body.password is not None}
        await audit.note(session, "user_changed", admin, ("user", user_id), name=shape.username, **told)
    if body.is_active is False:
        await stop_runs(state, user_id)
    return shape


@router.get("/users/{user_id}/usage", responses=_ADMIN | responses(errors.NotFound))
async def user_usage(user_id: UUID, admin: Admin, session: Session) -> UserStats:
    """Return what an account has stored and spent."""
    if await session.get(User, user_id) is None:
        raise NotFound
    usage = await usage_of(session, user_id)
    await audit.note(session, "usage_read", admin, ("user", user_id))
    return usage


@router.post("/users/bulk", responses=_ADMIN | responses(errors.BadRequest, errors.ValidationFailed))
async def change_users(body: BulkAction, admin: Admin, state: State) -> BulkResult:
    """Do the same to several accounts: switch on or off, confirm the address, end sessions, delete with everything."""
    ids = list(dict.fromkeys(body.user_ids))
    if admin.id in ids:
        raise BadRequest.because("own_account", "You are among these accounts; leave yourself out.")
    done: list[UUID] = []
    failed: list[BulkFailure] = []
    for user_id in ids:
        try:
            await _do(state, admin, user_id, body.action)
            done.append(user_id)
        except AppError as error:
            failed.append(BulkFailure(user_id=user_id, code=error.code))
    return BulkResult(done=done, failed=failed)


async def _do(state: AppState, admin: Account, user_id: UUID, action: str) -> None:
    if action == "delete":
        await delete_user(user_id, admin, state)
    elif action == "sign_out":
        async with state.database.transaction() as session:
            epoch = update(User).where(User.id == user_id).values(token_epoch=User.token_epoch + 1)
            await change_or_not_found(session, epoch)
            await revoke(session, user_id)
            await audit.note(session, "session_ended", admin, ("user", user_id), everywhere=True)
    elif action == "confirm":
        await change_user(user_id, UserChange(is_verified=True), admin, state)
    else:
        await change_user(user_id, UserChange(is_active=action == "activate"), admin, state)


@router.get("/libraries", responses=_ADMIN)
async def list_all_libraries(admin: Admin, session: Session) -> AnyLibrariesRead:
    """List all libraries, whoever sees them; what is in them is for their members."""
    views = await libraries.list_all(session, admin.id)
    await audit.note(session, "libraries_listed", admin)
    return AnyLibrariesRead(items=[AnyLibraryRead.of(view) for view in views])


@router.post("/libraries/{library_id}/take-over", status_code=204, responses=_ADMIN | responses(errors.NotFound))
async def take_over_library(library_id: UUID, admin: Admin, session: Session) -> None:
    """Become an editor of a library, one whose editors have left for instance; its members see it."""
    await libraries.take_over(session, admin.id, library_id)
    await audit.note(session, "library_taken_over", admin, ("library", library_id))


@router.get("/invitations", responses=_ADMIN)
async def list_invitations(admin: Admin, session: Session) -> InvitationsRead:
    """List all invitations, newest first."""
    rows = await invitations.list_all(session)
    return InvitationsRead(items=[InvitationRead.model_validate(row) for row in rows])


@router.post(
    "/invitations",
    status_code=201,
    responses=_ADMIN | responses(errors.NotFound, errors.Conflict, errors.ValidationFailed),
)
async def create_invitation(body: InvitationCreate, admin: Admin, session: Session) -> InvitationCreated:
    """Make a link by which people make accounts. The answer is the only place where its token is ever shown."""
    expires_at = body.expires_at or datetime.now(UTC) + _INVITED_FOR
    row, token = await invitations.create(
        session, admin.id, note=body.note, group_ids=body.group_ids, uses=body.uses, expires_at=expires_at
    )
    told = {"uses": body.uses, "groups": body.group_ids, "expires_at": expires_at}
    await audit.note(session, "invitation_created", admin, ("invitation", row.id), **told)
    return InvitationCreated(**InvitationRead.model_validate(row).model_dump(), token=token)


@router.delete("/invitations/{invitation_id}", status_code=204, responses=_ADMIN | responses(errors.NotFound))
async def delete_invitation(invitation_id: UUID, admin: Admin, session: Session) -> None:
    """Withdraw an invitation; who came by it stays."""
    await invitations.remove(session, invitation_id)
    await audit.note(session, "invitation_deleted", admin, ("invitation", invitation_id))


@router.get("/errors", responses=_ADMIN)
async def recent_errors(admin: Admin, request: Request) -> ErrorList:
    """List the newest errors of the process that answers, by request id."""
    kept: RecentErrors = request.app.state.recent_errors
    return ErrorList(items=[ErrorEntry.model_validate(entry) for entry in kept.newest()])


@router.get("/feedback", responses=_ADMIN | responses(errors.BadRequest))
async def list_feedback(
    admin: Admin,
    session: Session,
    limit: Limit = 50,
    cursor: Cursor = None,
    rating: Literal["up", "down"] | None = None,
) -> Page[FeedbackEntry]:
    """List opinions of answers, newest first; question and answer are there where their giver shows them."""
    rows, following = await messages.list_rated(session, rating=rating, limit=limit, cursor=cursor)
    await audit.note(session, "feedback_listed", admin)
    return Page(items=[FeedbackEntry.of(row) for row in rows], next_cursor=following)


@router.delete(
    "/users/{user_id}",
    status_code=204,
    responses=_ADMIN | responses(errors.NotFound, errors.BadRequest, errors.LegalHold),
)
async def delete_user(user_id: UUID, admin: Admin, state: State) -> None:
    """Delete an account with everything that it owns."""
    if user_id == admin.id:
        raise BadRequest.because("own_deletion", "You can't delete yourself here; use your account page.")
    async with state.database.reading() as session:
        if await session.scalar(select(User.id).where(User.id == user_id)) is None:
            raise NotFound
    await forget_account(state, user_id, by=admin)
