"""What calls of models may spend, as those who ask models see it; `persistence.budgets` keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

_MILLION = 1_000_000
MARGIN: Final = 1.25
"""Prompts are counted by an estimate, which lies within a quarter of what providers count."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens in, and for a million out."""

    given: float
    made: float

    def of(self, prompt: int, answer: int) -> float:
        """Return what so many tokens cost."""
        return (prompt * self.given + answer * self.made) / _MILLION

    def answer_for(self, money: float, prompt: int) -> int:
        """Return how many tokens an answer to such a prompt may have for so much money; less than 0 for none."""
        left = money - self.of(prompt, 0)
        return int(left * _MILLION / self.made) if self.made else (_MILLION if left >= 0 else -1)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a call has spent. One that failed before its first word was not asked, and spent nothing."""

    tokens: int = 0
    money: float = 0.0
    was_asked: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to make a call whose answer has so many tokens at most; `places` are where that is counted.

    `answer_tokens` is None where no tokens and no money of the caller are limited.
    """

    id: UUID
    answer_tokens: int | None
    places: Sequence[tuple[UUID, UUID, datetime]]


class Budgets(Protocol):
    """Reserves before a call, settles after it."""

    async def is_limited(self) -> bool:
        """Whether anything is limited at all."""
        ...

    async def reserve(self, user_id: UUID | None, prompt: int, answer: int, price: Price | None) -> Grant:
        """Reserve tokens, and money where the price is known. Raises BudgetExceeded."""
        ...

    def settle(self, grant: Grant, spent: Spent) -> None:
        """Note what a call did spend."""
        ...
