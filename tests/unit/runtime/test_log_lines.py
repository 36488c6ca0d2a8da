import json
import logging
import warnings
from collections.abc import Iterator

import asyncpg
import httpx
import psycopg
import pytest
import structlog
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from llama_service.errors import Interrupted, OperatorError
from llama_service.logging import configure_logging, redact
from llama_service.settings import load_settings

SECRET = "the patient has measles"


@pytest.fixture
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    showwarning = warnings.showwarning
    yield
    logging.captureWarnings(False)
    warnings.showwarning = showwarning
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _configure(log_format: str, level: str = "INFO") -> None:
    configure_logging(load_settings(jwt_secret_key="k" * 40, log_format=log_format, log_level=level))


@pytest.mark.usefixtures("_restore")
def test_json_lines_carry_context_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("json")
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger("mine").info("turn_done", tokens=3, input_tokens=2, password="hunter2")
    logging.getLogger("uvicorn.error").warning("hello %s", "there")
    logging.getLogger("uvicorn.access").info("GET / 200")
    structlog.get_logger("mine").debug("too_fine")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["event"] == "turn_done"
    assert first["level"] == "info"
    assert first["request_id"] == "r-1"
    assert first["password"] == "***"
    assert (first["tokens"], first["input_tokens"]) == (3, 2)
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["logger"], second["request_id"]) == ("hello there", "uvicorn.error", "r-1")


@pytest.mark.usefixtures("_restore")
def test_console_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("console")
    structlog.get_logger("mine").warning("child_died", child="chroma")
    line = capsys.readouterr().err
    assert "child_died" in line
    assert "child=chroma" in line


@pytest.mark.usefixtures("_restore")
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_others_write_stays_in_its_line(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A path, a file's ending or a tool's name that would begin a line of its own, or steer the terminal."""
    _configure(log_format)
    structlog.get_logger("mine").warning("request_failed", path="/a\n2026-11-30 [info] signed_in\r\x1b[2J\u2028x")
    (line,) = capsys.readouterr().err.splitlines()
    assert "signed_in" in line
    assert not {"\r", "\u2028"} & set(line)
    assert "\x1b[2J" not in line


@pytest.mark.usefixtures("_restore")
def test_tracebacks_are_cleaned_too(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("json")
    try:
        raise RuntimeError("cannot reach postgresql://llama:hunter2@db/llama")
    except RuntimeError:
        structlog.get_logger("mine").exception("boom")
    (entry,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert "RuntimeError" in entry["exception"]
    assert "hunter2" not in json.dumps(entry)


class Person(BaseModel):
    """Somebody with a number."""

    age: int


def quoting() -> Iterator[Exception]:
    """Yield errors that quote what they were given."""
    yield asyncpg.exceptions.UniqueViolationError(f"Key (words)=({SECRET}) already exists.")
    yield asyncpg.exceptions.DataError(f"invalid input for query argument $1: {SECRET!r}")
    yield IntegrityError("INSERT INTO said VALUES ($1)", [SECRET], asyncpg.PostgresError(SECRET))
    yield psycopg.errors.InvalidTextRepresentation(f'invalid input syntax for type integer: "{SECRET}"')
    yield httpx.InvalidURL(SECRET)
    yield Exception(SECRET)
    yield KeyError(SECRET)
    for read in (int, float, Person.model_validate_strings):
        try:
            read(SECRET)
        except ValueError as error:
            yield error


@pytest.mark.usefixtures("_restore")
@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("error", [*quoting()], ids=lambda error: type(error).__name__)
def test_what_an_error_quotes_is_not_told(
    error: Exception, log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By itself, behind another error, in a group, with a note, and in the words of a library's line."""
    _configure(log_format)
    error.add_note(SECRET)
    try:
        try:
            raise error
        except Exception as first:
            raise ExceptionGroup("several", [first, KeyError(SECRET)]) from first
    except ExceptionGroup:
        structlog.get_logger("mine").exception("boom")
    told = f"Task exception was never retrieved\nfuture: <Task finished exception={error!r}> {error}"
    logging.getLogger("asyncio").error(told, exc_info=error)
    written = capsys.readouterr().err
    assert type(error).__qualname__ in written
    assert "test_log_lines.py" in written, "where it was raised"
    assert "measles" not in written


@pytest.mark.usefixtures("_restore")
def test_what_a_database_says_without_quoting_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("json")
    refused = asyncpg.exceptions.UniqueViolationError(SECRET)
    refused.constraint_name = "uq_said_words"
    logging.getLogger("mine").error("boom", exc_info=refused)
    (entry,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    told = "asyncpg.exceptions.UniqueViolationError (SQLSTATE 23505, constraint uq_said_words)"
    assert entry["exception"].splitlines()[-1] == told


@pytest.mark.usefixtures("_restore")
@pytest.mark.parametrize(
    "error",
    [
        OperatorError("set CHROMA_URL"),
        Interrupted(),
        ConnectionRefusedError(111, "Connection refused"),
        AttributeError("'NoneType' object has no attribute 'id'"),
        RuntimeError("Response content longer than Content-Length"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_words_that_quote_nothing_are_told(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    _configure("json")
    logging.getLogger("mine").error("boom", exc_info=error)
    (entry,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert str(error) in entry["exception"]


@pytest.mark.usefixtures("_restore")
def test_errors_that_lead_to_each_other_in_a_circle_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("json")
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    logging.getLogger("mine").error("boom", exc_info=first)
    (entry,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (entry["exception"].count("first"), entry["exception"].count("second")) == (1, 1)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "x", "***"),
        ("access_token", "x", "***"),
        ("Authorization", "Bearer x", "***"),
        ("client_secret", "x", "***"),
        ("api_key", "x", "***"),
        ("openai-api-key", "x", "***"),
        ("set-cookie", "x", "***"),
        ("password", None, None),
        ("total_tokens", 7, 7),
        ("dsn", "postgresql://u:p@h/d", "postgresql://***@h/d"),
        ("note", "sent Bearer abc.def", "sent Bearer ***"),
        (
            "event",
            "UserWarning: Expected `int` [field_name='age', input_value='one, or two', input_type=str]",
            "UserWarning: Expected `int` [field_name='age', input_value=***, input_type=str]",
        ),
        ("headers", {"cookie": "a=b", "accept": "*/*"}, {"cookie": "***", "accept": "*/*"}),
        ("list", [{"token": "x"}], [{"token": "***"}]),
    ],
)
def test_redaction(key: str, value: object, shown: object) -> None:
    assert redact(None, "info", {key: value}) == {key: shown}
