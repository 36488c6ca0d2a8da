"""Where what is going on just now was asked for: set with each request, read by the audit log."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The caller's address and the request's id; None for what the server or its command line does by itself."""

    ip: str | None = None
    request_id: str | None = None


ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)
NOWHERE = Origin()
