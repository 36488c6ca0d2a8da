"""Shapes of shared conversations."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.common import Body, Future, Shape
from persistence.shares import Audience


class ShareCreate(Body):
    """How the current branch is shared, as it stands now."""

    audience: Audience = Field(
        default="signed_in", description="`anyone` only where the operator allows it (`ALLOW_PUBLIC_SHARES`)"
    )
    with_sources: bool = Field(default=False, description="Whether readers see the passages behind the answers")
    expires_at: Future | None = None


class ShareRead(Shape):
    """A share; its link is told once, when it is made."""

    id: UUID
    audience: Audience
    with_sources: bool
    created_at: datetime
    expires_at: datetime | None


class ShareCreated(ShareRead):
    """A new share; `token` is what its link ends with: `/shared/{token}`."""

    token: str


class SharesRead(Shape):
    """The shares of a conversation, newest first, and whether new ones may be for anyone who has the link."""

    items: list[ShareRead]
    anyone_allowed: bool


class SharedSource(Shape):
    """A passage behind a shared answer; not `available` where the sharer may not read its file any more."""

    n: int
    file_name: str
    page: int | None = None
    snippet: str
    available: bool = True


class SharedMessage(Shape):
    """A message as it was when the conversation was shared."""

    role: Literal["user", "assistant", "system"]
    content: str
    model_name: str | None
    created_at: datetime
    sources: list[SharedSource]


class SharedRead(Shape):
    """A shared conversation as its readers see it."""

    title: str | None
    owner: str
    created_at: datetime
    expires_at: datetime | None
    messages: list[SharedMessage]
