"""Signed-in calls of an AI HUB: the token is put in, and once replaced where the hub does not take it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from chains.providers.aihub_exchange import ExchangedTokens
from chains.providers.aihub_token import Account, Tokens
from chains.providers.reading import LineReader
from chains.providers.wire import Call, Refused, Wire, borrowed


@dataclass(slots=True)
class Access:
    """Where an AI HUB is and who asks; shared by its chat models and embeddings.

    With `exchanged`, calls that name a user are made in that user's name; all others by the service's own account.
    Without a `wire` each call opens a session of its own.
    """

    hub_url: str
    account: Account
    wire: Wire | None = None
    exchanged: ExchangedTokens | None = None
    tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.account)

    def url(self, path: str) -> str:
        """Return the address of `path`, which may be a whole address of its own."""
        return path if path.startswith(("http://", "https://")) else f"{self.hub_url}/{path.lstrip('/')}"

    async def json(
        self,
        path: str,
        payload: object = None,
        *,
        trace: str = "",
        within: float | None = None,
        user_id: UUID | None = None,
    ) -> Any:
        """Return the parsed answer; without a payload it is a GET. Raises an AppError."""
        try:
            async with borrowed(self.wire) as wire:
                token = await self._token(wire, user_id)
                try:
                    return await wire.json(self._call(path, payload, token, trace), within=within)
                except Refused as refusal:
                    if refusal.status != 401:
                        raise
                self._reject(token, user_id)
                token = await self._token(wire, user_id)
                return await wire.json(self._call(path, payload, token, trace), within=within)
        except Refused as refusal:
            raise refusal.error from None

    @asynccontextmanager
    async def stream(
        self, path: str, payload: object, *, trace: str = "", user_id: UUID | None = None
    ) -> AsyncIterator[LineReader]:
        """Hand out the lines of a streamed answer. Raises Refused, or an AppError."""
        async with borrowed(self.wire) as wire, AsyncExitStack() as stack:
            token = await self._token(wire, user_id)
            try:
                opened = wire.stream(self._call(path, payload, token, trace))
                lines = await stack.enter_async_context(opened)
            except Refused as refusal:
                if refusal.status != 401:
                    raise
                self._reject(token, user_id)
                token = await self._token(wire, user_id)
                opened = wire.stream(self._call(path, payload, token, trace))
                lines = await stack.enter_async_context(opened)
            yield lines

    def renew(self, user_id: UUID | None = None) -> None:
        """Forget the token: an event of a stream told that it is no longer good."""
        if self.exchanged is not None and user_id is not None:
            self.exchanged.reject(user_id)
        else:
            self.tokens.forget()

    def acts_for(self, user_id: UUID | None) -> bool:
        """Whether a call that names this user is made in the user's own name."""
        return self.exchanged is not None and user_id is not None

    async def _token(self, wire: Wire, user_id: UUID | None) -> str:
        if self.exchanged is not None and user_id is not None:
            return await self.exchanged.get(wire, user_id)
        return await self.tokens.get(wire)

    def _reject(self, token: str, user_id: UUID | None) -> None:
        if self.exchanged is not None and user_id is not None:
            self.exchanged.reject(user_id, token)
        else:
            self.tokens.reject(token)

    def _call(self, path: str, payload: object, token: str, trace: str) -> Call:
        headers = {"Authorization": f"Bearer {token}", "traceId": trace or uuid4().hex}
        method = "GET" if payload is None else "POST"
        return Call(self.url(path), payload, headers, method, verify_tls=self.account.verify_tls)
