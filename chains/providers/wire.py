"""HTTP to the providers: one pooled session, and its errors in our words. Nothing here knows a provider's format."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

from chains.faults import BrokeOff, CertificateRefused, ConnectFailed, ConnectTimedOut, error_for
from chains.providers.reading import LineReader, Watchdog
from llama_service.errors import AppError, ProviderBadAnswer, ProviderTimeout, ProviderUnavailable
from llama_service.settings import Settings

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Bound for answers that are read whole: 1,000 embeddings of 3,072 numbers are about 40 MB of JSON."""

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step may take, in seconds."""

    connect: float
    first: float
    between: float

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Take them from the settings."""
        return cls(
            settings.provider_connect_timeout,
            settings.provider_first_token_timeout,
            settings.provider_between_tokens_timeout,
        )


@dataclass(slots=True)
class Call:
    """One request: where to, with what. `payload` is sent as JSON, `form` as a form."""

    url: str
    payload: object = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    form: Mapping[str, str] | None = None
    verify_tls: bool = True


def parse_json(data: bytes) -> Any:
    """Parse an answer's JSON; raise ProviderBadAnswer where it is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProviderBadAnswer from error


async def _read_all(response: aiohttp.ClientResponse) -> bytes:
    parts = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ProviderBadAnswer
        parts.append(part)
    return b"".join(parts)


async def _refusal(response: aiohttp.ClientResponse) -> "Refused":
    raw = await response.content.read(65536)
    try:
        body: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = raw.decode("utf-8", "replace")
    return Refused(response.status, body, error_for(response.status, body, response.headers))


_REUSED = "reused"


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _told: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.add(_REUSED)


class Refused(Exception):
    """An answer of status 300 or more; redirects are not followed, they would carry keys elsewhere.

    Providers look at it, then raise `error`.
    """

    def __init__(self, status: int, body: object, error: AppError) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.error = error


class Wire:
    """The HTTP session that all providers share; open between `start` and `close`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str] = {}

    async def start(self) -> None:
        """Open the pool of connections. The number of calls is limited by the policy, not here."""
        self._proxies = getproxies()
        timeout = aiohttp.ClientTimeout(total=None, connect=self.limits.connect)
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30)
        traces = aiohttp.TraceConfig()
        traces.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[traces]
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def json(self, call: Call, *, within: float | None = None) -> Any:
        """Send `call` and return the parsed answer.

        `within` bounds the whole exchange in seconds; default is the time to the first token. Raises Refused
        for an HTTP error, else an AppError.
        """
        try:
            async with asyncio.timeout(within or self.limits.first):
                response = await self._send(call)
                async with response:
                    if response.status >= 300:
                        raise await _refusal(response)
                    return parse_json(await _read_all(response))
        except TimeoutError as error:
            raise ProviderTimeout from error
        except aiohttp.ClientError as error:
            raise BrokeOff from error

    @asynccontextmanager
    async def stream_learning(
        self, call: Callable[[], Call], learn: Callable[[Refused], bool]
    ) -> AsyncIterator[LineReader]:
        """Like `stream`; asked again as long as `learn` takes from a refusal what the next `call` leaves out."""
        async with AsyncExitStack() as stack:
            while True:
                try:
                    lines = await stack.enter_async_context(self.stream(call()))
                    break
                except Refused as refusal:
                    if not learn(refusal):
                        raise
            yield lines

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[LineReader]:
        """Send `call` and hand out the lines of its answer.

        Leaving the block early closes the connection, which ends the provider's work. Raises Refused for an
        HTTP error, else an AppError.
        """
        started = time.monotonic()
        call.headers.setdefault("Accept-Encoding", "identity")  # a compressed stream waits for full blocks
        try:
            async with asyncio.timeout(self.limits.first):
                response = await self._send(call)
                if response.status >= 300:
                    async with response:
                        raise await _refusal(response)
        except TimeoutError as error:
            raise ProviderTimeout from error
        left = max(0.001, self.limits.first - (time.monotonic() - started))
        watchdog = Watchdog(left, self.limits.between, lambda: response.content.set_exception(ProviderTimeout()))
        try:
            yield LineReader(response, watchdog)
        finally:
            watchdog.cancel()
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json, text/event-stream", **call.headers}
        body: bytes | Mapping[str, str] | None = call.form
        if call.payload is not None:
            body = orjson.dumps(call.payload)
            headers["Content-Type"] = "application/json"
        while True:
            seen: set[str] = set()
            try:
                return await self._request(call, headers, body, seen)
            except aiohttp.ServerTimeoutError as error:
                raise ConnectTimedOut from error
            except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
                raise CertificateRefused from error
            except aiohttp.ClientConnectorError as error:
                raise ConnectFailed from error
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # The server closed a connection of the pool just now: that says nothing about its health. The dead
                # connection has left the pool, so this comes to an end.
                if _REUSED not in seen:
                    raise ProviderUnavailable from error
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                raise ProviderUnavailable from error
            except (aiohttp.ClientError, ValueError) as error:
                raise ProviderBadAnswer from error

    async def _request(
        self, call: Call, headers: Mapping[str, str], body: bytes | Mapping[str, str] | None, seen: set[str]
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the model registry is not started")
        return await self._session.request(
            call.method,
            call.url,
            data=body,
            headers=headers,
            proxy=self._proxy(call.url),
            ssl=call.verify_tls,
            allow_redirects=False,
            trace_request_ctx=seen,
        )

    def _proxy(self, url: str) -> str | None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not self._proxies or host in _LOOPBACK or proxy_bypass(host):
            return None
        return self._proxies.get(parts.scheme)


@asynccontextmanager
async def borrowed(wire: Wire | None) -> AsyncIterator[Wire]:
    """Hand out `wire`, or one of its own for a model that is used without a registry."""
    if wire is not None:
        yield wire
        return
    own = Wire(Limits(connect=3, first=120, between=60))
    await own.start()
    try:
        yield own
    finally:
        await own.close()
