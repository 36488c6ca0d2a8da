"""Two-factor sign-in of accounts with a password: an authenticator app, and recovery codes."""

import structlog
from fastapi import APIRouter, Request

from api.deps import CurrentUser, State, client_ip
from api.errors import responses
from api.schemas.auth import PasswordAgain, RecoveryCodes, TwoFactorCode, TwoFactorOff, TwoFactorSetup
from api.sign_in import check_password, check_second_factor
from auth import two_factor
from auth.users import NO_PASSWORD
from llama_service import errors
from llama_service.errors import Forbidden, InvalidCredentials
from persistence import audit

router = APIRouter(prefix="/auth/two-factor", tags=["auth"])
log = structlog.get_logger(__name__)

_ANSWERS = responses(
    errors.NotAuthenticated, errors.InvalidCredentials, errors.RateLimited, errors.NotFound, errors.Conflict
)


@router.post("", responses=_ANSWERS | responses(errors.Forbidden))
async def begin_two_factor(body: PasswordAgain, caller: CurrentUser, request: Request, state: State) -> TwoFactorSetup:
    """Draw a secret for an authenticator app; it counts once a code has confirmed it."""
    if caller.hashed_password == NO_PASSWORD:
        raise Forbidden.because(
            "no_password", "This account has no password; your company's sign-in asks for second factors."
        )
    await check_password(state, caller.username, caller, body.password, client_ip(request))
    async with state.database.transaction() as session:
        made = await two_factor.begin(session, state.vault, caller.id, caller.username, "llama-service")
    return TwoFactorSetup(secret=made.secret, uri=made.uri, qr_svg=made.qr_svg)


@router.post("/confirm", responses=_ANSWERS)
async def confirm_two_factor(body: TwoFactorCode, caller: CurrentUser, request: Request, state: State) -> RecoveryCodes:
    """Switch two-factor sign-in on with a code of the app; the recovery codes are shown this once."""
    ip = client_ip(request)
    await state.limiter.check(caller.username, ip)
    try:
        async with state.database.transaction() as session:
            codes = await two_factor.confirm(session, state.vault, caller.id, body.code)
            await audit.note(session, "two_factor_on", caller, ("user", caller.id))
    except InvalidCredentials:
        await state.limiter.failed(caller.username, ip)
        raise
    log.info("two_factor_on", user_id=str(caller.id))
    return RecoveryCodes(recovery_codes=codes)


@router.post("/recovery-codes", responses=_ANSWERS)
async def renew_recovery_codes(
    body: PasswordAgain, caller: CurrentUser, request: Request, state: State
) -> RecoveryCodes:
    """Replace the recovery codes; the old ones are no good any more."""
    await check_password(state, caller.username, caller, body.password, client_ip(request))
    async with state.database.transaction() as session:
        codes = await two_factor.renew_recovery_codes(session, caller.id)
        await audit.note(session, "recovery_codes_renewed", caller, ("user", caller.id))
    return RecoveryCodes(recovery_codes=codes)


@router.post("/off", status_code=204, responses=_ANSWERS)
async def switch_two_factor_off(body: TwoFactorOff, caller: CurrentUser, request: Request, state: State) -> None:
    """Switch two-factor sign-in off."""
    ip = client_ip(request)
    await check_password(state, caller.username, caller, body.password, ip)
    await check_second_factor(state, caller, body.code, ip)
    async with state.database.transaction() as session:
        await two_factor.switch_off(session, caller.id)
        await audit.note(session, "two_factor_off", caller, ("user", caller.id))
    log.info("two_factor_off", user_id=str(caller.id))
