"""Every error that a caller may see.

    AppError                     500 internal_error
    ├── BadRequest               400 bad_request
    ├── NotAuthenticated         401 not_authenticated
    │   ├── InvalidCredentials   401 invalid_credentials
    │   ├── CodeRequired         401 code_required
    │   ├── SignInFailed         401 sign_in_failed
    │   └── TokenExpired         401 token_expired
    ├── Forbidden                403 forbidden
    │   ├── ModelNotAllowed      403 model_not_allowed
    │   ├── ScopeMissing         403 scope_missing
    │   ├── SignInDenied         403 sign_in_denied
    │   ├── SignInNeeded         403 sign_in_needed
    │   └── SecondFactorRequired 403 second_factor_required
    ├── NotFound                 404 not_found
    ├── Conflict                 409 conflict
    │   ├── AccountExists        409 account_exists
    │   └── LegalHold            409 legal_hold
    ├── FileTooLarge             413 file_too_large
    ├── QuotaExceeded            413 quota_exceeded
    ├── UnsupportedFileType      415 unsupported_file_type
    ├── ValidationFailed         422 validation_error
    ├── ModelCannot              422 model_cannot
    ├── ToolUnknown              422 tool_unknown
    ├── RateLimited              429 rate_limited
    ├── ProviderError            502 provider_error
    │   ├── ProviderAuthFailed       provider_auth_failed
    │   ├── ModelNotFound            model_not_found
    │   ├── ContextTooLong           context_too_long
    │   ├── ContentRefused           content_refused
    │   └── ProviderBadAnswer        provider_bad_answer
    ├── ProviderUnavailable      503 provider_unavailable
    │   ├── ProviderRateLimited      provider_rate_limited
    │   └── ProviderBusy             provider_busy
    ├── DependencyUnavailable    503 dependency_unavailable
    ├── ProviderTimeout          504 provider_timeout
    ├── Interrupted              503 interrupted
    ├── RunGivenUp               500 run_given_up
    └── NotWaiting               409 not_waiting

A class's docstring is its default message: one sentence that says what the reader can do. Text of unexpected
exceptions, bodies of providers and secrets never enter a message.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

Details = Sequence[Mapping[str, Any]]


def reason_of(reason: str, message: str, *, field: str | None = None, limit: float | None = None) -> dict[str, Any]:
    """Return the detail of an error that tells its reason, the field of the body that it lies in, and the limit."""
    detail: dict[str, Any] = {"loc": ["body", field] if field else [], "msg": message, "type": reason}
    return detail if limit is None else detail | {"limit": limit}


class OperatorError(Exception):
    """What whoever runs the service has to know and do; its text is a sentence for them. Commands end with it."""


class InvalidValue(ValueError):
    """A value breaks a rule of ours, in words for the caller and with a code that the page says in other languages."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AppError(Exception):
    """Something went wrong on our side; the request id finds it in the log."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Details | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = list(details) if details else None
        self.retry_after = retry_after
        super().__init__(self.message)

    @classmethod
    def because(cls, reason: str, message: str, *, field: str | None = None, limit: float | None = None) -> Self:
        """Return the error with a detail that tells its reason apart: the page says it in other languages."""
        detail = reason_of(reason, message, field=field, limit=limit)
        return cls(message, details=[detail])


class BadRequest(AppError):
    """The request can't be processed as it is."""

    status = 400
    code = "bad_request"


class MethodNotAllowed(AppError):
    """This address does not take this method; the header `Allow` names those that it takes."""

    status = 405
    code = "method_not_allowed"


class BudgetExceeded(AppError):
    """Your budget for models is used up."""

    status = 402
    code = "budget_exceeded"


class NotAuthenticated(AppError):
    """Not authenticated"""

    status = 401
    code = "not_authenticated"


class InvalidCredentials(NotAuthenticated):
    """Wrong name or password."""

    code = "invalid_credentials"


class CodeRequired(NotAuthenticated):
    """Enter the code of your authenticator app, or a recovery code."""

    code = "code_required"


class SignInFailed(NotAuthenticated):
    """The sign-in could not be completed; start it again."""

    code = "sign_in_failed"


class TokenExpired(NotAuthenticated):
    """The session has expired or was ended; sign in again."""

    code = "token_expired"


class Forbidden(AppError):
    """You don't have permission."""

    status = 403
    code = "forbidden"


class ModelNotAllowed(Forbidden):
    """You may not use this model; choose another one."""

    code = "model_not_allowed"


class ScopeMissing(Forbidden):
    """This API key does not cover what was asked for; make one with the scope that is needed."""

    code = "scope_missing"


class SignInDenied(Forbidden):
    """Your account may not use this service; ask an administrator."""

    code = "sign_in_denied"


class SignInNeeded(Forbidden):
    """This model is asked in your own name; sign in with your company account, then ask again."""

    code = "sign_in_needed"


class SecondFactorRequired(Forbidden):
    """Administrators need two-factor sign-in here: set it up under Account."""

    code = "second_factor_required"


class NotFound(AppError):
    """Not found, or you don't have access."""

    status = 404
    code = "not_found"


class Conflict(AppError):
    """Already exists."""

    status = 409
    code = "conflict"


class AccountExists(Conflict):
    """There is an account with this e-mail address already; sign in with its password, or ask an administrator."""

    code = "account_exists"


class LegalHold(Conflict):
    """This is under legal hold and can't be deleted until an administrator releases it."""

    code = "legal_hold"


class FileTooLarge(AppError):
    """The file is too large for this server."""

    status = 413
    code = "file_too_large"

    @classmethod
    def over(cls, limit: int) -> Self:
        """Return the error for a file of more than so many bytes."""
        megabytes = limit / 1048576
        return cls.because("file_limit", f"The file is larger than {megabytes:g} MB.", limit=megabytes)


class QuotaExceeded(AppError):
    """Your storage is full; delete files to make room."""

    status = 413
    code = "quota_exceeded"


class UnsupportedFileType(AppError):
    """This type of file is not supported."""

    status = 415
    code = "unsupported_file_type"


class ValidationFailed(AppError):
    """Request validation failed"""

    status = 422
    code = "validation_error"


class ModelCannot(AppError):
    """This model can't do that; choose another one."""

    status = 422
    code = "model_cannot"


class ToolUnknown(AppError):
    """There is no tool of this name here."""

    status = 422
    code = "tool_unknown"


class RateLimited(AppError):
    """Too many attempts; try again in a moment."""

    status = 429
    code = "rate_limited"


class ProviderError(AppError):
    """The model provider returned an error; try again or choose another model."""

    status = 502
    code = "provider_error"


class ProviderAuthFailed(ProviderError):
    """The model provider refused this server's credentials; the operator has to check them."""

    code = "provider_auth_failed"


class ModelNotFound(ProviderError):
    """The provider has no model of this name; choose another one."""

    code = "model_not_found"


class ContextTooLong(ProviderError):
    """The chat is too long for this model; start a new one or choose a model with a larger context."""

    code = "context_too_long"


class ContentRefused(ProviderError):
    """The provider refused this content; rephrase the question."""

    code = "content_refused"


class ProviderBadAnswer(ProviderError):
    """The model provider's answer could not be read; try again or choose another model."""

    code = "provider_bad_answer"


class ProviderUnavailable(AppError):
    """The model provider can't be reached; try again later or choose another model."""

    status = 503
    code = "provider_unavailable"


class ProviderRateLimited(ProviderUnavailable):
    """The model provider is limiting this server's requests; try again later."""

    code = "provider_rate_limited"


class ProviderBusy(ProviderUnavailable):
    """This model is busy and its queue is full; try again in a moment."""

    code = "provider_busy"


class DependencyUnavailable(AppError):
    """A part of this server is unavailable; try again later."""

    status = 503
    code = "dependency_unavailable"


class ProviderTimeout(AppError):
    """The model provider did not answer in time; try again or choose another model."""

    status = 504
    code = "provider_timeout"


class Interrupted(AppError):
    """The server was stopped while it was writing this answer; continue it or ask again."""

    status = 503
    code = "interrupted"


class RunGivenUp(AppError):
    """The server failed several times while writing this answer; ask again, or tell the operator."""

    code = "run_given_up"


class NotWaiting(AppError):
    """This run is not waiting for a decision."""

    status = 409
    code = "not_waiting"


def error_of(code: str, message: str) -> AppError:
    """Return the error of this code, as another process has recorded it."""
    kinds = [AppError]
    while kinds:
        kind = kinds.pop()
        if kind.code == code:
            return kind(message)
        kinds += kind.__subclasses__()
    return AppError(message)
