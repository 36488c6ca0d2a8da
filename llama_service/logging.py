"""Logs: one line per event, readable in a terminal and JSON elsewhere; other libraries' records go the same way."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from llama_service.settings import Settings
from llama_service.tracebacks import error_of, traceback_of, without_words

_MASK = "***"
# `token` but not `input_tokens`, which is a count.
_SECRET_KEY = re.compile(
    r"(^|[_.-])(password|passwd|token|secret|api[_-]?key|authorization|cookie|cookies)$", re.IGNORECASE
)
_SECRET_TEXT = (
    (re.compile(r"(://)[^/@\s]*:[^@\s]*@"), r"\1***@"),
    (re.compile(r"(bearer\s+)[\w.~+/=-]+", re.IGNORECASE), r"\1***"),
    # How Pydantic quotes an input, in its warnings too.
    (re.compile(r"(input_value=).*?(, input_type=)", re.DOTALL), r"\1***\2"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# `mcp` logs the ids of sessions and what servers answer; what matters of it is a step's reason.
_QUIET = {
    "uvicorn.access": logging.CRITICAL,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "mcp": logging.CRITICAL,
    "alembic.runtime.plugins": logging.WARNING,
}


def configure_logging(settings: Settings) -> None:
    """Send structlog's and the standard library's records to stderr in one format, from `LOG_LEVEL` up.

    Context variables bound with `structlog.contextvars` (the request id) appear on every line; values whose name looks
    like a secret are masked, and exceptions are told without what they quote.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last_steps(settings))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    _route_libraries()


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask the values of keys that look like secrets, and credentials inside of text."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if value is not None and _SECRET_KEY.search(key):
        return _MASK
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {name: _clean(str(name), item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        cleaned = [_clean(key, item) for item in value]
        return tuple(cleaned) if isinstance(value, tuple) else cleaned  # as a record's `exc_info` is looked for
    return value


def _last_steps(settings: Settings) -> list[Processor]:
    first: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _tell_error]
    for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    if for_people:
        return [
            *first,
            _in_one_line,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # for a text that is one already
            ),
        ]
    return [*first, structlog.processors.JSONRenderer()]


def _in_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show control characters in values as escapes: what others have named begins no line and steers no terminal."""
    told = {"event", "exception", "stack"}  # of our own making
    return {
        key: _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
        if isinstance(value, str) and key not in told
        else value
        for key, value in event.items()
    }


def _tell_error(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put the traceback of a record's exception beside it, without the words that may be somebody's text."""
    error = error_of(event.pop("exc_info", None))
    if error is not None:
        event["event"] = without_words(str(event["event"]), error)
        event.update(redact(logger, method, {"exception": traceback_of(error)}))
    return event


def _route_libraries() -> None:
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("uvicorn", "sqlalchemy", "alembic", "procrastinate"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
