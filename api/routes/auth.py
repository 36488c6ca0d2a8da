"""Accounts and sign-in sessions."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, BackgroundTasks, Body, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy import or_, select, update

from api.cleanup import forget_account
from api.deps import (
    CurrentCaller,
    CurrentUser,
    Session,
    State,
    Users,
    client_ip,
    delete_session_cookie,
    is_cross_site,
    lacks_second_factor,
    set_session_cookie,
)
from api.errors import details_of, responses
from api.mail import send_reset
from api.schemas.auth import (
    ChangePassword,
    DeleteAccount,
    ForgotPassword,
    IdentityRead,
    InvitationState,
    Login,
    Logout,
    ProfileChange,
    Refresh,
    ResetPassword,
    SessionList,
    SessionRead,
    SignedOut,
    TokenPair,
    WaysToSignIn,
)
from api.sign_in import check_password, check_passwords_are_on, check_second_factor, own_address
from api.state import AppState
from auth import identities, two_factor
from auth.schemas import Registration, UserCreate, UserRead
from auth.tokens import Account, Tokens, revoke, revoke_session
from auth.users import NO_PASSWORD, UserManager
from llama_service import errors
from llama_service.errors import BadRequest, Forbidden, InvalidCredentials, NotFound, TokenExpired, ValidationFailed
from persistence import audit, invitations
from persistence.tables import AuthSession, User

router = APIRouter(prefix="/auth", tags=["auth"])
log = structlog.get_logger(__name__)

FRESH: Final = timedelta(minutes=10)  # a sign-in that stands for a password

_SIGNED_IN = responses(errors.NotAuthenticated, errors.TokenExpired)


@router.get("/invitations/{token}")
async def invitation_state(token: str, session: Session) -> InvitationState:
    """Tell whether an invitation's link still makes an account."""
    return InvitationState(is_good=await invitations.is_good(session, token))


@router.post(
    "/register",
    status_code=201,
    responses=responses(errors.Conflict, errors.Forbidden, errors.NotFound, errors.ValidationFailed),
)
async def register(body: Registration, state: State, users: Users, session: Session) -> UserRead:
    """Make an account; with an invitation also where registration is closed."""
    check_passwords_are_on(state)
    invitation = await invitations.spend(session, body.invitation) if body.invitation else None
    if invitation is None and not state.settings.allow_registration:
        raise Forbidden.because(
            "registration_closed", "Registration is closed on this server; ask an administrator for an account."
        )
    wanted = UserCreate(username=body.username, email=body.email, password=body.password)
    user = await users.create(wanted, safe=True)
    if invitation is not None:
        await invitations.welcome(session, user.id, invitation)
    await audit.note(session, "registered", user, invitation=invitation.id if invitation else None)
    log.info("registered", user_id=str(user.id))
    return UserRead.model_validate(user)


def _give(response: Response, state: AppState, tokens: Tokens, *, cookie: bool = True) -> TokenPair:
    if cookie:
        set_session_cookie(response, state.settings, tokens)
    response.headers["Cache-Control"] = "no-store"
    return TokenPair(access_token=tokens.access_token, expires_in=tokens.expires_in, refresh_token=tokens.refresh_token)


async def _credentials(request: Request) -> Login:
    """Read name and password from JSON, or from the OAuth2 form that Swagger sends."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            async with request.form(max_files=0, max_fields=20) as form:
                fields = {name: str(value) for name, value in form.items() if name in Login.model_fields}
                return Login.model_validate({"username": "", "password": ""} | fields)
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
    check_passwords_are_on(state)
    given = await _credentials(request)
    ip = client_ip(request)
    async with state.database.reading() as session:
        user = await UserManager(session, state.hasher).user_db.get_by_name(given.username)
    # An account has two names; guesses at both count together.
    renewed = await check_password(state, user.username if user else given.username, user, given.password, ip)
    if user is None:
        raise InvalidCredentials
    if not user.is_active:
        raise Forbidden.because("account_off", "This account is switched off; ask an administrator.")
    await check_second_factor(state, user, given.code, ip)
    async with state.database.transaction() as session:
        if renewed is not None:
            await session.execute(update(User).where(User.id == user.id).values(hashed_password=renewed))
        agent = request.headers.get("user-agent")
        tokens = await state.tokens.issue(session, user, user_agent=agent, ip=ip)
        await audit.note(session, "signed_in", user, ("session", tokens.session_id))
    await state.limiter.succeeded(user.username, ip)
    request.scope["state"]["user_id"] = str(user.id)
    # A form of another site could sign its visitor in here under a foreign name.
    return _give(response, state, tokens, cookie=not is_cross_site(request))


@router.post("/refresh", responses=responses(errors.TokenExpired))
async def refresh(body: Refresh, response: Response, state: State) -> TokenPair:
    """Spend a refresh token for new tokens. Using one twice ends the whole session: two hold it."""
    async with state.database.transaction() as session:
        tokens, stolen = await state.tokens.rotate(session, body.refresh_token)
    if stolen is not None:
        async with state.database.transaction() as session:
            await revoke_session(session, stolen)
            await audit.note(session, "refresh_token_reused", None, ("session", stolen))
        log.warning("refresh_token_reused", session_id=str(stolen))
    if tokens is None:
        raise TokenExpired
    return _give(response, state, tokens)


@router.post(
    "/logout",
    status_code=204,
    response_class=Response,
    responses=_SIGNED_IN | {200: {"model": SignedOut, "description": "Signed out; the provider's session stands."}},
)
async def logout(
    caller: CurrentCaller, request: Request, state: State, body: Annotated[Logout | None, Body()] = None
) -> Response:
    """End this session, or all of the account's.

    Where it came through a provider that can end its own session too, the answer says where the browser does that.
    """
    everything = body is not None and body.all
    async with state.database.transaction() as session:
        through = await state.provider_tokens.of_session(session, caller.session_id)
        if everything:
            # Ends tokens of sessions, too, that began while this runs.
            epoch = User.token_epoch + 1
            await session.execute(update(User).where(User.id == caller.user.id).values(token_epoch=epoch))
        await revoke(session, caller.user.id, only=None if everything else caller.session_id)
        await audit.note(session, "signed_out", caller.user, ("session", caller.session_id), everywhere=everything)
    end = await _end_at_provider(request, state, through)
    answer = Response(status_code=204) if end is None else JSONResponse({"end_session_url": end})
    delete_session_cookie(answer, state.settings)
    return answer


async def _end_at_provider(request: Request, state: AppState, through: tuple[str, str | None] | None) -> str | None:
    client = state.oidc.get(through[0]) if through else None
    if client is None or through is None:
        return None
    return await client.end_session_url(through[1], f"{own_address(request, state)}/sign-in")


@router.get("/me", responses=_SIGNED_IN)
async def me(user: CurrentUser) -> UserRead:
    """Return the signed-in account."""
    return UserRead.model_validate(user)


@router.get("/sign-in", responses=_SIGNED_IN)
async def ways_to_sign_in(caller: CurrentCaller, session: Session, state: State) -> WaysToSignIn:
    """Tell how the account is signed in to: its password, its second factor, its identities at providers."""
    user = caller.user
    rows = await identities.list_identities(session, user.id)
    labels = {name: client.label for name, client in state.oidc.items()}
    return WaysToSignIn(
        has_password=user.hashed_password != NO_PASSWORD,
        two_factor=await two_factor.is_on(session, user.id),
        second_factor_required=await lacks_second_factor(session, state.settings, caller),
        recovery_codes_left=await two_factor.recovery_codes_left(session, user.id),
        identities=[IdentityRead.of(row, labels.get(row.provider, row.provider)) for row in rows],
    )


@router.patch("/me", responses=_SIGNED_IN | responses(errors.Conflict, errors.ValidationFailed))
async def change_me(body: ProfileChange, caller: CurrentUser, users: Users, session: Session) -> UserRead:
    """Change the account's name or e-mail address."""
    user = await _reloaded(users, caller)
    changes = body.model_dump(exclude_none=True)
    if body.email is not None and body.email.lower() != user.email.lower():
        changes["is_verified"] = False
    changed = await users.user_db.update(user, changes)
    fields = sorted(changes.keys() & {"username", "email"})
    await audit.note(session, "account_changed", caller, ("user", caller.id), fields=fields)
    return UserRead.model_validate(changed)


async def _reloaded(users: Users, caller: Account) -> User:
    user = await users.by_id(caller.id)
    if user is None:
        raise TokenExpired
    return user


@router.delete(
    "/me",
    status_code=204,
    responses=_SIGNED_IN | responses(errors.InvalidCredentials, errors.RateLimited, errors.LegalHold),
)
async def delete_me(
    body: DeleteAccount, caller: CurrentCaller, request: Request, state: State, response: Response
) -> None:
    """Delete the account with everything that it owns."""
    user = caller.user
    if user.hashed_password == NO_PASSWORD:
        await _check_is_fresh(state, caller.session_id)
    else:
        await check_password(state, user.username, user, body.password, client_ip(request))
    await forget_account(state, user.id, by=user)
    delete_session_cookie(response, state.settings)


@router.post(
    "/change-password",
    status_code=204,
    responses=_SIGNED_IN | responses(errors.InvalidCredentials, errors.RateLimited, errors.ValidationFailed),
)
async def change_password(body: ChangePassword, caller: CurrentCaller, request: Request, state: State) -> None:
    """Set a new password; every other session ends."""
    check_passwords_are_on(state)
    account = caller.user
    if account.hashed_password == NO_PASSWORD:
        raise Forbidden.because(
            "no_password", "This account has no password; it is signed in to through your company's account."
        )
    await check_password(state, account.username, account, body.current_password, client_ip(request))
    await _set_password(state, account, body.new_password, "password_changed", keep=caller.session_id)


async def _set_password(
    state: AppState,
    account: Account | User,
    password: str,
    action: Literal["password_changed", "password_reset"],
    *,
    keep: UUID | None = None,
) -> None:
    """Set a password that satisfies the rules, and end the account's sessions but `keep`. Raises ValidationFailed."""
    field = "new_password" if action == "password_changed" else "password"
    async with state.database.reading() as session:
        hashed = await UserManager(session, state.hasher).checked(password, account, field)
    async with state.database.transaction() as session:
        change = update(User).where(User.id == account.id).values(hashed_password=hashed)
        if action == "password_reset":
            # Who has the token has read the mail to this address, unless another one is set meanwhile.
            change = change.values(is_verified=or_(User.is_verified, User.email == account.email))
        await session.execute(change)
        await revoke(session, account.id, keep=keep)
        await audit.note(session, action, account, ("user", account.id))


@router.post("/forgot-password", status_code=202, responses=responses(errors.ValidationFailed))
async def forgot_password(body: ForgotPassword, state: State, background: BackgroundTasks) -> dict[str, str]:
    """Send a link for a new password, where the address is known and the operator has set up e-mail; one a minute."""
    check_passwords_are_on(state)
    async with state.database.reading() as session:
        user = await UserManager(session, state.hasher).user_db.get_by_name(body.email)
    if user is not None and user.is_active and user.hashed_password != NO_PASSWORD:
        # After the answer: how long a mail takes must not tell whether there is one.
        background.add_task(_mail_reset, state, user)
    return {"status": "accepted"}


async def _mail_reset(state: AppState, user: User) -> None:
    """Send the link, unless one was just sent: nobody's mailbox is filled by whoever knows its address."""
    if await state.limiter.may_mail(user.username):
        await send_reset(state.settings, user.email, state.tokens.reset_token(user))


@router.post("/reset-password", status_code=202, responses=responses(errors.BadRequest, errors.ValidationFailed))
async def reset_password(body: ResetPassword, state: State) -> dict[str, str]:
    """Set a new password with the token of the e-mail; every session ends."""
    check_passwords_are_on(state)
    subject = state.tokens.reset_subject(body.token)
    async with state.database.reading() as session:
        user = await UserManager(session, state.hasher).by_id(subject[0]) if subject else None
    if subject is None or user is None or not user.is_active or not state.tokens.may_reset(user, subject[1]):
        raise BadRequest.because("link_over", "This link has expired or was used already; ask for a new one.")
    await _set_password(state, user, body.password, "password_reset")
    return {"status": "accepted"}


async def _check_is_fresh(state: AppState, session_id: UUID) -> None:
    async with state.database.reading() as session:
        began = await session.scalar(select(AuthSession.created_at).where(AuthSession.id == session_id))
    if began is None or datetime.now(UTC) - began > FRESH:
        raise Forbidden.because(
            "sign_in_again", "Sign out, sign in again, and delete the account within ten minutes of that."
        )


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
    await audit.note(session, "session_ended", caller, ("session", session_id))
