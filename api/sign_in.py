"""What the routes of signing in share: guarded checks of passwords and codes, and this service's own address."""

from fastapi import Request

from api.state import AppState
from auth import two_factor
from auth.tokens import Account
from llama_service.errors import Forbidden, InvalidCredentials
from persistence import audit
from persistence.tables import User


def check_passwords_are_on(state: AppState) -> None:
    """Raise Forbidden where the operator lets nobody in but through a provider."""
    if not state.settings.password_sign_in:
        raise Forbidden.because("passwords_off", "Passwords are switched off here; sign in with your company account.")


async def check_password(
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
            await note_failure(state, user)
    if not fits:
        raise InvalidCredentials
    return renewed


async def check_second_factor(state: AppState, user: User | Account, code: str | None, ip: str) -> None:
    """Raise CodeRequired, InvalidCredentials, RateLimited: guesses at codes count as guesses at passwords do."""
    try:
        async with state.database.transaction() as session:
            await two_factor.check(session, state.vault, user.id, code)
    except InvalidCredentials:
        await state.limiter.failed(user.username, ip)
        await note_failure(state, user)
        raise


async def note_failure(state: AppState, user: User | Account | None) -> None:
    """Write down that somebody could not sign in. What was typed as a name is not kept: it may be a password."""
    async with state.database.transaction() as session:
        await audit.note(session, "sign_in_failed", None, ("user", user.id) if user else None)


def own_address(request: Request, state: AppState) -> str:
    """Return how browsers reach this service: `PUBLIC_URL`, else as this request has."""
    return state.settings.public_url or str(request.base_url).rstrip("/")
