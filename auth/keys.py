"""API keys: how programs sign in. A key is shown once; what is kept of it is a hash, a name and what it may do."""

from datetime import UTC, datetime
from typing import Final, Literal, get_args
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth.tokens import Account, Caller
from llama_service.errors import Conflict, Forbidden, NotAuthenticated, TokenExpired
from persistence.changes import change_or_not_found
from persistence.secret_tokens import hash_of, new_token
from persistence.session import Database, Statement
from persistence.sessions import SEEN_EVERY
from persistence.tables import ApiKey

Scope = Literal["chat", "conversations:read", "conversations:write", "files:read", "files:write", "models:read"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX: Final = "ls_"
_SHOWN = 8  # characters of a key that are kept to tell it from others
_MOST = 100  # keys of an account that are not revoked

_CALLER = Statement(
    """
    SELECT u.id, u.username, u.email, u.hashed_password, u.is_active, u.is_superuser, u.is_verified,
           u.created_at, k.id AS key_id, k.scopes, k.expires_at, k.last_used_at
    FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.key_hash = :hash AND k.revoked_at IS NULL
    """
)
_USED = Statement("UPDATE api_keys SET last_used_at = clock_timestamp() WHERE id = :key")


def is_key(token: str) -> bool:
    """Whether a token has the form of a key."""
    return token.startswith(PREFIX)


async def create_key(
    session: AsyncSession, user_id: UUID, *, name: str, scopes: list[Scope], expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """Make a key of the user's; return its row, and the key, which nobody can find out again.

    Raises Conflict where the user has very many.
    """
    mine = select(func.count()).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    if int(await session.scalar(mine) or 0) >= _MOST:
        raise Conflict.because("too_many_keys", f"You have {_MOST} keys; revoke one that you don't need.", limit=_MOST)
    key = PREFIX + new_token()
    row = ApiKey(
        user_id=user_id,
        name=name,
        prefix=key[: len(PREFIX) + _SHOWN],
        key_hash=hash_of(key),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row, key


async def list_keys(session: AsyncSession, user_id: UUID) -> list[ApiKey]:
    """Return the user's keys that are not revoked, newest first; expired ones are among them."""
    query = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None)).order_by(ApiKey.id.desc())
    return list((await session.execute(query)).scalars())


async def revoke_key(session: AsyncSession, user_id: UUID, key_id: UUID) -> None:
    """End a key of the user's, at once and everywhere. Raises NotFound."""
    await change_or_not_found(
        session,
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp()),
    )


async def caller_of(database: Database, key: str) -> Caller:
    """Return whose key this is and what it may do, with one query.

    Raises NotAuthenticated for an unknown or revoked key, TokenExpired for one whose time is over, Forbidden for an
    account that is switched off.
    """
    async with database.raw(transaction=False) as connection:
        found = await connection.row(_CALLER, {"hash": hash_of(key)})
        if found is None:
            raise NotAuthenticated("This API key is unknown or revoked.")
        now = datetime.now(UTC)
        if found["expires_at"] is not None and found["expires_at"] <= now:
            raise TokenExpired("This API key has expired; make a new one.")
        if not found["is_active"]:
            raise Forbidden.because("account_off", "This account is switched off; ask an administrator.")
        if found["last_used_at"] is None or now - found["last_used_at"] > SEEN_EVERY:
            await connection.rows(_USED, {"key": found["key_id"]})
    account = Account(*(found[name] for name in Account.__dataclass_fields__))
    return Caller(account, found["key_id"], frozenset(found["scopes"]))
