"""Shapes of budgets."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from api.schemas.common import Body, Shape
from api.schemas.groups import PersonName
from llama_service.errors import InvalidValue
from persistence.budgets import Period, Standing

Count = Annotated[int, Field(ge=0, le=10**15)]


class BudgetSet(Body):
    """A limit on what models may be asked for: of a person, of a group, or of everybody (neither is named).

    A group's or everybody's is for all of them together or, with `each`, for each of them. `requests` counts calls of
    models: an answer with tools makes several, and so does a title. `money` is in US dollars and counts what has a
    known price. One that is there for the same subject and period is replaced.
    """

    user_id: UUID | None = None
    username: PersonName | None = Field(default=None, description="A person's exact name or e-mail address")
    group_id: UUID | None = None
    each: bool = False
    period: Period
    tokens: Count | None = None
    requests: Count | None = None
    money: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> "BudgetSet":
        if sum(value is not None for value in (self.user_id, self.username, self.group_id)) > 1:
            raise InvalidValue("one_subject", "one of user_id, username and group_id at most")
        if self.each and (self.user_id is not None or self.username is not None):
            raise InvalidValue("each_person", "a person's budget is for that person: no each")
        if self.tokens is self.requests is self.money is None:
            raise InvalidValue("no_limit", "limit something: tokens, requests or money")
        return self


class BudgetLeft(Shape):
    """A budget that your calls fall under: its limits, and what was used of your part in this period.

    `used_*` hold what running calls have reserved. `name` is a group's.
    """

    scope: Literal["user", "group", "everybody"]
    name: str | None
    each: bool
    period: Period
    tokens: int | None
    requests: int | None
    money: float | None
    used_tokens: int
    used_requests: int
    used_money: float
    starts_anew: datetime

    @classmethod
    def of(cls, standing: Standing) -> "BudgetLeft":
        """Return a budget as its payer sees it."""
        row = standing.budget
        return cls.model_validate(_shown(standing) | {"name": standing.name if row.group_id else None})


class BudgetRead(BudgetLeft):
    """A budget as administrators see it; what was used is that of all whom it is for."""

    id: UUID
    user_id: UUID | None
    group_id: UUID | None

    @classmethod
    def of(cls, standing: Standing) -> "BudgetRead":
        """Return a budget as administrators see it."""
        row = standing.budget
        ids = {"id": row.id, "user_id": row.user_id, "group_id": row.group_id, "name": standing.name}
        return cls.model_validate(_shown(standing) | ids)


def _shown(standing: Standing) -> dict[str, object]:
    row = standing.budget
    limits = {name: getattr(row, name) for name in ("each", "period", "tokens", "requests", "money")}
    used = {f"used_{name}": getattr(standing, name) for name in ("tokens", "requests", "money")}
    scope = "user" if row.user_id else "group" if row.group_id else "everybody"
    return limits | used | {"scope": scope, "starts_anew": standing.starts_anew}


class BudgetsLeft(Shape):
    """What your calls of models may still spend; empty where nothing limits you."""

    items: list[BudgetLeft]


class BudgetsRead(Shape):
    """All budgets."""

    items: list[BudgetRead]
