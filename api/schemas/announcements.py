"""Shapes of announcements."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from api.schemas.common import Body, Shape


class AnnouncementCreate(Body):
    """Something to tell everybody above every page, until a time or until it is taken back."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    is_warning: bool = False
    until: AwareDatetime | None = Field(default=None)


class AnnouncementRead(Shape):
    """Something that administrators tell everybody."""

    id: UUID
    text: str
    is_warning: bool
    until: datetime | None
    created_at: datetime


class AnnouncementsRead(Shape):
    """What is told now, newest first."""

    items: list[AnnouncementRead]
