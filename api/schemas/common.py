"""Shapes that every part of the API uses."""

from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from llama_service.errors import InvalidValue

Item = TypeVar("Item")

_INTEGERS: Final = range(-(2**63), 2**63)
_DEPTH: Final = 100  # of JSON; its readers and writers give up at some hundreds


def _ahead(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise InvalidValue("past", "lies in the past")
    return moment


Future = Annotated[AwareDatetime, AfterValidator(_ahead)]
"""A moment that is still to come."""


class Shape(BaseModel):
    """Base of the answers: read from objects, absent values are null."""

    model_config = ConfigDict(from_attributes=True)


def clean_text(text: str) -> str:
    """Return a text without what Postgres can't hold: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def clean(value: Any, depth: int = _DEPTH) -> Any:
    """Return a value of JSON as it can be kept and told: its texts and names are clean.

    Raises a ValueError of pydantic for what can't be cleaned: numbers that are none (NaN, Infinity) or that 64 bits
    don't hold, and more than 100 levels.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict | list) and depth == 0:
        raise PydanticCustomError("too_deep", "Values have at most {levels} levels", {"levels": _DEPTH})
    if isinstance(value, list):
        return [clean(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, int) and value not in _INTEGERS:
        raise PydanticCustomError("too_large", "Whole numbers have at most 64 bits")
    if isinstance(value, float) and not isfinite(value):
        raise PydanticCustomError("finite_number", "Numbers are finite")
    return value


class Body(BaseModel):
    """Base of what clients send as JSON; the parts of a body need no other one."""

    @model_validator(mode="before")
    @classmethod
    def _what_can_be_kept(cls, values: Any) -> Any:
        return clean(values) if isinstance(values, dict) else values


class ErrorDetail(Shape):
    """What went wrong. `details` is there only where there is something to point at."""

    code: str
    message: str
    request_id: str
    details: list[dict[str, Any]] | None = None


class ErrorEnvelope(Shape):
    """The one shape of all errors."""

    error: ErrorDetail


class Page(Shape, Generic[Item]):
    """A part of a list; `next_cursor` leads to the next one, null at the end."""

    items: list[Item]
    next_cursor: str | None = Field(default=None)
