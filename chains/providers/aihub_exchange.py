"""Tokens of the AI HUB for whoever chats: exchanged for what their own sign-in has brought (RFC 8693)."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from chains.providers.aihub_token import Account, Token, token_of
from chains.providers.wire import Refused, Wire
from llama_service.errors import SignInDenied, SignInNeeded

log = structlog.get_logger(__name__)

# Returns a user's access token at the provider that they have signed in through, and the session of ours that it
# belongs to. Raises SignInNeeded where there is none (any more).
SubjectTokens = Callable[[UUID], Awaitable[tuple[str, UUID]]]

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_KEPT = 2048  # users


class HubDenied(SignInDenied):
    """AI HUB does not take your account; ask an administrator for access to it."""


@dataclass(frozen=True, slots=True)
class _Exchanged:
    session_id: UUID
    token: Token


class ExchangedTokens:
    """Tokens of users, each good for its own calls alone; forgotten when the session that brought it has ended."""

    def __init__(self, account: Account, subjects: SubjectTokens, audience: str) -> None:
        self._account = account
        self._subjects = subjects
        self._audience = audience
        self._kept: OrderedDict[UUID, _Exchanged] = OrderedDict()
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def get(self, wire: Wire, user_id: UUID) -> str:
        """Return a good token of the user's. Raises SignInNeeded, HubDenied, or another AppError.

        Each call asks whether the user is still signed in: what was exchanged is gone with that.
        """
        async with self._locks.setdefault(user_id, asyncio.Lock()):
            try:
                subject, session_id = await self._subjects(user_id)
            except SignInNeeded:
                self._kept.pop(user_id, None)
                raise
            kept = self._kept.get(user_id)
            if kept is None or kept.session_id != session_id or time.monotonic() >= kept.token.refresh_at:
                kept = _Exchanged(session_id, await self._exchange(wire, subject))
                self._kept[user_id] = kept
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return kept.token.value

    def reject(self, user_id: UUID, value: str | None = None) -> None:
        """Forget a token that the hub did not take; a newer one stays. Without a value, whatever is kept."""
        kept = self._kept.get(user_id)
        if kept is not None and value in (None, kept.token.value):
            del self._kept[user_id]

    async def _exchange(self, wire: Wire, subject: str) -> Token:
        form = {
            "grant_type": _GRANT,
            "subject_token": subject,
            "subject_token_type": _ACCESS_TOKEN,
            "requested_token_type": _ACCESS_TOKEN,
        }
        if self._audience:
            form["audience"] = self._audience
        try:
            answer = await wire.json(self._account.call(form))
        except Refused as refusal:
            if refusal.status in (400, 401, 403):
                error = refusal.body.get("error") if isinstance(refusal.body, dict) else None
                log.warning("aihub_exchange_refused", status=refusal.status, error=str(error)[:60])
                raise HubDenied from None
            raise refusal.error from None
        return token_of(answer)
