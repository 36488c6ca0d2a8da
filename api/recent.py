"""The last errors of this process, by request id, for the administration page."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class RecentError:
    """Something that went wrong on our side or a provider's; no text of a user is in it."""

    request_id: str
    where: str
    code: str
    status: int
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class RecentErrors:
    """Keeps the newest errors in memory; the log has all of them."""

    def __init__(self, count: int = 100) -> None:
        self._kept: deque[RecentError] = deque(maxlen=count)

    def note(self, request_id: str, where: str, code: str, status: int) -> None:
        """Keep an error."""
        self._kept.append(RecentError(request_id, where, code, status))

    def newest(self) -> list[RecentError]:
        """Return the kept errors, newest first."""
        return list(reversed(self._kept))
