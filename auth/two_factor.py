"""A second factor for accounts with a password: codes of an authenticator app (TOTP, RFC 6238) and recovery codes."""

import hashlib
import io
import secrets
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import pyotp
import segno
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import CodeRequired, Conflict, InvalidCredentials, NotFound
from llama_service.vault import Vault
from persistence.tables import SecondFactor

STEP: Final = 30  # seconds that a code is good for
DRIFT: Final = 1  # steps that the phone's clock may be ahead or behind
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # without what is read wrong


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app is set up by: typed in (`secret`), opened (`uri`), or scanned (`qr_svg`)."""

    secret: str
    uri: str
    qr_svg: str


async def is_on(session: AsyncSession, user_id: UUID) -> bool:
    """Whether the account has a proven second factor."""
    query = select(SecondFactor.user_id).where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    return await session.scalar(query) is not None


async def begin(session: AsyncSession, vault: Vault, user_id: UUID, account: str, issuer: str) -> Enrolment:
    """Draw a secret, which counts from `confirm` on. Raises Conflict where a second factor is on already."""
    if await is_on(session, user_id):
        raise Conflict.because("two_factor_on", "Two-factor sign-in is on already; switch it off first.")
    secret = pyotp.random_base32()
    row = {
        "secret": vault.seal({"totp": secret}, SecondFactor.__tablename__, user_id),
        "recovery_hashes": [],
        "last_step": 0,
    }
    written = insert(SecondFactor).values(user_id=user_id, **row)
    await session.execute(written.on_conflict_do_update(index_elements=[SecondFactor.user_id], set_=row))
    uri = pyotp.TOTP(secret, interval=STEP).provisioning_uri(name=account, issuer_name=issuer)
    drawn = io.BytesIO()
    segno.make(uri, error="m").save(drawn, kind="svg", xmldecl=False, nl=False, border=2, dark="#000", light="#fff")
    return Enrolment(secret, uri, drawn.getvalue().decode())


async def confirm(session: AsyncSession, vault: Vault, user_id: UUID, code: str) -> list[str]:
    """Switch the second factor on with a code of the app; return recovery codes, which are shown this once.

    Raises NotFound where none was begun, Conflict where it is on, InvalidCredentials for a wrong code.
    """
    row = await session.get(SecondFactor, user_id, with_for_update=True)
    if row is None:
        raise NotFound("Begin with a new code first.")
    if row.confirmed_at is not None:
        raise Conflict.because("two_factor_on", "Two-factor sign-in is on already.")
    step = _step_of(vault, row, code)
    if step is None:
        raise InvalidCredentials.because("code_wrong", "This code is not right; codes change every 30 seconds.")
    row.last_step = step
    row.confirmed_at = func.clock_timestamp()
    return await _renew_recovery(session, row)


async def renew_recovery_codes(session: AsyncSession, user_id: UUID) -> list[str]:
    """Replace the recovery codes; the old ones are no good any more. Raises NotFound."""
    row = await session.get(SecondFactor, user_id, with_for_update=True)
    if row is None or row.confirmed_at is None:
        raise NotFound("Two-factor sign-in is off.")
    return await _renew_recovery(session, row)


async def check(session: AsyncSession, vault: Vault, user_id: UUID, code: str | None) -> None:
    """Spend a code of the app, or a recovery code, where the account has a second factor.

    Raises CodeRequired without one, InvalidCredentials for one that is wrong or was used.
    """
    row = await session.get(SecondFactor, user_id, with_for_update=True)
    if row is None or row.confirmed_at is None:
        return
    if not code:
        raise CodeRequired
    step = _step_of(vault, row, code)
    if step is not None:
        row.last_step = step
    else:
        hashed = _hash(code)
        if hashed not in row.recovery_hashes:
            raise InvalidCredentials.because("code_used", "This code is not right, or was used already.")
        row.recovery_hashes = [kept for kept in row.recovery_hashes if kept != hashed]
    await session.flush()


async def recovery_codes_left(session: AsyncSession, user_id: UUID) -> int:
    """Return how many recovery codes of the account are unused."""
    return int(
        await session.scalar(
            select(func.cardinality(SecondFactor.recovery_hashes)).where(SecondFactor.user_id == user_id)
        )
        or 0
    )


async def switch_off(session: AsyncSession, user_id: UUID) -> bool:
    """Forget an account's second factor; return whether there was one."""
    gone = await session.execute(
        delete(SecondFactor).where(SecondFactor.user_id == user_id).returning(SecondFactor.user_id)
    )
    return gone.first() is not None


def _step_of(vault: Vault, row: SecondFactor, code: str) -> int | None:
    """Return the 30-second step that a code belongs to, None for one that is wrong or not newer than the last used."""
    opened = vault.open(row.secret, SecondFactor.__tablename__, row.user_id)
    digits = "".join(code.split())
    if opened is None or not (digits.isascii() and digits.isdigit()):
        return None
    totp = pyotp.TOTP(opened["totp"], interval=STEP)
    now = int(time.time()) // STEP
    for step in range(now - DRIFT, now + DRIFT + 1):
        if step > row.last_step and secrets.compare_digest(totp.generate_otp(step), digits):
            return step
    return None


async def _renew_recovery(session: AsyncSession, row: SecondFactor) -> list[str]:
    codes = ["-".join(_letters(5) for _ in range(2)) for _ in range(RECOVERY_CODES)]
    row.recovery_hashes = [_hash(code) for code in codes]
    await session.flush()
    return codes


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _hash(code: str) -> bytes:
    # A recovery code has 49 random bits and is tried a few times a minute: a plain hash is enough.
    return hashlib.sha256("".join(code.lower().split()).replace("-", "").encode()).digest()
