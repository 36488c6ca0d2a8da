"""Shapes that every part of the API uses."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Item = TypeVar("Item")


class Shape(BaseModel):
    """Base of the answers: read from objects, absent values are null."""

    model_config = ConfigDict(from_attributes=True)


def _clean(value: Any) -> Any:
    """Return a value without what no text in Postgres can hold: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        if "\x00" in value:
            value = value.replace("\x00", "")
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


class Body(BaseModel):
    """Base of what clients send."""

    @model_validator(mode="before")
    @classmethod
    def _text_that_can_be_kept(cls, values: Any) -> Any:
        return {key: _clean(value) for key, value in values.items()} if isinstance(values, dict) else values


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
