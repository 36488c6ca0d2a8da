"""What routes ask for, by name."""

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.ext.asyncio import AsyncSession

from api.root_path import cookie_path
from api.scopes import required_scope
from api.state import AppState, state_of
from auth import keys, two_factor
from auth.provider_tokens import came_through
from auth.tokens import Account, Caller, Tokens
from auth.users import UserManager
from graphs.runs.start import TurnCaller
from llama_service.errors import BadRequest, Forbidden, NotAuthenticated, ScopeMissing, SecondFactorRequired
from llama_service.settings import Settings

COOKIE = "llama_session"
KEY_HEADER = "x-api-key"
MARK = "x-requested-with"
MARK_VALUE = "llama-service"
_SAFE = {"GET", "HEAD", "OPTIONS"}
_KEY_NAMES = {"key", "api_key", "api-key", "apikey", "x-api-key", "token", "access_token"}

# For Swagger's Authorize; the header itself is read below, so that errors come in our envelope.
_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login", auto_error=False)


async def get_state(request: Request) -> AppState:
    """Return the application's resources."""
    return state_of(request)


State = Annotated[AppState, Depends(get_state)]


async def get_session(state: State) -> AsyncIterator[AsyncSession]:
    """Open the request's transaction; it is committed before the answer goes out."""
    async with state.database.transaction() as session:
        yield session


# `function`: a stream must not hold a connection until its last byte.
Session = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def get_manager(session: Session, state: State) -> UserManager:
    """Return FastAPI-Users' manager on the request's transaction."""
    return UserManager(session, state.hasher)


Users = Annotated[UserManager, Depends(get_manager)]


def _same_origin(request: Request) -> bool:
    """Whether a browser's request comes from a page of ours: other sites can't set these headers."""
    if request.headers.get(MARK) == MARK_VALUE:
        return True
    if request.headers.get("sec-fetch-site") == "same-origin":
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that another site's page has caused this request."""
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    return "origin" in request.headers and not _same_origin(request) and "sec-fetch-site" not in request.headers


def token_of(request: Request) -> str | None:
    """Return the request's token or API key: the bearer's, `x-api-key`, else the session cookie of our own page.

    Raises Forbidden for a request with the cookie that another site may have caused, BadRequest for a key in the
    address, where every proxy would keep it.
    """
    if any(keys.is_key(value) for name, value in request.query_params.multi_items() if name.lower() in _KEY_NAMES):
        raise BadRequest("A key in the address is not taken: it would be in logs. Revoke it; send keys as a header.")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if key := request.headers.get(KEY_HEADER):
        return key.strip()
    cookie = request.cookies.get(COOKIE)
    if cookie and request.method not in _SAFE and not _same_origin(request):
        raise Forbidden(f"A request with the session cookie needs the header X-Requested-With: {MARK_VALUE}.")
    return cookie


async def caller_with(request: Request, state: AppState, token: str) -> Caller:
    """Return who presents an access token, or an API key that covers this request's route.

    Raises NotAuthenticated, TokenExpired, Forbidden, ScopeMissing.
    """
    if not keys.is_key(token):
        caller = await state.tokens.caller(state.database, state.tokens.claims(token))
    else:
        caller = await keys.caller_of(state.database, token)
        scope = required_scope(request)
        if scope is None:
            raise ScopeMissing("No API key is good for this; sign in with your password.")
        if caller.scopes is None or scope not in caller.scopes:
            raise ScopeMissing(details=[{"scope": scope}])
    request.scope["state"]["user_id"] = str(caller.user.id)
    return caller


async def get_caller_or_none(
    request: Request, state: State, _: Annotated[str | None, Depends(_scheme)]
) -> Caller | None:
    """Return who is calling, or None without a token. A token that is there has to be good.

    One statement on a connection that is given back at once: a turn that waits for its model must not hold one.
    """
    token = token_of(request)
    if token is None:
        return None
    return await caller_with(request, state, token)


async def get_caller_if_good(
    request: Request, state: State, _: Annotated[str | None, Depends(_scheme)]
) -> Caller | None:
    """Return who is calling an open route; a token that is no good any more is as good as none."""
    try:
        return await get_caller_or_none(request, state, None)
    except (NotAuthenticated, Forbidden):
        return None


Visitor = Annotated[Caller | None, Depends(get_caller_if_good)]
CallerOrNone = Annotated[Caller | None, Depends(get_caller_or_none)]


async def get_caller(caller: CallerOrNone) -> Caller:
    """Return who is calling. Raises NotAuthenticated."""
    if caller is None:
        raise NotAuthenticated
    return caller


CurrentCaller = Annotated[Caller, Depends(get_caller)]


async def get_user(caller: CurrentCaller) -> Account:
    """Return the signed-in account."""
    return caller.user


CurrentUser = Annotated[Account, Depends(get_user)]


async def lacks_second_factor(session: AsyncSession, settings: Settings, caller: Caller) -> bool:
    """Whether an administrator has to set a second factor up first (`ADMIN_TWO_FACTOR`).

    Who came through a provider has shown there whatever the company asks for.
    """
    if not settings.admin_two_factor or not caller.user.is_superuser:
        return False
    return not (await two_factor.is_on(session, caller.user.id) or await came_through(session, caller.session_id))


async def get_admin(caller: CurrentCaller, state: State) -> Account:
    """Return the signed-in administrator. Raises Forbidden, SecondFactorRequired."""
    if not caller.user.is_superuser:
        raise Forbidden("Only administrators may do this.")
    if state.settings.admin_two_factor:
        async with state.database.reading() as session:
            if await lacks_second_factor(session, state.settings, caller):
                raise SecondFactorRequired
    return caller.user


Admin = Annotated[Account, Depends(get_admin)]


async def is_administrator(caller: CurrentCaller, state: State) -> bool:
    """Whether an administrator asks, where others may too; one who still lacks a second factor is none."""
    if not caller.user.is_superuser:
        return False
    async with state.database.reading() as session:
        return not await lacks_second_factor(session, state.settings, caller)


IsAdmin = Annotated[bool, Depends(is_administrator)]


async def get_chatter(caller: CallerOrNone, state: State) -> UUID | None:
    """Return the id of who chats, None for an anonymous caller where the settings let them in."""
    if caller is None:
        if not state.settings.allow_anonymous_chat:
            raise NotAuthenticated
        return None
    return caller.user.id


Chatter = Annotated[UUID | None, Depends(get_chatter)]


async def get_turn_caller(request: Request, state: State, _: Annotated[str | None, Depends(_scheme)]) -> TurnCaller:
    """Return who asks, by the token's signature; the statement that writes the turn checks the session.

    An API key has no signature: it is looked up before.
    """
    token = token_of(request)
    if token is None:
        return TurnCaller(await get_chatter(None, state))
    if keys.is_key(token):
        return TurnCaller((await caller_with(request, state, token)).user.id)
    claims = state.tokens.claims(token)
    request.scope["state"]["user_id"] = str(claims.user_id)

    async def confirm() -> None:
        await state.tokens.caller(state.database, claims)

    return TurnCaller(claims.user_id, claims, confirm)


AskingCaller = Annotated[TurnCaller, Depends(get_turn_caller)]

Limit = Annotated[int, Query(ge=1, le=200, description="Items of a page")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before")]


def set_session_cookie(response: Response, settings: Settings, tokens: Tokens) -> None:
    """Sign a browser in: the page needs nothing else, and no script can read it."""
    response.set_cookie(
        COOKIE,
        tokens.access_token,
        max_age=tokens.expires_in,
        httponly=True,
        secure=settings.cookie_secure,
        samesite="lax",
        path=cookie_path(settings.root_path),
    )


def delete_session_cookie(response: Response, settings: Settings) -> None:
    """Sign a browser out."""
    response.delete_cookie(COOKIE, path=cookie_path(settings.root_path))


def client_ip(request: Request) -> str:
    """Return the caller's address; uvicorn has put a trusted proxy's word in its place."""
    return request.client.host if request.client else "unknown"
