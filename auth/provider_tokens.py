"""Tokens of the providers that people have signed in through: encrypted, refreshed early, gone with the session."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth.oidc import GrantRefused, LogoutToken, OidcClient, TokenAnswer
from llama_service.errors import SignInNeeded
from llama_service.vault import Vault
from persistence.session import Database
from persistence.tables import AuthSession, ProviderSession, User

log = structlog.get_logger(__name__)

EARLY: Final = timedelta(seconds=30)  # before its end an access token is renewed


class ProviderTokens:
    """Keeps what a sign-in through a provider has brought, for as long as the session of ours stands."""

    def __init__(self, database: Database, vault: Vault, clients: Mapping[str, OidcClient]) -> None:
        self._database = database
        self._vault = vault
        self._clients = clients
        # A provider that is slow must not take every connection to the database: each renewal holds one.
        self._renewing = asyncio.Semaphore(2)

    def _seal(self, session_id: UUID, tokens: TokenAnswer, before: Mapping[str, str]) -> dict[str, Any]:
        kept = {
            name: value
            for name in ("access_token", "refresh_token", "id_token")
            if (value := getattr(tokens, name) or before.get(name))
        }
        ends = datetime.now(UTC) + timedelta(seconds=tokens.expires_in)
        return {"tokens": self._vault.seal(kept, ProviderSession.__tablename__, session_id), "access_expires_at": ends}

    def _open(self, row: ProviderSession) -> dict[str, str]:
        return self._vault.open(row.tokens, ProviderSession.__tablename__, row.session_id) or {}

    async def keep(
        self,
        session: AsyncSession,
        session_id: UUID,
        user_id: UUID,
        name: str,
        tokens: TokenAnswer,
        claims: Mapping[str, Any],
    ) -> None:
        """Note the tokens of a sign-in beside the session that it has begun here."""
        sid = claims.get("sid")
        session.add(
            ProviderSession(
                session_id=session_id,
                user_id=user_id,
                provider=name,
                subject=str(claims["sub"]),
                sid=sid[:255] if isinstance(sid, str) else None,
                **self._seal(session_id, tokens, {}),
            )
        )
        await session.flush()

    async def of_session(self, session: AsyncSession, session_id: UUID) -> tuple[str, str | None] | None:
        """Return a session's provider and ID token, None for one that came without a provider."""
        row = await session.get(ProviderSession, session_id)
        if row is None:
            return None
        return row.provider, self._open(row).get("id_token")

    async def access_token(self, user_id: UUID, name: str) -> tuple[str, UUID]:
        """Return a good access token of the user's newest session through the provider, and that session's id.

        Raises SignInNeeded where there is none (any more), DependencyUnavailable.
        """
        query = (
            select(ProviderSession)
            .join(AuthSession, AuthSession.id == ProviderSession.session_id)
            .join(User, User.id == ProviderSession.user_id)
            .where(ProviderSession.user_id == user_id, ProviderSession.provider == name)
            .where(AuthSession.revoked_at.is_(None), AuthSession.expires_at > datetime.now(UTC), User.is_active)
            .order_by(ProviderSession.created_at.desc())
            .limit(1)
        )
        async with self._database.reading() as session:
            row = (await session.execute(query)).scalar_one_or_none()
        if row is None:
            raise SignInNeeded
        if (token := self._good(row)) is not None:
            return token, row.session_id
        async with self._renewing:
            return await self._renewed(query, name), row.session_id

    def _good(self, row: ProviderSession) -> str | None:
        """Return a row's access token, None where it ends soon or was encrypted under another key."""
        if row.access_expires_at - EARLY <= datetime.now(UTC):
            return None
        return self._open(row).get("access_token")

    async def _renewed(self, query: Any, name: str) -> str:
        """Refresh the tokens of a session; one worker does it while the others wait for its row."""
        ended: UUID | None = None
        async with self._database.transaction() as session:
            row = (await session.execute(query.with_for_update(of=ProviderSession))).scalar_one_or_none()
            if row is None:
                raise SignInNeeded
            if (token := self._good(row)) is not None:
                return token
            kept = self._open(row)
            client = self._clients.get(name)
            if client is None or "refresh_token" not in kept:
                raise SignInNeeded
            try:
                tokens = await client.refresh(kept["refresh_token"])
            except GrantRefused:
                ended = row.session_id
            else:
                for field, value in self._seal(row.session_id, tokens, kept).items():
                    setattr(row, field, value)
                return tokens.access_token
        async with self._database.transaction() as session:
            await session.execute(delete(ProviderSession).where(ProviderSession.session_id == ended))
        log.info("provider_session_ended", provider=name, session_id=str(ended))
        raise SignInNeeded


async def came_through(session: AsyncSession, session_id: UUID) -> bool:
    """Whether a session of ours began at a provider."""
    return await session.get(ProviderSession, session_id) is not None


async def end_sessions(session: AsyncSession, name: str, told: LogoutToken) -> int:
    """End the sessions of ours that a provider's logout token names; return how many."""
    theirs = select(ProviderSession.session_id).where(ProviderSession.provider == name)
    if told.sid is not None:
        theirs = theirs.where(ProviderSession.sid == told.sid)
    if told.subject is not None:
        theirs = theirs.where(ProviderSession.subject == told.subject)
    ended = await session.execute(
        update(AuthSession)
        .where(AuthSession.id.in_(theirs), AuthSession.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .returning(AuthSession.id)
    )
    ids = list(ended.scalars())
    await forget(session, ids)
    return len(ids)


async def forget(session: AsyncSession, session_ids: Sequence[UUID]) -> None:
    """Delete the tokens of sessions that have ended."""
    if session_ids:
        await session.execute(delete(ProviderSession).where(ProviderSession.session_id.in_(session_ids)))
