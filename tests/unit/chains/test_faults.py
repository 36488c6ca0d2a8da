from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from chains.faults import OutOfMemory, ServerFailed, error_for, error_in_stream, retry_after
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


def openai(code: str | None, message: str = "", kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# Bodies as the providers send them, where they are published or were seen.
CASES: list[tuple[int, object, type[AppError]]] = [
    (401, openai("invalid_api_key", "Incorrect API key provided: sk-abc."), ProviderAuthFailed),
    (403, openai("unsupported_country_region_territory"), ProviderAuthFailed),
    (404, openai("model_not_found", "The model `x` does not exist or you do not have access to it."), ModelNotFound),
    (404, {"error": "model 'x' not found"}, ModelNotFound),
    (404, {"error": 'model "x" not found, try pulling it first'}, ModelNotFound),
    (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, ModelNotFound),
    (404, "404 page not found", ProviderError),
    (400, openai("context_length_exceeded", "This model's maximum context length is 8192 tokens."), ContextTooLong),
    (400, {"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}}, ContextTooLong),
    (400, {"error": {"message": "the request exceeds the available context size"}}, ContextTooLong),
    (413, "too large", ContextTooLong),
    (400, openai("content_filter", "content management policy"), ContentRefused),
    (400, openai("content_policy_violation"), ContentRefused),
    (400, openai(None, "something else"), ProviderError),
    (429, openai("rate_limit_exceeded", "Rate limit reached"), ProviderRateLimited),
    (429, openai("insufficient_quota", "You exceeded your current quota", "insufficient_quota"), ProviderRateLimited),
    (402, "payment", ProviderRateLimited),
    (500, {"error": "model requires more system memory (5.6 GiB) than is available (2 GiB)"}, OutOfMemory),
    (500, openai(None, "The server had an error", "server_error"), ServerFailed),
    (502, "<html>Bad Gateway</html>", ProviderUnavailable),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, ProviderUnavailable),
    (504, "", ProviderTimeout),
    (529, {"type": "error", "error": {"type": "overloaded_error"}}, ProviderUnavailable),
    (418, None, ProviderError),
]


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_answers_are_told_apart(status: int, body: object, kind: type[AppError]) -> None:
    error = error_for(status, body)
    assert type(error) is kind
    assert "sk-abc" not in error.message


def test_used_up_credit_names_the_operator() -> None:
    assert "operator" in error_for(429, openai("insufficient_quota")).message


def test_loading_model_says_so() -> None:
    error = error_for(503, {"error": {"message": "Loading model"}})
    assert "loaded" in error.message
    assert error.retry_after == 3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0.5", 0.5), ("-3", 0), ("soon", None), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after_as_seconds(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_as_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"Retry-After": later}) == pytest.approx(30, abs=2)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"code": 401, "message": "x"}}, ProviderAuthFailed),
        ({"error": {"code": "401", "message": "x"}}, ProviderAuthFailed),
        ({"error": {"code": "rate_limit_exceeded"}}, ProviderRateLimited),
        ({"error": {"code": "context_length_exceeded"}}, ContextTooLong),
        ({"error": "llama runner process has terminated"}, ServerFailed),
        ({"error": None, "choices": []}, None),
        ({"choices": []}, None),
    ],
)
def test_errors_inside_a_stream(event: dict[str, Any], kind: type[AppError] | None) -> None:
    error = error_in_stream(event)
    assert (None if error is None else type(error)) is kind
