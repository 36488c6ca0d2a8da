"""Shapes that every part of the API uses."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Shape(BaseModel):
    """Base of the answers: read from objects, absent values are null."""

    model_config = ConfigDict(from_attributes=True)


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
