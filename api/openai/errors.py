"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Sequence
from typing import Any, Final

from llama_service.errors import AppError

PREFIX: Final = "/v1"
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}

_STATUS = {
    "model_not_found": 404,
    "context_too_long": 400,
    "content_refused": 400,
    "provider_rate_limited": 429,
    "provider_busy": 429,
}


def error_body(error: AppError) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it; `param` is the name of what was wrong in the request."""
    status = status_of(error)
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    loc: Sequence[Any] = error.details[0].get("loc", ()) if error.details else ()
    param = ".".join(str(part) for part in loc if part != "body") or None
    message = error.message
    if param and error.details:
        message = f"{message} ({param}: {error.details[0].get('msg')})"
    return {"error": {"message": message, "type": kind, "param": param, "code": error.code}}


def status_of(error: AppError) -> int:
    """Return the status that OpenAI gives such an error: its clients choose their exception, and a repeat, by it."""
    return _STATUS.get(error.code, 400 if error.status == 422 else error.status)
