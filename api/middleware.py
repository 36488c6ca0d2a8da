"""What every request passes through, as plain ASGI: ids, one log line, metrics, security headers.

Starlette's BaseHTTPMiddleware would put a task and a queue between a stream and its client.
"""

import re
import time
from uuid import uuid4

import structlog
from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_service import tracing
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
