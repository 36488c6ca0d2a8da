"""Errors as the log tells them: where they were raised and of which class, never what they quote.

Libraries put what they were given into the words of an exception: a driver the parameter that Postgres refuses,
Postgres the row that is there already, Pydantic the input. So words are shown of those alone who quote nothing: errors
of ours that callers and operators read anyway, and those of Python itself but for the classes that are about a value.
"""

import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

from llama_service.errors import AppError, OperatorError

# A key that is missing, a number that is none, a text that can't be decoded: the words are the value.
_QUOTING: Final = (ValueError, LookupError, SyntaxError, AssertionError)
_BARE: Final = (Exception, BaseException)  # anybody raises these with any words
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_SHORTEST: Final = 4  # letters of words that are looked for in a line


def error_of(exc_info: Any) -> BaseException | None:
    """Return the exception that a record tells of, in any of the forms that `exc_info` may have."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def traceback_of(error: BaseException) -> str:
    """Return an exception's traceback, with those that led to it, as Python prints it but for the words."""
    return "\n".join(_lines(error, set()))


def without_words(text: str, error: BaseException) -> str:
    """Return a text without the words of an exception: asyncio writes tasks with their exceptions into its lines."""
    for part in _every(error, set()):
        if not _quotes_nothing(part):
            for words in (repr(part), str(part)):
                if len(words) >= _SHORTEST:
                    text = text.replace(words, _name(part))
    return text


def described(error: BaseException) -> str:
    """Return an exception's class, with its words where they quote nothing, or what a database says beside them."""
    if _quotes_nothing(error):
        words = str(error)
        return f"{_name(error)}: {words}" if words else _name(error)
    state, constraint = getattr(error, "sqlstate", None), _constraint(error)
    told = [f"SQLSTATE {state}"] if isinstance(state, str) and _SQLSTATE.fullmatch(state) else []
    told += [f"constraint {constraint}"] if constraint else []
    return f"{_name(error)} ({', '.join(told)})" if told else _name(error)


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _quotes_nothing(error: BaseException) -> bool:
    kind = type(error)
    if issubclass(kind, AppError | OperatorError):
        return True
    return kind.__module__ == "builtins" and kind not in _BARE and not issubclass(kind, _QUOTING)


def _constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that was violated, as asyncpg and psycopg have it."""
    name = getattr(error, "constraint_name", None) or getattr(getattr(error, "diag", None), "constraint_name", None)
    return name if isinstance(name, str) else None


def _before(error: BaseException) -> tuple[BaseException | None, str]:
    """Return the exception that led to this one, and how Python says so."""
    if error.__cause__ is not None:
        return error.__cause__, "The above exception was the direct cause of the following exception:"
    earlier = None if error.__suppress_context__ else error.__context__
    return earlier, "During handling of the above exception, another exception occurred:"


def _chain(error: BaseException, seen: set[int]) -> list[tuple[BaseException, str]]:
    """Return an exception behind those that led to it, each with what stands between it and the one before."""
    found: list[tuple[BaseException, str]] = []
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        earlier, words = _before(current)
        found.append((current, words))
        current = earlier
    return found[::-1]


def _every(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    for part, _ in _chain(error, seen):
        yield part
        for inner in part.exceptions if isinstance(part, BaseExceptionGroup) else ():
            yield from _every(inner, seen)


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    for number, (part, words) in enumerate(_chain(error, seen)):
        if number:
            yield f"\n{words}\n"
        if part.__traceback__ is not None:
            yield "Traceback (most recent call last):"
            yield "".join(traceback.format_tb(part.__traceback__)).rstrip("\n")
        yield described(part)
        for inner in part.exceptions if isinstance(part, BaseExceptionGroup) else ():
            yield "  +----------------"
            yield from (f"  | {line}" for told in _lines(inner, seen) for line in told.split("\n"))
