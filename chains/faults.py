"""What can go wrong with a provider, finer than the reader's codes, and how an HTTP answer tells it.

These classes keep the code and status of their parent in `llama_service.errors`; from the class the policy of
`chains.resilience` reads whether a call may be repeated and whether the provider counts as down.
Bodies of providers are looked at to tell errors apart and then dropped: nothing of them enters a message.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from llama_service.errors import (
    AppError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    ProviderAuthFailed,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)


class ServerFailed(ProviderError):
    """The model provider failed on its own side; try again or choose another model."""


class OutOfMemory(ProviderError):
    """The machine of this model has too little free memory for it; choose a smaller model."""


class ConnectTimedOut(ProviderUnavailable):
    """The model provider does not accept connections; try again later or choose another model."""


class ConnectFailed(ProviderUnavailable):
    """The model provider can't be reached; try again later or choose another model."""


class CertificateRefused(ProviderUnavailable):
    """The model provider's TLS certificate can't be verified; the operator has to check it."""


class CircuitOpen(ProviderUnavailable):
    """The model provider failed several times in a row and is left alone for a moment; try again soon."""


class NotConfigured(ProviderUnavailable):
    """This model provider is not set up on this server; choose another model."""


class BrokeOff(ProviderUnavailable):
    """The connection to the model provider broke off before the answer was complete; try again."""


_TOO_LONG = re.compile(
    r"context_length|maximum context|context (size|length|window)|exceed_context|prompt is too long"
    r"|too many tokens|input length|reduce the length"
)
_REFUSED = re.compile(r"content_filter|content_policy|content management policy|moderation|safety system")
_NO_MODEL = re.compile(r"model_not_found|invalid_model|model\b.{0,200}?(not found|does not exist|not exist|not loaded)")
_NO_MEMORY = re.compile(r"more system memory|out of memory|insufficient memory|cuda error")
_NO_CREDIT = re.compile(r"insufficient_quota|billing|credit balance|payment")
_BAD_KEY = re.compile(r"invalid_api_key|incorrect api key|invalid_client|invalid_grant|unauthorized_client")
_LOADING = re.compile(r"loading model|model is loading|currently loading")


def complaint(body: object) -> str:
    """Return the words of an error body in lower case, to be matched and never shown."""
    if not isinstance(body, dict):
        return str(body)[:2000].lower()
    error = body.get("error", body)
    if isinstance(error, dict):
        parts = [error.get(key) for key in ("code", "type", "param", "message", "detail", "error_description")]
    else:
        parts = [error, body.get("error_description"), body.get("message"), body.get("detail")]
    return " ".join(str(part) for part in parts if part)[:4000].lower()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (RFC 9110, 10.2.3: seconds or a date) asks to wait."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _by_words(words: str) -> AppError | None:
    if _TOO_LONG.search(words):
        return ContextTooLong()
    if _REFUSED.search(words):
        return ContentRefused()
    if _NO_MEMORY.search(words):
        return OutOfMemory()
    if _BAD_KEY.search(words):
        return ProviderAuthFailed()
    return ModelNotFound() if _NO_MODEL.search(words) else None


def _rate_limited(words: str, wait: float | None) -> AppError:
    if _NO_CREDIT.search(words):
        return ProviderRateLimited(
            "This server's credit with the model provider is used up; the operator has to look into it.",
            retry_after=wait or 3600,
        )
    return ProviderRateLimited(retry_after=wait if wait is not None else 10)


def error_for(status: int, body: object, headers: Mapping[str, str] | None = None) -> AppError:
    """Return the error that an answer of `status` (0: an error inside a stream) means."""
    words = complaint(body)
    wait = retry_after(headers or {})
    if status in (402, 429) or (status == 0 and "rate_limit" in words):
        return _rate_limited(words, wait)
    if status in (401, 403):
        return ContentRefused() if _REFUSED.search(words) else ProviderAuthFailed()
    if _LOADING.search(words):
        return ProviderUnavailable("The model is still being loaded; try again in a moment.", retry_after=wait or 3)
    if found := _by_words(words):
        return found
    if status == 404 and not isinstance(body, dict):
        return ProviderError("The model provider does not know this address; the operator has to check its URL.")
    return _by_status(status, wait)


def _by_status(status: int, wait: float | None) -> AppError:
    if status == 404:
        return ModelNotFound()
    if status in (408, 504):
        return ProviderTimeout(retry_after=wait)
    if status in (502, 503, 529):
        return ProviderUnavailable(retry_after=wait)
    if status >= 500 or status == 0:
        return ServerFailed(retry_after=wait)
    if status == 413:
        return ContextTooLong()
    return ProviderError()


def error_in_stream(event: Mapping[str, Any]) -> AppError | None:
    """Return the error that an event of a stream carries, None where it carries none."""
    error = event.get("error")
    if not error:
        return None
    status = error.get("code", 0) if isinstance(error, dict) else 0
    return error_for(int(status) if str(status).isdigit() else 0, event)
