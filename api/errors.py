"""One handler for everything that goes wrong: the envelope, the status, the log line."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from api.openai.errors import PREFIX, error_body, status_of
from api.recent import RecentErrors
from api.root_path import path_of
from api.schemas.common import ErrorEnvelope
from llama_service import errors
from llama_service.errors import AppError
from persistence.decisions import UnknownStep
from persistence.session import DATABASE_AWAY

# Addresses that only programs ask: what is not there is told as an error, never as a page.
APIS = ("api/", "v1/", "langgraph/")
log = structlog.get_logger(__name__)

# What pydantic calls the limits that a value may break.
_LIMITS = ("max_length", "min_length", "le", "lt", "ge", "gt")
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

_BY_STATUS: dict[int, type[AppError]] = {
    400: errors.BadRequest,
    401: errors.NotAuthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    413: errors.FileTooLarge,
    429: errors.RateLimited,
}


def request_id_of(request: Request) -> str:
    """Return the id of a request, given by the middleware."""
    return str(request.scope.get("state", {}).get("request_id", "-"))


def envelope(error: AppError, request_id: str) -> dict[str, Any]:
    """Return an error as the API shows it."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, "request_id": request_id}
    if error.details:
        body["details"] = error.details
    return {"error": body}


def respond(error: AppError, request: Request) -> Response:
    """Return the answer for an error, in the shape of its door, with the headers that belong to it."""
    request_id = request_id_of(request)
    # Also here, since the answer to what nobody foresaw does not pass the middleware.
    headers = {"X-Request-ID": request_id}
    if error.retry_after is not None or error.status in (429, 503):
        headers["Retry-After"] = str(max(1, round(error.retry_after or 5)))
    if error.status == 413:
        # The rest of the body is not wanted: without this it would be read to its end and thrown away.
        headers["Connection"] = "close"
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if path_of(request).startswith(f"{PREFIX}/"):
        return JSONResponse(error_body(error), status_code=status_of(error), headers=headers)
    return JSONResponse(envelope(error, request_id), status_code=error.status, headers=headers)


def _told(request: Request, error: AppError) -> Response:
    """Return the answer for an error; what is not the caller's fault is shown to administrators."""
    if error.status >= 500:
        recent: RecentErrors = request.app.state.recent_errors
        recent.note(request_id_of(request), f"{request.method} {path_of(request)}", error.code, error.status)
    return respond(error, request)


def _known(request: Request, error: AppError) -> Response:
    if error.status == 401 and _is_page_of_langserve(request):
        return RedirectResponse(f"{request.scope.get('root_path', '')}/sign-in")
    if isinstance(error, errors.MethodNotAllowed):
        return wrong_method(request)
    if error.status >= 500:
        log.warning("request_failed", code=error.code, path=path_of(request))
    return _told(request, error)


def _is_page_of_langserve(request: Request) -> bool:
    """Whether a person opens the playground in a browser; a program is told in the envelope."""
    opens_a_page = "text/html" in request.headers.get("accept", "")
    return request.method == "GET" and opens_a_page and path_of(request).startswith("/langserve/")


def _invalid(request: Request, error: RequestValidationError) -> Response:
    if _is_misread(request):
        return wrong_method(request)
    if any(wrong["type"] == "json_invalid" for wrong in error.errors()):
        return _told(request, errors.BadRequest("The body is not JSON."))
    return _told(request, errors.ValidationFailed(details=details_of(error)))


def wrong_method(request: Request) -> Response:
    """Refuse a method by name of those that the address has, or the address where it has none.

    The last route of all, which answers for the page's files, matches every address and counts for itself alone.
    """
    *own, last = request.app.routes
    allowed = _literal(request) or _methods(request, own)
    if not allowed and path_of(request)[1:].startswith(APIS):
        return respond(errors.NotFound(), request)
    answer = respond(errors.MethodNotAllowed(), request)
    answer.headers["Allow"] = ", ".join(allowed or _methods(request, [last]))
    return answer


def _is_misread(request: Request) -> bool:
    """Whether an address was read as the parameter of another one: `GET /files/upload`, which only takes POST."""
    methods = _literal(request)
    return bool(methods) and request.method not in methods


def _literal(request: Request) -> list[str]:
    """Return the methods of a path that is written so, without parameters, in the API's description."""
    return sorted(method.upper() for method in request.app.openapi()["paths"].get(path_of(request), ()))


def _methods(request: Request, routes: Sequence[BaseRoute]) -> list[str]:
    """Return the methods that any of these routes takes at the address of a request."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def details_of(invalid: RequestValidationError | ValidationError, *prefix: str) -> list[dict[str, Any]]:
    """Return what is wrong with an input, and which limit it breaks. Not the input: a password may be in it."""
    return [_detail(error) | {"loc": [*prefix, *error["loc"]]} for error in invalid.errors()]


def _detail(error: Mapping[str, Any]) -> dict[str, Any]:
    context = error.get("ctx", {})
    broken = context.get("error")
    # Pydantic puts the name of the exception before its words.
    message = str(broken) if isinstance(broken, Exception) else error["msg"]
    detail = {"loc": list(error["loc"]), "msg": message, "type": error["type"]}
    if isinstance(broken, errors.InvalidValue):
        detail["code"] = broken.code
    elif message.startswith("value is not a valid email address"):
        detail["code"] = "email"
    limit = next((context[name] for name in _LIMITS if isinstance(context.get(name), int | float)), None)
    return detail if limit is None else detail | {"limit": limit}


def unknown_step(unknown: UnknownStep, *place: str) -> errors.ValidationFailed:
    """Return the error for a decision, at a place of the request, about a step that nobody asks about."""
    told = {"loc": list(place), "msg": f"the run does not wait for {unknown.step_id[:200]}", "type": "unknown_step"}
    return errors.ValidationFailed(details=[told])


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(AppError)
    async def known(request: Request, error: AppError) -> Response:
        return _known(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _invalid(request, error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return wrong_method(request)
        kind = _BY_STATUS.get(error.status_code, errors.BadRequest if error.status_code < 500 else AppError)
        return respond(kind(), request)

    async def database(request: Request, error: Exception) -> Response:
        log.error("dependency_unavailable", error=type(error).__name__, path=path_of(request))
        return _told(request, errors.DependencyUnavailable())

    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, database)

    @app.exception_handler(DBAPIError)
    async def broken(request: Request, error: DBAPIError) -> Response:
        # 53: insufficient resources, such as too many connections.
        if error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith("53"):
            return await database(request, error)
        return await unexpected(request, error)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("unexpected_error", path=path_of(request), exc_info=error)
        return _told(request, AppError())


def responses(*kinds: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the errors that a route may answer with."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        codes = found.setdefault(kind.status, {"model": ErrorEnvelope, "description": ""})
        line = f"`{kind.code}`: {(kind.__doc__ or '').strip()}"
        codes["description"] = "\n\n".join(filter(None, [codes["description"], line]))
    return found
