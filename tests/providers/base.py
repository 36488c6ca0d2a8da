"""The common part of the wire doubles: a server on loopback, a script, a record of requests."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar

from aiohttp import web

from tests.providers.brain import reply_to, tokens_of

T = TypeVar("T")
_HUGE = 10_000  # pieces of an answer without end
Fault = Literal[
    "refuse",
    "hang_before",
    "hang_between",
    "drop",
    "drop_before",
    "401",
    "401_once",
    "401_event",
    "429",
    "500",
    "503",
    "malformed",
    "empty",
    "slow",
    "huge",
    "endless_line",
    "no_model",
    "too_long",
    "refused",
    "error_in_stream",
    "html",
]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


_TITLE = "Write a title"  # as the product asks for one


@dataclass(slots=True)
class Script:
    """What happens to the next requests for a chat. `times` faults, then good days again; `every` n-th fails.

    `raw` is sent as it is, piece by piece. `rounds` are calls of tools (name, arguments as JSON or as the text that is
    sent) that are asked for one round after another, each behind the words of `preamble`; then comes the answer. A
    request for a conversation's title is answered with `title` where there is one.
    """

    reply: str | None = None
    tokens: list[str] | None = None
    delay: float = 0.0
    fault: Fault | None = None
    times: int | None = None
    every: int | None = None
    retry_after: str = "30"
    usage: bool = True
    raw: Sequence[bytes] | None = None
    raw_type: str = "text/event-stream"
    rounds: Sequence[Sequence[tuple[str, Any]]] = ()
    preamble: str = ""
    title: str | None = None
    seen: int = field(default=0, init=False)

    def next_fault(self) -> Fault | None:
        """Return the fault of this request."""
        self.seen += 1
        if self.every is not None and self.seen % self.every:
            return None
        if self.times is not None:
            if self.times <= 0:
                return None
            self.times -= 1
        return self.fault


class WireServer:
    """A server that speaks one provider's wire. `async with` starts and stops it.

    `asked` is set by the first chat, `left` by the first client that goes before its answer is complete; the times of
    the latter are in `gone_at`.
    """

    kind: ClassVar[str]
    base_path: ClassVar[str] = ""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, record: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        self._host, self._port, self._record = host, port, record
        self._tls = tls
        self._script = Script()
        self._server: asyncio.Server | None = None
        self._handlers: web.Server | None = None
        self.requests: list[Recorded] = []
        self.streaming = 0
        self.gone_at: list[float] = []
        self.hang_lists = False
        # What a server says that refuses each request with tools.
        self.no_tools = ""
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    @property
    def url(self) -> str:
        """The address that a setting takes."""
        return f"{self.origin}{self.base_path}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._handlers.connections) if self._handlers else 0

    @property
    def chats(self) -> list[Recorded]:
        """The requests for an answer, without those for a title: these come some time behind an answer."""
        return [request for request in self._models_asked() if _TITLE not in str(request.body)]

    @property
    def titles(self) -> list[Recorded]:
        """The requests for a conversation's title."""
        return [request for request in self._models_asked() if _TITLE in str(request.body)]

    def _models_asked(self) -> list[Recorded]:
        return [request for request in self.requests if self.is_chat(request.path)]

    async def up(self) -> None:
        """Listen, at the same port as before."""
        self._handlers = web.Server(self._handle, handler_cancellation=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._handlers, self._host, self._port, backlog=1024, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Stop listening and drop every connection: further calls are refused by the kernel."""
        if self._server is None or self._handlers is None:
            return
        self._server.close()
        for connection in self._handlers.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._handlers.shutdown(0.1)
        self._server = self._handlers = None

    def script(self, **what: Any) -> None:
        """Say how to answer from now on: the fields of Script. No argument brings the good days back."""
        self._script = Script(**what)

    def is_chat(self, path: str) -> bool:
        """Tell whether a path asks for an answer."""
        raise NotImplementedError

    async def answer(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        """Answer a request that is no chat."""
        raise NotImplementedError

    def error(self, status: int, code: str, message: str) -> web.Response:
        """Return an error in the provider's own shape."""
        raise NotImplementedError

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        form = request.content_type == "application/x-www-form-urlencoded"
        body = dict(await request.post()) if form else (json.loads(raw) if raw else None)
        if self._record:
            self.requests.append(Recorded(request.method, request.path, dict(request.headers), body))
        if not self.is_chat(request.path):
            if self.hang_lists:
                await self.hang()
            return await self.answer(request, body)
        self.asked.set()
        if self.no_tools and body and body.get("tools"):
            return self.error(400, "BadRequestError", self.no_tools)
        fault = self._script.next_fault()
        if fault and (early := await self._fail_early(request, fault)):
            return early
        if self._script.raw is not None:
            return await self.send(request, self._script.raw_type, self._pieces(self._script.raw), None)
        return await self.chat_with(request, body, fault)

    async def _pieces(self, raw: Sequence[bytes]) -> AsyncIterator[bytes]:
        async for piece in self.paced(list(raw), None):
            yield piece

    async def chat_with(self, request: web.BaseRequest, body: Any, fault: Fault | None) -> web.StreamResponse:
        """Answer a chat, with a fault that shows in its middle."""
        raise NotImplementedError

    async def _fail_early(self, request: web.BaseRequest, fault: Fault) -> web.Response | None:
        if fault in ("refuse", "drop_before"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        if fault == "hang_before":
            await self.hang()
        answers: dict[str, tuple[int, str, str]] = {
            "401": (401, "invalid_api_key", "Incorrect API key provided: sk-secret-1234."),
            "401_once": (401, "invalid_api_key", "The token is not valid."),
            "500": (500, "server_error", "Traceback (most recent call last): secret-internal-detail"),
            "503": (503, "overloaded", "The server is overloaded."),
            "no_model": (404, "model_not_found", "The model `nope` does not exist."),
            "too_long": (
                400,
                "context_length_exceeded",
                "This model's maximum context length is 8192 tokens. Please reduce the length.",
            ),
            "refused": (400, "content_filter", "The response was filtered by the content_policy."),
        }
        if fault == "401_once" and self._script.times is None:
            self._script.times = 0
        if fault == "429":
            limited = self.error(429, "rate_limit_exceeded", "Rate limit reached for org-secret.")
            limited.headers["Retry-After"] = self._script.retry_after
            return limited
        if fault == "html":
            return web.Response(text="<html>Bad day</html>", content_type="text/html")
        return self.error(*answers[fault]) if fault in answers else None

    def _gone(self) -> None:
        self.gone_at.append(asyncio.get_running_loop().time())
        self.left.set()

    async def hang(self) -> None:
        """Say nothing until the client goes."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._gone()
            raise

    async def send(
        self, request: web.BaseRequest, content_type: str, frames: AsyncIterator[bytes], fault: Fault | None
    ) -> web.StreamResponse:
        """Stream `frames`; with a fault stop being good after the third."""
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        if fault in ("empty", "401_event"):
            await response.write(b'data: {"error":{"code":401,"message":"expired"}}\n\n' if fault != "empty" else b"")
            await response.write_eof()
            return response
        self.streaming += 1
        number = 0
        try:
            async for frame in frames:
                await response.write(frame)
                number += 1
                if number == 4 and fault:
                    await self._fail_late(request, response, fault)
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            self._gone()
            raise asyncio.CancelledError from None  # quiet: a client may go
        finally:
            self.streaming -= 1
        return response

    async def _fail_late(self, request: web.BaseRequest, response: web.StreamResponse, fault: Fault) -> None:
        if fault == "hang_between":
            await self.hang()
        assert request.transport is not None
        if fault == "drop":
            request.transport.abort()
            raise asyncio.CancelledError
        if fault == "malformed":
            await response.write(self.broken_frame())
        if fault == "endless_line":
            while not request.transport.is_closing():
                await response.write(b"x" * 65536)
            raise asyncio.CancelledError
        if fault == "error_in_stream":
            await response.write(self.error_frame())

    def broken_frame(self) -> bytes:
        """Return a frame that is no JSON."""
        raise NotImplementedError

    def error_frame(self) -> bytes:
        """Return an error in the middle of a stream."""
        raise NotImplementedError

    def tokens(self, messages: list[dict[str, str]], fault: Fault | None) -> list[str]:
        """Return the answer's tokens."""
        if fault == "huge":
            return ["word " * 50] * _HUGE
        if self._script.title is not None and any(_TITLE in message["text"] for message in messages):
            return tokens_of(self._script.title)
        if self._script.tokens is not None:
            return self._script.tokens
        return tokens_of(self._script.reply if self._script.reply is not None else reply_to(messages))

    def calls_due(self, body: Any) -> Sequence[tuple[str, Any]]:
        """Return the calls of tools that the script wants now: as many rounds are over as the prompt's end shows."""
        over = 0
        for message in reversed(body["messages"]):
            if message["role"] == "user":
                break
            over += bool(message.get("tool_calls"))
        rounds = self._script.rounds if body.get("tools") else ()
        return rounds[over] if over < len(rounds) else ()

    @staticmethod
    def limited(tokens: list[str], most: Any) -> tuple[list[str], str]:
        """Return what a request's limit leaves of an answer, and the reason of its end."""
        limit = int(most or 0)
        if len(tokens) == _HUGE:  # a server that knows no limit
            return tokens, "stop"
        return (tokens[:limit], "length") if 0 < limit < len(tokens) else (tokens, "stop")

    async def paced(self, tokens: list[T], fault: Fault | None) -> AsyncIterator[T]:
        """Yield the tokens at the script's pace, on a schedule that does not drift."""
        delay = self._script.delay or (0.03 if fault == "slow" else 0)
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number, token in enumerate(tokens):
            if delay and (left := started + number * delay - loop.time()) > 0:
                await asyncio.sleep(left)
            yield token
