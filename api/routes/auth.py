"""Accounts and sign-in sessions."""

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, BackgroundTasks, Body, Request, Response
from pydantic import ValidationError
from sqlalchemy import select, update

from api.cleanup import forget_account
from api.deps import COOKIE, CurrentCaller, CurrentUser, Session, State, Users, client_ip, is_cross_site
from api.errors import details_of, responses
from api.mail import send_reset
from api.schemas.auth import (
    ChangePassword,
    DeleteAccount,
    ForgotPassword,
    Login,
    Logout,
    ProfileChange,
    Refresh,
    ResetPassword,
    SessionList,
    SessionRead,
    TokenPair,
)
from api.state import AppState
from auth.schemas import Registration, UserCreate, UserRead
from auth.tokens import Account, Tokens, revoke, revoke_session
from auth.users import UserManager
from llama_service import errors
from llama_service.errors import BadRequest, Forbidden, InvalidCredentials, NotFound, TokenExpired, ValidationFailed
from persistence.tables import AuthSession, User

router = APIRouter(prefix="/auth", tags=["auth"])
log = structlog.get_logger(__name__)

_SIGNED_IN = responses(errors.NotAuthenticated, errors.TokenExpired)


@router.post("/register", status_code=201, responses=responses(errors.Conflict, errors.ValidationFailed))
async def register(body: Registration, state: State, users: Users) -> UserRead:
    """Make an account."""
    if not state.settings.allow_registration:
        raise Forbidden("Registration is closed on this server; ask an administrator for an account.")
    wanted = UserCreate(username=body.username, email=body.email, password=body.password)
    user = await users.create(wanted, safe=True)
    log.info("registered", user_id=str(user.id))
    return UserRead.model_validate(user)


def _give(response: Response, state: AppState, tokens: Tokens, *, cookie: bool = True) -> TokenPair:
    if cookie:
        response.set_cookie(
            COOKIE,
            tokens.access_token,
            max_age=tokens.expires_in,
            httponly=True,
            secure=state.settings.cookie_secure,
            samesite="lax",
            path="/",
        )
    response.headers["Cache-Control"] = "no-store"
    return TokenPair(access_token=tokens.access_token, expires_in=tokens.expires_in, refresh_token=tokens.refresh_token)


async def _credentials(request: Request) -> Login:
    """Read name and password from JSON, or from the OAuth2 form that Swagger sends."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            async with request.form(max_files=0, max_fields=20) as form:
                return Login(username=str(form.get("username", "")), password=str(form.get("password", "")))
        return Login.model_validate_json(await request.body())
    except ValidationError as invalid:
        raise ValidationFailed(details=details_of(invalid, "body")) from None


_LOGIN_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Login.model_json_schema()},
            "application/x-www-form-urlencoded": {"schema": Login.model_json_schema()},
        },
    }
}


@router.post(
    "/login",
    responses=responses(errors.InvalidCredentials, errors.Forbidden, errors.RateLimited, errors.ValidationFailed),
    openapi_extra=_LOGIN_BODY,
)
async def login(request: Request, response: Response, state: State) -> TokenPair:
    """Sign in with a user name or e-mail address, as JSON or as a form."""
    given = await _credentials(request)
    ip = client_ip(request)
    async with state.database.reading() as session:
        user = await UserManager(session, state.hasher).user_db.get_by_name(given.username)
    # An account has two names; guesses at both count together.
    renewed = await _check_password(state, user.username if user else given.username, user, given.password, ip)
    if user is None:
        raise InvalidCredentials
    if not user.is_active:
        raise Forbidden("This account is switched off; ask an administrator.")
    async with state.database.transaction() as session:
        if renewed is not None:
            await session.execute(update(User).where(User.id == user.id).values(hashed_password=renewed))
        agent = request.headers.get("user-agent")
        tokens = await state.tokens.issue(session, user, user_agent=agent, ip=ip)
    await state.limiter.succeeded(user.username, ip)
    request.scope["state"]["user_id"] = str(user.id)
    # A form of another site could sign its visitor in here under a foreign name.
    return _give(response, state, tokens, cookie=not is_cross_site(request))


async def _check_password(
    state: AppState, account: str, user: User | Account | None, password: str, ip: str
) -> str | None:
    """Return a better hash where there is one. Raises InvalidCredentials, RateLimited.

    No database connection is held while the password is hashed.
    """
    async with state.hasher.place():
        await state.limiter.check(account, ip)
        fits, renewed = await state.hasher.verify(password, user.hashed_password if user else None)
        if not fits:
            await state.limiter.failed(account, ip)
    if not fits:
        raise InvalidCredentials
    return renewed


@router.post("/refresh", responses=responses(errors.TokenExpired))
async def refresh(body: Refresh, response: Response, state: State) -> TokenPair:
    """Spend a refresh token for new tokens. Using one twice ends the whole session: two hold it."""
    async with state.database.transaction() as session:
        tokens, stolen = await state.tokens.rotate(session, body.refresh_token)
    if stolen is not None:
        async with state.database.transaction() as session:
            await revoke_session(session, stolen)
        log.warning("refresh_token_reused", session_id=str(stolen))
    if tokens is None:
        raise TokenExpired
    return _give(response, state, tokens)


@router.post("/logout", status_code=204, responses=_SIGNED_IN)
async def logout(
    caller: CurrentCaller, session: Session, response: Response, body: Annotated[Logout | None, Body()] = None
) -> None:
    """End this session, or all of the account's."""
    everything = body is not None and body.all
    if everything:
        # Ends tokens of sessions, too, that began while this runs.
        await session.execute(update(User).where(User.id == caller.user.id).values(token_epoch=User.token_epoch + 1))
    await revoke(session, caller.user.id, only=None if everything else caller.session_id)
    response.delete_cookie(COOKIE, path="/")


@router.get("/me", responses=_SIGNED_IN)
async def me(user: CurrentUser) -> UserRead:
    """Return the signed-in account."""
    return UserRead.model_validate(user)


@router.patch("/me", responses=_SIGNED_IN | responses(errors.Conflict, errors.ValidationFailed))
async def change_me(body: ProfileChange, caller: CurrentUser, users: Users) -> UserRead:
    """Change the account's name or e-mail address."""
    user = await _reloaded(users, caller)
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    return UserRead.model_validate(await users.user_db.update(user, changes))


async def _reloaded(users: Users, caller: Account) -> User:
    user = await users.by_id(caller.id)
    if user is None:
        raise TokenExpired
    return user


@router.delete("/me", status_code=204, responses=_SIGNED_IN | responses(errors.InvalidCredentials, errors.RateLimited))
async def delete_me(
    body: DeleteAccount, caller: CurrentUser, request: Request, state: State, response: Response
) -> None:
    """Delete the account with everything that it owns."""
    await _check_password(state, caller.username, caller, body.password, client_ip(request))
    await forget_account(state, caller.id)
    response.delete_cookie(COOKIE, path="/")


@router.post(
    "/change-password",
    status_code=204,
    responses=_SIGNED_IN | responses(errors.InvalidCredentials, errors.RateLimited, errors.ValidationFailed),
)
async def change_password(body: ChangePassword, caller: CurrentCaller, request: Request, state: State) -> None:
    """Set a new password; every other session ends."""
    account = caller.user
    await _check_password(state, account.username, account, body.current_password, client_ip(request))
    await _set_password(state, account, body.new_password, "new_password", keep=caller.session_id)


async def _set_password(
    state: AppState, account: Account | User, password: str, field: str, *, keep: UUID | None = None
) -> None:
    """Set a password that satisfies the rules, and end the account's sessions but `keep`. Raises ValidationFailed."""
    async with state.database.reading() as session:
        hashed = await UserManager(session, state.hasher).checked(password, account, field)
    async with state.database.transaction() as session:
        await session.execute(update(User).where(User.id == account.id).values(hashed_password=hashed))
        await revoke(session, account.id, keep=keep)


@router.post("/forgot-password", status_code=202, responses=responses(errors.ValidationFailed))
async def forgot_password(body: ForgotPassword, state: State, background: BackgroundTasks) -> dict[str, str]:
    """Send a link for a new password, where the address is known and the operator has set up e-mail."""
    async with state.database.reading() as session:
        user = await UserManager(session, state.hasher).user_db.get_by_name(body.email)
    if user is not None and user.is_active:
        # After the answer: how long a mail takes must not tell whether there is one.
        background.add_task(send_reset, state.settings, user.email, state.tokens.reset_token(user))
    return {"status": "accepted"}


@router.post("/reset-password", status_code=202, responses=responses(errors.BadRequest, errors.ValidationFailed))
async def reset_password(body: ResetPassword, state: State) -> dict[str, str]:
    """Set a new password with the token of the e-mail; every session ends."""
    subject = state.tokens.reset_subject(body.token)
    async with state.database.reading() as session:
        user = await UserManager(session, state.hasher).by_id(subject[0]) if subject else None
    if subject is None or user is None or not user.is_active or not state.tokens.may_reset(user, subject[1]):
        raise BadRequest("This link has expired or was used already; ask for a new one.")
    await _set_password(state, user, body.password, "password")
    return {"status": "accepted"}


@router.get("/sessions", responses=_SIGNED_IN)
async def sessions(caller: CurrentCaller, session: Session) -> SessionList:
    """List the places where the account is signed in."""
    query = (
        select(AuthSession)
        .where(AuthSession.user_id == caller.user.id, AuthSession.revoked_at.is_(None))
        .order_by(AuthSession.last_seen_at.desc())
        .limit(200)
    )
    rows = (await session.execute(query)).scalars()
    names = ("id", "user_agent", "ip", "created_at", "last_seen_at")
    return SessionList(
        items=[
            SessionRead(**{name: getattr(row, name) for name in names}, current=row.id == caller.session_id)
            for row in rows
        ]
    )


@router.delete("/sessions/{session_id}", status_code=204, responses=_SIGNED_IN | responses(errors.NotFound))
async def end_session(session_id: UUID, caller: CurrentUser, session: Session) -> None:
    """End one of the account's sessions."""
    if not await revoke(session, caller.id, only=session_id):
        raise NotFound
