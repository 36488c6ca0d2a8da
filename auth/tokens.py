"""Access tokens that end when their session ends, and refresh tokens that are spent by use."""

import contextlib
import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from fastapi_users.jwt import decode_jwt, generate_jwt
from pydantic import SecretStr
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth.provider_tokens import forget
from llama_service.errors import Forbidden, NotAuthenticated, TokenExpired
from llama_service.settings import Settings
from persistence.secret_tokens import hash_of, new_token
from persistence.session import Database, Statement
from persistence.sessions import SEEN_EVERY, Claims
from persistence.tables import AuthSession, User

ACCESS = ["llama-service:access"]
RESET = ["llama-service:reset"]
RESET_LIFETIME = 3600  # seconds
_REMEMBERED = 4096  # access tokens


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets when it signs in; `expires_in` is the access token's lifetime in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Account:
    """An account, as requests see it."""

    id: UUID
    username: str
    email: str
    hashed_password: str
    is_active: bool
    is_superuser: bool
    is_verified: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """The account behind a request, and the session or API key that it came with.

    `scopes` are what a key may do; None for a session, which may do all that its account may.
    """

    user: Account
    session_id: UUID
    scopes: frozenset[str] | None = None


_CALLER = Statement(
    """
    SELECT u.id, u.username, u.email, u.hashed_password, u.is_active, u.is_superuser, u.is_verified,
           u.created_at, u.token_epoch, s.revoked_at, s.last_seen_at
    FROM users u JOIN auth_sessions s ON s.user_id = u.id WHERE u.id = :user AND s.id = :session
    """
)
_SEEN = Statement("UPDATE auth_sessions SET last_seen_at = clock_timestamp() WHERE id = :session")


class TokenService:
    """Issues, checks, rotates and revokes the tokens of sign-in sessions.

    Tokens that were signed with the previous key are good for as long as it is set.
    """

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret_key
        self._accepted = [key for key in (self._secret, settings.jwt_secret_key_previous) if key is not None]
        self._algorithm = settings.jwt_algorithm
        self._lifetime = settings.jwt_access_token_expire_minutes * 60
        self._refresh_lifetime = timedelta(days=settings.refresh_token_expire_days)
        # Signatures that were found good, with the end of their time: a check costs as much as a small query.
        self._good: dict[str, tuple[Claims, float]] = {}

    def _tokens(self, user: User, session_id: UUID, refresh_secret: str) -> Tokens:
        claims = {"sub": str(user.id), "sid": str(session_id), "epoch": user.token_epoch, "aud": ACCESS}
        access = generate_jwt(claims, self._secret, self._lifetime, algorithm=self._algorithm)
        return Tokens(access, f"{session_id}.{refresh_secret}", self._lifetime, session_id)

    async def issue(self, session: AsyncSession, user: User, *, user_agent: str | None, ip: str) -> Tokens:
        """Begin a session for `user`."""
        secret = new_token()
        row = AuthSession(
            user_id=user.id,
            refresh_hash=hash_of(secret),
            user_agent=user_agent[:400] if user_agent else None,
            ip=ip,
            expires_at=datetime.now(UTC) + self._refresh_lifetime,
        )
        session.add(row)
        await session.flush()
        return self._tokens(user, row.id, secret)

    def claims(self, token: str) -> Claims:
        """Return what an access token says, by its signature alone.

        Raises NotAuthenticated for a forged or foreign token, TokenExpired for one that was good once.
        """
        known = self._good.get(token)
        if known is not None and time.time() < known[1]:
            return known[0]
        try:
            told = self._decoded(token, ACCESS)
            claims = Claims(UUID(told["sub"]), UUID(told["sid"]), int(told["epoch"]))
            if len(self._good) >= _REMEMBERED:
                self._good.clear()
            self._good[token] = (claims, float(told["exp"]))
            return claims
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise NotAuthenticated from None

    def _decoded(self, token: str, audience: list[str]) -> dict[str, Any]:
        """Return the claims of a token that one of our keys has signed. Raises jwt.PyJWTError."""
        for key in self._accepted[:-1]:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return decode_jwt(token, key, audience, algorithms=[self._algorithm])
        return decode_jwt(token, self._accepted[-1], audience, algorithms=[self._algorithm])

    async def caller(self, database: Database, claims: Claims) -> Caller:
        """Return who presents these claims, with one query.

        Raises TokenExpired for a session that has ended, Forbidden for an account that is switched off.
        """
        async with database.raw(transaction=False) as connection:
            found = await connection.row(_CALLER, {"user": claims.user_id, "session": claims.session_id})
            if found is None or found["revoked_at"] is not None or found["token_epoch"] != claims.epoch:
                raise TokenExpired
            if not found["is_active"]:
                raise Forbidden.because("account_off", "This account is switched off; ask an administrator.")
            if datetime.now(UTC) - found["last_seen_at"] > SEEN_EVERY:
                await connection.rows(_SEEN, {"session": claims.session_id})
        return Caller(Account(*(found[name] for name in Account.__dataclass_fields__)), claims.session_id)

    async def rotate(self, session: AsyncSession, refresh_token: str) -> tuple[Tokens | None, UUID | None]:
        """Spend a refresh token: return new tokens, or None where it is not good.

        A token that was spent before means that two hold it: the second value is then the session, which the caller
        has to revoke in a transaction that stays.
        """
        session_part, _, secret = refresh_token.partition(".")
        try:
            session_id = UUID(session_part)
        except ValueError:
            return None, None
        found = (
            await session.execute(
                select(AuthSession, User)
                .join(User, User.id == AuthSession.user_id)
                .where(AuthSession.id == session_id)
                .with_for_update(of=AuthSession)
            )
        ).one_or_none()
        if found is None or found.AuthSession.revoked_at is not None:
            return None, None
        row, user = found.AuthSession, found.User
        if not hmac.compare_digest(row.refresh_hash, hash_of(secret)):
            return None, session_id
        now = datetime.now(UTC)
        if row.expires_at < now or not user.is_active:
            return None, None
        renewed = new_token()
        row.refresh_hash, row.last_seen_at, row.expires_at = hash_of(renewed), now, now + self._refresh_lifetime
        await session.flush()
        return self._tokens(user, session_id, renewed), None

    def _fingerprint(self, user: User, key: SecretStr) -> str:
        secret, kept = key.get_secret_value().encode(), f"{user.hashed_password} {user.email}".encode()
        return hmac.new(secret, kept, hashlib.sha256).hexdigest()[:32]

    def reset_token(self, user: User) -> str:
        """Return a token that sets a new password once, within an hour: it dies with the old password or address."""
        claims = {"sub": str(user.id), "fp": self._fingerprint(user, self._secret), "aud": RESET}
        return generate_jwt(claims, self._secret, RESET_LIFETIME, algorithm=self._algorithm)

    def reset_subject(self, token: str) -> tuple[UUID, str] | None:
        """Return the account and the fingerprint that a reset token names, or None for one that is not good."""
        try:
            claims = self._decoded(token, RESET)
            return UUID(claims["sub"]), str(claims["fp"])
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return None

    def may_reset(self, user: User, fingerprint: str) -> bool:
        """Whether password and address are still the ones that the reset token was made for."""
        return any(hmac.compare_digest(self._fingerprint(user, key), fingerprint) for key in self._accepted)


async def revoke(session: AsyncSession, user_id: UUID, *, only: UUID | None = None, keep: UUID | None = None) -> int:
    """End sessions of an account: the one named by `only`, or all but `keep`. Return how many ended."""
    query = update(AuthSession).where(AuthSession.user_id == user_id, AuthSession.revoked_at.is_(None))
    if only is not None:
        query = query.where(AuthSession.id == only)
    if keep is not None:
        query = query.where(AuthSession.id != keep)
    ended = await session.execute(query.values(revoked_at=func.now()).returning(AuthSession.id))
    ids = list(ended.scalars())
    await forget(session, ids)
    return len(ids)


async def revoke_session(session: AsyncSession, session_id: UUID) -> None:
    """End one session, whoever's it is: for a refresh token that was used twice."""
    await session.execute(update(AuthSession).where(AuthSession.id == session_id).values(revoked_at=func.now()))
    await forget(session, [session_id])


async def prune_sessions(session: AsyncSession) -> None:
    """Delete sessions that have ended: a refresh token that is used later is no good in any case."""
    month_ago = datetime.now(UTC) - timedelta(days=30)
    ended = (AuthSession.revoked_at < month_ago) | (AuthSession.expires_at < datetime.now(UTC))
    await session.execute(delete(AuthSession).where(ended))
