"""Access tokens of Keycloak: cached, refreshed early, fetched by one flight for all who wait.

Only the monotonic clock and the answer's `expires_in` are used, so clocks that differ between hosts do no harm.
"""

import asyncio
import random
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog

from chains.providers.wire import Call, Refused, Wire
from llama_service.errors import ProviderAuthFailed, ProviderBadAnswer

log = structlog.get_logger(__name__)

DEFAULT_LIFETIME_SECONDS = 300.0


class SignInFailed(ProviderAuthFailed):
    """AI HUB's sign-in server refused this server's account; the operator has to check the AIHUB_ settings."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who signs in, and where. With `username` and `password` the password grant is used, else the client's own."""

    token_url: str
    client_id: str
    client_secret: str
    username: str | None = None
    password: str | None = None
    verify_tls: bool = True

    def call(self, form: dict[str, str] | None = None) -> Call:
        """Return the request for a token: of this account, or what `form` asks for in the client's name."""
        if form is None:
            form = {"grant_type": "client_credentials"}
            if self.username and self.password:
                form = {"grant_type": "password", "username": self.username, "password": self.password}
        basic = b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "traceId": uuid4().hex}
        return Call(self.token_url, headers=headers, form=form, verify_tls=self.verify_tls)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the times (of the monotonic clock) when it is renewed and when it ends."""

    value: str
    refresh_at: float
    expires_at: float


class Tokens:
    """The current token of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._token: Token | None = None
        self._flight: asyncio.Task[Token] | None = None

    async def get(self, wire: Wire) -> str:
        """Return a token that is good for now. Raises SignInFailed or another AppError.

        Shortly before the end of its life the old token is returned while a new one is being fetched.
        """
        now = time.monotonic()
        token = self._token
        if token is not None and now < token.expires_at:
            if now >= token.refresh_at:
                self._fly(wire)
            return token.value
        return (await asyncio.shield(self._fly(wire))).value

    def reject(self, value: str) -> None:
        """Forget `value`, which the hub did not take; a newer token stays."""
        if self._token is not None and self._token.value == value:
            self._token = None

    def forget(self) -> None:
        """Fetch a new token for the next call."""
        self._token = None

    def _fly(self, wire: Wire) -> "asyncio.Task[Token]":
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fetch(wire), name="aihub-token")
            self._flight.add_done_callback(_note_failure)
        return self._flight

    async def _fetch(self, wire: Wire) -> Token:
        try:
            answer = await wire.json(self._account.call())
        except Refused as refusal:
            if refusal.status in (400, 401, 403):
                raise SignInFailed from None
            raise refusal.error from None
        self._token = token_of(answer)
        return self._token


def token_of(answer: Any) -> Token:
    """Return the token of a sign-in server's answer. Raises ProviderBadAnswer."""
    value = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value:
        raise ProviderBadAnswer("AI HUB's sign-in server gave no token; the operator has to check its address.")
    told = answer.get("expires_in")
    lifetime = float(told) if isinstance(told, int | float) and told > 0 else DEFAULT_LIFETIME_SECONDS
    now = time.monotonic()
    early = lifetime * random.uniform(0.70, 0.85)  # noqa: S311  (spreads the refreshes of several workers)
    return Token(value, now + early, now + lifetime - min(10.0, lifetime * 0.1))


def _note_failure(flight: "asyncio.Task[Token]") -> None:
    if not flight.cancelled() and (error := flight.exception()) is not None:
        log.warning("aihub_sign_in_failed", code=getattr(error, "code", type(error).__name__))
