"""Shapes that every part of the API uses."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Item = TypeVar("Item")


class Shape(BaseModel):
    """Base of the answers: read from objects, absent values are null."""

    model_config = ConfigDict(from_attributes=True)


def clean_text(text: str) -> str:
    """Return a text without what Postgres can't hold: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
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
