"""Sign-in through a provider (OpenID Connect): the browser is sent there, and comes back with a code."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import CurrentUser, Session, State, Visitor, client_ip, set_session_cookie
from api.errors import responses
from api.root_path import cookie_path
from api.schemas.auth import SignInMethods, SignInProvider
from api.sign_in import own_address
from api.state import AppState
from auth import identities
from auth.oidc import Attempt, OidcClient
from auth.provider_tokens import end_sessions
from auth.tokens import Tokens
from auth.users import NO_PASSWORD
from llama_service import errors
from llama_service.errors import (
    AppError,
    BadRequest,
    Conflict,
    DependencyUnavailable,
    NotAuthenticated,
    NotFound,
    SignInDenied,
    SignInFailed,
)
from persistence import audit
from persistence.tables import User

router = APIRouter(prefix="/auth", tags=["auth"])
log = structlog.get_logger(__name__)

ATTEMPT_LIFETIME: Final = timedelta(minutes=10)
_COOKIE: Final = "sign-in attempt"  # what the vault seals it for
Text = Annotated[str | None, Query(max_length=4000)]


@router.get("/methods")
async def methods(state: State) -> SignInMethods:
    """Tell how one can sign in here, for the page to draw."""
    settings = state.settings
    return SignInMethods(
        password=settings.password_sign_in,
        registration=settings.password_sign_in and settings.allow_registration,
        oidc=[SignInProvider(name=name, label=client.label) for name, client in state.oidc.items()],
    )


# Both are a browser's way, redirects without a body: no operation of the API that a program would call.
@router.get("/oidc/{name}/login", include_in_schema=False)
async def oidc_login(
    name: str,
    request: Request,
    state: State,
    visitor: Visitor,
    to: Annotated[str, Query(max_length=2000, description="Path on this server to come back to")] = "/",
    link: Annotated[bool, Query(description="Add the identity to the account that is signed in")] = False,
) -> Response:
    """Send the browser to the provider. What its answer is checked by goes along in an encrypted cookie."""
    client = _client(state, name)
    if link and visitor is None:
        raise NotAuthenticated
    if link and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise errors.Forbidden("Only this service's own page may add an identity to an account.")
    attempt = Attempt.begin()
    kept = {
        "state": attempt.state,
        "nonce": attempt.nonce,
        "verifier": attempt.verifier,
        "name": name,
        "to": _own_path(to),
        "link": str(visitor.user.id) if link and visitor else "",
        "until": (datetime.now(UTC) + ATTEMPT_LIFETIME).isoformat(),
    }
    try:
        address = await client.authorization_url(attempt, _callback_address(request, state, name))
    except DependencyUnavailable as away:
        # A person has followed a link: the page says it, as it does for what fails on the way back.
        return RedirectResponse(f"{state.settings.root_path}/sign-in?problem={away.code}", 302)
    answer = RedirectResponse(address, 302)
    answer.headers["Cache-Control"] = "no-store"
    answer.set_cookie(
        _cookie_of(attempt.state),
        urlsafe_b64encode(state.vault.seal(kept, _COOKIE, attempt.state)).decode(),
        max_age=int(ATTEMPT_LIFETIME.total_seconds()),
        httponly=True,
        secure=state.settings.cookie_secure,
        samesite="lax",
        path=cookie_path(state.settings.root_path),
    )
    return answer


@router.get("/oidc/{name}/callback", include_in_schema=False)
async def oidc_callback(
    name: str,
    request: Request,
    state: State,
    visitor: Visitor,
    code: Text = None,
    given: Annotated[str | None, Query(alias="state", max_length=400)] = None,
    iss: Text = None,
    error: Text = None,
) -> Response:
    """Sign in whoever comes back from the provider. What went wrong is told by the sign-in page (`?problem=`)."""
    client = _client(state, name)
    kept = _kept(request, state, name, given)
    if kept.get("link") and (visitor is None or str(visitor.user.id) != kept["link"]):
        kept = {}  # another account is signed in by now
    root = state.settings.root_path
    try:
        tokens, to = await _signed_in(request, state, client, kept, code=code, iss=iss, error=error)
    except AppError as failed:
        log.info("oidc_sign_in_failed", provider=name, code=failed.code)
        back = "account" if kept.get("link") else "sign-in"
        answer = RedirectResponse(f"{root}/{back}?problem={failed.code}", 302)
    else:
        answer = RedirectResponse(root + to, 302)
        if tokens is not None:
            set_session_cookie(answer, state.settings, tokens)
    answer.headers["Cache-Control"] = "no-store"
    if given:
        answer.delete_cookie(_cookie_of(given), path=cookie_path(root))
    return answer


@router.post("/oidc/{name}/logout", responses=responses(errors.NotFound, errors.BadRequest))
async def oidc_backchannel_logout(
    name: str, state: State, response: Response, logout_token: Annotated[str, Form(max_length=20_000)]
) -> dict[str, int]:
    """End the sessions that the provider says it has ended (back-channel logout); return how many."""
    client = _client(state, name)
    try:
        told = await client.logout_token(logout_token)
    except SignInFailed:
        raise BadRequest("This logout token is not good.") from None
    async with state.database.transaction() as session:
        ended = await end_sessions(session, name, told)
    log.info("backchannel_logout", provider=name, sessions=ended)
    response.headers["Cache-Control"] = "no-store"
    return {"sessions": ended}


@router.delete(
    "/identities/{identity_id}",
    status_code=204,
    responses=responses(errors.NotAuthenticated, errors.NotFound, errors.Conflict),
)
async def delete_identity(identity_id: UUID, user: CurrentUser, session: Session) -> None:
    """Forget an identity. The last one of an account without a password stays: nobody could get in."""
    rows = await identities.list_identities(session, user.id)
    if user.hashed_password == NO_PASSWORD and [row.id for row in rows] == [identity_id]:
        raise Conflict.because("only_way_in", "This is the only way to sign in to your account.")
    await identities.unlink(session, user.id, identity_id)
    await audit.note(session, "identity_removed", user, ("identity", identity_id))


async def _signed_in(
    request: Request,
    state: AppState,
    client: OidcClient,
    kept: Mapping[str, str],
    *,
    code: str | None,
    iss: str | None,
    error: str | None,
) -> tuple[Tokens | None, str]:
    """Return the tokens of a new session (None where an identity was added to one that is there), and where to go."""
    if not kept:
        raise SignInFailed
    await client.check_issuer(iss)
    if error == "access_denied":
        raise SignInDenied("The sign-in was cancelled or refused by the provider.")
    if error is not None or not code:
        raise SignInFailed
    attempt = Attempt(kept["state"], kept["nonce"], kept["verifier"])
    redirect_uri = _callback_address(request, state, client.name)
    told, claims = await client.redeem(code, attempt, redirect_uri)
    if kept["link"]:
        async with state.database.transaction() as session:
            await identities.link(session, UUID(kept["link"]), client.name, claims)
        return None, kept["to"]

    async def enter() -> Tokens:
        async with state.database.transaction() as session:
            user: User = await identities.account_of(session, client.name, client.settings, claims)
            agent = request.headers.get("user-agent")
            tokens = await state.tokens.issue(session, user, user_agent=agent, ip=client_ip(request))
            await state.provider_tokens.keep(session, tokens.session_id, user.id, client.name, told, claims)
            await audit.note(session, "signed_in", user, ("session", tokens.session_id), provider=client.name)
            request.scope["state"]["user_id"] = str(user.id)
            return tokens

    try:
        return await enter(), kept["to"]
    except Conflict:
        # The same person's first sign-in in another tab has made the account in the meantime.
        return await enter(), kept["to"]


def _client(state: AppState, name: str) -> OidcClient:
    client = state.oidc.get(name)
    if client is None:
        raise NotFound("There is no sign-in provider of this name.")
    return client


def _callback_address(request: Request, state: AppState, name: str) -> str:
    """Return the address that the provider sends the browser back to, as it has to be registered there."""
    return f"{own_address(request, state)}/api/v1/auth/oidc/{name}/callback"


def _own_path(to: str) -> str:
    """Return a path on this server, `/` for anything that could lead elsewhere."""
    is_own = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() and "\\" not in to
    return to if is_own else "/"


def _cookie_of(state: str) -> str:
    # A name of its own for each attempt: two tabs may sign in at once.
    return f"llama_oidc_{hashlib.sha256(state.encode()).hexdigest()[:16]}"


def _bytes_of(sealed: str) -> bytes:
    try:
        return urlsafe_b64decode(sealed)
    except ValueError:
        return b""


def _kept(request: Request, state: AppState, name: str, given: str | None) -> dict[str, Any]:
    """Return what was put into this browser's cookie for this attempt, nothing where it is not this one's."""
    sealed = request.cookies.get(_cookie_of(given)) if given else None
    kept = state.vault.open(_bytes_of(sealed), _COOKIE, given) if sealed else None
    if kept is None or kept.get("state") != given or kept.get("name") != name:
        return {}
    return kept if datetime.fromisoformat(kept["until"]) > datetime.now(UTC) else {}
