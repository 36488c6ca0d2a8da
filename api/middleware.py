"""What every request passes through, as plain ASGI: ids, one log line, metrics, security headers.

Starlette's BaseHTTPMiddleware would put a task and a queue between a stream and its client.
"""

import re
import time
from uuid import uuid4

import structlog
from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import respond
from llama_service import tracing
from llama_service.errors import FileTooLarge
from llama_service.metrics import REQUEST_SECONDS, REQUESTS, REQUESTS_OPEN
from llama_service.origin import ORIGIN, Origin

log = structlog.get_logger("llama_service.requests")

_SANE_ID = re.compile(r"[\w.:\-]{1,128}")
_QUIET = {"/health", "/ready", "/metrics"}

# No inline script and no eval; what a model or a file says can't reach another origin.
# Pictures of other hosts: the page loads one when its reader has agreed to the host (ui/src/shared/markdown).
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob: https:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


_READS_ITS_BODY = "reads_its_body"
_PICTURES = ("/v1/", "/langgraph/", "/langserve/")  # whose bodies may hold pictures and whole conversations
_MOST, _MOST_WITH_PICTURES = 4 * 1024 * 1024, 32 * 1024 * 1024  # bytes


def without_limit(request: Request) -> None:
    """Let a route read the body of its request as it comes; the route says how long that may be."""
    request.scope["state"][_READS_ITS_BODY] = True


class BodyLimitMiddleware:
    """Refuses bodies that are longer than any that is meant: they are read whole before anybody asks who sends them.

    FastAPI's own `max_body_size` answers in plain text, past the envelope and the headers that all answers have.
    """

    def __init__(self, app: ASGIApp, longest_message: int) -> None:
        self._app = app
        # A character takes up to four bytes, or six where JSON escapes it.
        self._most = max(_MOST, 8 * longest_message)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with 413 as soon as its body is too long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with_pictures = get_route_path(scope).startswith(_PICTURES)
        most = max(self._most, _MOST_WITH_PICTURES) if with_pictures else self._most
        too_long = FileTooLarge(f"The request is longer than {most // 1048576} MB.")
        told = dict(scope["headers"]).get(b"content-length", b"")
        announced = int(told) if told.isdigit() else 0
        size, refused, answered = 0, False, False

        async def bounded() -> Message:
            nonlocal size, refused
            is_bounded = not scope["state"].get(_READS_ITS_BODY)
            message: Message = {} if is_bounded and announced > most else await receive()
            size += len(message.get("body", b""))
            if is_bounded and max(size, announced) > most:
                refused = True
                raise too_long
            return message

        async def reply(message: Message) -> None:
            nonlocal answered
            if not refused:
                await send(message)
            elif not answered:
                # Whatever the route makes of it: FastAPI takes a body that can't be read for its caller's mistake.
                answered = True
                await respond(too_long, Request(scope))(scope, receive, send)

        await self._app(scope, bounded, reply)


class RequestMiddleware:
    """Gives a request its id, logs it in one line, counts it and sets the headers that all answers have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        tracing.note({"llama.request.id": request_id})
        if trace_id := tracing.trace_id():
            structlog.contextvars.bind_contextvars(trace_id=trace_id)
        client = scope.get("client")
        ORIGIN.set(Origin(client[0] if client else None, request_id))
        began = time.perf_counter()
        status, answered = 500, began

        async def reply(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], time.perf_counter()
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("X-Frame-Options", "DENY")
                if headers.get("content-type", "").startswith("text/event-stream"):
                    headers.setdefault("X-Accel-Buffering", "no")  # nginx: hand each event on at once
            await send(message)

        REQUESTS_OPEN.inc()
        try:
            await self._app(scope, receive, reply)
        finally:
            REQUESTS_OPEN.dec()
            self._note(scope, status, answered - began, time.perf_counter() - began)

    @staticmethod
    def _request_id(scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value.decode("latin-1")
                if _SANE_ID.fullmatch(given):
                    return str(given)
        return uuid4().hex

    @staticmethod
    def _note(scope: Scope, status: int, first: float, whole: float) -> None:
        route = _route(scope)
        method = scope["method"]
        REQUESTS.labels(method, route, str(status)).inc()
        REQUEST_SECONDS.labels(method, route).observe(first)
        user = scope["state"].get("user_id")
        write = log.debug if get_route_path(scope) in _QUIET and status < 400 else log.info
        write("request", method=method, route=route, status=status, ms=round(whole * 1000, 1), user=user)


def _route(scope: Scope) -> str:
    """Return the path with its parameters' names instead of their values: few labels, no ids in metrics."""
    if "route" not in scope:
        return "/*"
    path = get_route_path(scope)
    for name, value in scope.get("path_params", {}).items():
        if name == "path":
            return "/*"
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path
