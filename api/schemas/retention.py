"""Shapes of age limits, legal holds and erasures."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from api.schemas.common import Body, Shape
from api.schemas.groups import PersonName
from llama_service.errors import InvalidValue
from persistence.erasure import Erasure, Place, Reason
from persistence.holds import HoldView
from persistence.retention import LEAST_AUDIT_DAYS, Limits, Store

_MOST_DAYS = 36_500
Days = Annotated[int, Field(ge=1, le=_MOST_DAYS)]
AuditDays = Annotated[int, Field(ge=LEAST_AUDIT_DAYS, le=_MOST_DAYS)]
HoldReason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]


class RetentionLimits(Body, Shape):
    """How many days each kind of record is kept; null keeps it for good (events: for an hour).

    `conversations` count from their last message or change, with everything that belongs to them; `files` (in no shared
    library) and `library_files` (in one) from their upload; `traces` and `events` from the end of the answer; `audit`
    from what it tells, and for 90 days at least.
    """

    conversations: Days | None = None
    files: Days | None = None
    library_files: Days | None = None
    traces: Days | None = None
    events: Days | None = None
    audit: AuditDays | None = None

    def by_store(self) -> Limits:
        """Return the limits that are set."""
        found: dict[Store, int] = self.model_dump(exclude_none=True)  # type: ignore[assignment]  # the names are stores
        return found


class RetentionDue(Shape):
    """What a limit would delete of a store now: how many records, the oldest one's time, and how many holds keep."""

    store: Store
    count: int
    oldest: datetime | None
    held: int


class RetentionPreview(Shape):
    """What limits would delete now, by store."""

    items: list[RetentionDue]


class RetentionApplied(Shape):
    """How many records were deleted, by store; `more` where others wait for the next call."""

    removed: dict[Store, int]
    more: bool


class HoldCreate(Body):
    """A legal hold on a person (by id, or by their exact name or e-mail address) or on a conversation."""

    user_id: UUID | None = None
    username: PersonName | None = Field(default=None, description="A person's exact name or e-mail address")
    conversation_id: UUID | None = None
    reason: HoldReason

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if sum(value is not None for value in (self.user_id, self.username, self.conversation_id)) != 1:
            raise InvalidValue("one_subject", "one of user_id, username and conversation_id")
        return self


class HoldRead(Shape):
    """A legal hold. `name` is whom it is on; of a conversation, its owner's."""

    id: UUID
    user_id: UUID | None
    conversation_id: UUID | None
    name: str | None
    reason: str
    placed_by: str | None
    created_at: datetime

    @classmethod
    def of(cls, view: HoldView) -> Self:
        """Return a hold as administrators see it."""
        row = view.hold
        ids = {"id": row.id, "user_id": row.user_id, "conversation_id": row.conversation_id}
        told = {"name": view.name, "reason": row.reason, "placed_by": view.placed_by, "created_at": row.created_at}
        return cls.model_validate(ids | told)


class HoldsRead(Shape):
    """All legal holds, newest first."""

    items: list[HoldRead]


class ErasedStore(Shape):
    """How many records of a person were removed from a store."""

    store: Place
    count: int


class KeptStore(Shape):
    """What stays of a person in a store, and why; `count` is null where it can't be counted from here."""

    store: Place
    count: int | None
    reason: Reason


class ErasureReport(Shape):
    """What was removed of a person, or would be, and what stays.

    `account` is `kept` where a hold keeps a conversation of theirs: nobody can sign in to it, and erasing again once
    the hold is released removes the rest.
    """

    username: str
    dry_run: bool
    account: Literal["removed", "kept"]
    removed: list[ErasedStore]
    kept: list[KeptStore]

    @classmethod
    def of(cls, found: Erasure, *, dry_run: bool) -> Self:
        """Return an erasure as administrators see it."""
        return cls(
            username=found.username,
            dry_run=dry_run,
            account="removed" if found.account_removed else "kept",
            removed=[ErasedStore(store=store, count=count) for store, count in found.removed.items()],
            kept=[KeptStore.model_validate(kept) for kept in found.kept],
        )
