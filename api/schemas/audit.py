"""Shapes of the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.schemas.common import Shape
from persistence.audit import Action
from persistence.tables import AuditEvent


class AuditRead(Shape):
    """Something that somebody did; no text of a message is in it. `hash` chains it to the row before."""

    id: int
    at: datetime
    actor_id: UUID | None
    actor: str | None
    action: Action
    object_kind: str | None
    object_id: str | None
    details: dict[str, Any]
    ip: str | None
    request_id: str | None
    hash: str = Field(description="SHA-256 over the row and the hash before it")

    @classmethod
    def of(cls, row: AuditEvent) -> "AuditRead":
        """Return a row as the API shows it."""
        names = [name for name in cls.model_fields if name != "hash"]
        return cls(**{name: getattr(row, name) for name in names}, hash=row.hash.hex())
