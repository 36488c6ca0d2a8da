"""Signed-in calls of an AI HUB: the token is put in, and once replaced where the hub does not take it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from chains.providers.aihub_token import Account, Tokens
from chains.providers.reading import LineReader
from chains.providers.wire import Call, Refused, Wire, borrowed


@dataclass(slots=True)
class Access:
    """Where an AI HUB is and who asks; shared by its chat models and embeddings.

    Without a `wire` each call opens a session of its own.
    """

    hub_url: str
    account: Account
    wire: Wire | None = None
    tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.account)

    def url(self, path: str) -> str:
        """Return the address of `path`, which may be a whole address of its own."""
        return path if path.startswith(("http://", "https://")) else f"{self.hub_url}/{path.lstrip('/')}"

    async def json(self, path: str, payload: object = None, *, trace: str = "", within: float | None = None) -> Any:
        """Return the parsed answer; without a payload it is a GET. Raises an AppError."""
        try:
            async with borrowed(self.wire) as wire:
                token = await self.tokens.get(wire)
                try:
                    return await wire.json(self._call(path, payload, token, trace), within=within)
                except Refused as refusal:
                    if refusal.status != 401:
                        raise
                self.tokens.reject(token)
                token = await self.tokens.get(wire)
                return await wire.json(self._call(path, payload, token, trace), within=within)
        except Refused as refusal:
            raise refusal.error from None

    @asynccontextmanager
    async def stream(self, path: str, payload: object, *, trace: str = "") -> AsyncIterator[LineReader]:
        """Hand out the lines of a streamed answer. Raises Refused, or an AppError."""
        async with borrowed(self.wire) as wire, AsyncExitStack() as stack:
            token = await self.tokens.get(wire)
            try:
                opened = wire.stream(self._call(path, payload, token, trace))
                lines = await stack.enter_async_context(opened)
            except Refused as refusal:
                if refusal.status != 401:
                    raise
                self.tokens.reject(token)
                token = await self.tokens.get(wire)
                opened = wire.stream(self._call(path, payload, token, trace))
                lines = await stack.enter_async_context(opened)
            yield lines

    def renew(self) -> None:
        """Forget the token: an event of a stream told that it is no longer good."""
        self.tokens.forget()

    def _call(self, path: str, payload: object, token: str, trace: str) -> Call:
        headers = {"Authorization": f"Bearer {token}", "traceId": trace or uuid4().hex}
        method = "GET" if payload is None else "POST"
        return Call(self.url(path), payload, headers, method, verify_tls=self.account.verify_tls)
