"""Shapes of what a person has said once for all."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.common import Body, Shape


class ProfileChange(Body):
    """What may be changed; only fields that are present are."""

    instructions: str | None = Field(
        default=None, max_length=4_000, description="Part of every prompt: what to know, and how to answer"
    )
    use_memory: bool = Field(default=True, description="Whether what is remembered is part of prompts")


class ProfileRead(Shape):
    """What all of your conversations respect."""

    instructions: str | None
    use_memory: bool


class MemoryCreate(Body):
    """A sentence to remember."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class MemoryRead(Shape):
    """A sentence that is remembered of you."""

    id: UUID
    text: str
    created_at: datetime


class MemoriesRead(Shape):
    """What is remembered of you, newest first."""

    items: list[MemoryRead]
