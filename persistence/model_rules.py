"""Rules of models, for everybody or a group: which ones may be asked, the default, a system prompt. And their prices.

A person falls under everybody's rule and those of their groups. What the lists of their groups allow counts together;
everybody's list counts for who is in no group that has one. The first group's default, by name, goes before
everybody's. All system prompts stand before each other, everybody's first.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound
from llama_service.kept import Kept
from persistence.changes import change_or_not_found
from persistence.leftovers import lock_exclusively
from persistence.model_policy import EVERY_MODEL, AllowedModel, ModelAccess
from persistence.session import Database, Statement
from persistence.tables import Group, ModelPrice, ModelRule

_KNOWN_FOR: Final = 2.0  # seconds that a change may take to reach every process
_PEOPLE_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule, and the name of its group; None: it is everybody's."""

    rule: ModelRule
    group: str | None


async def list_all(session: AsyncSession) -> Sequence[RuleView]:
    """Return all rules, everybody's first. For administrators."""
    query = select(ModelRule, Group.name).outerjoin(Group, Group.id == ModelRule.group_id)
    rows = await session.execute(query.order_by(ModelRule.group_id.is_not(None), func.lower(Group.name)))
    return [RuleView(rule, name) for rule, name in rows]


async def put(session: AsyncSession, group_id: UUID | None, values: Mapping[str, Any]) -> ModelRule:
    """Set a group's rule, or everybody's, in the place of the one that is there. Raises NotFound.

    For administrators.
    """
    if group_id is not None and await session.get(Group, group_id) is None:
        raise NotFound
    await lock_exclusively(session, "model rules")
    subject = ModelRule.group_id.is_(None) if group_id is None else ModelRule.group_id == group_id
    row = (await session.execute(select(ModelRule).where(subject).with_for_update())).scalar_one_or_none()
    if row is None:
        row = ModelRule(group_id=group_id)
        session.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = func.clock_timestamp()
    await session.flush()
    await session.refresh(row)
    return row


async def remove(session: AsyncSession, rule_id: UUID) -> None:
    """Delete a rule. Raises NotFound. For administrators."""
    await change_or_not_found(session, delete(ModelRule).where(ModelRule.id == rule_id))


async def list_prices(session: AsyncSession) -> Sequence[ModelPrice]:
    """Return the prices that administrators have set."""
    query = select(ModelPrice).order_by(ModelPrice.model_source, ModelPrice.model_name)
    return (await session.execute(query)).scalars().all()


async def put_price(session: AsyncSession, *, source: str, name: str, given: float, made: float) -> None:
    """Set what a million tokens in and a million tokens out cost, in US dollars. For administrators."""
    row = upsert(ModelPrice).values(model_source=source, model_name=name, input=given, output=made)
    prices = {"input": given, "output": made}
    await session.execute(row.on_conflict_do_update(index_elements=["model_source", "model_name"], set_=prices))


async def remove_price(session: AsyncSession, source: str, name: str) -> None:
    """Delete a price: the settings' or the public one counts again. Raises NotFound. For administrators."""
    await change_or_not_found(
        session, delete(ModelPrice).where(ModelPrice.model_source == source, ModelPrice.model_name == name)
    )


_KNOWN = Statement(
    """
    SELECT EXISTS (SELECT FROM model_rules) AS is_ruled,
           (SELECT json_object_agg(model_source || '/' || model_name, json_build_array(input, output))
            FROM model_prices)::text AS prices
    """
)
_MINE = Statement(
    """
    SELECT r.group_id, r.allowed::text AS allowed, r.default_source, r.default_name, r.system_prompt
    FROM model_rules r LEFT JOIN groups g ON g.id = r.group_id
    WHERE r.group_id IS NULL
       OR r.group_id IN (SELECT group_id FROM group_members WHERE user_id = CAST(:user AS uuid))
    ORDER BY r.group_id IS NOT NULL, lower(g.name)
    """
)


class ModelRules:
    """What the rules say, for the calls of this process (`persistence.model_policy.ModelPolicy`).

    Known for two seconds, so that calls cost nothing where there are no rules, and one statement where there are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = Kept(self._look, _KNOWN_FOR)
        self._people: dict[UUID | None, tuple[float, ModelAccess]] = {}

    def forget(self) -> None:
        """Look anew: an administrator has changed something."""
        self._known.forget()
        self._people.clear()

    async def access(self, user_id: UUID | None) -> ModelAccess:
        """Return what somebody may ask, None being who is not signed in."""
        is_ruled, _ = await self._known.get()
        if not is_ruled:
            return EVERY_MODEL
        now = time.monotonic()
        looked_at, access = self._people.get(user_id, (-_KNOWN_FOR, EVERY_MODEL))
        if now - looked_at > _KNOWN_FOR:
            async with self._database.raw(transaction=False) as connection:
                access = _access_of(await connection.rows(_MINE, {"user": user_id}))
            if len(self._people) >= _PEOPLE_KEPT:
                self._people.clear()
            self._people[user_id] = (now, access)
        return access

    async def prices(self) -> Mapping[str, tuple[float, float]]:
        """Return US dollars for a million tokens in and out, by `source/model`."""
        return (await self._known.get())[1]

    async def _look(self) -> tuple[bool, Mapping[str, tuple[float, float]]]:
        """Return whether there are rules at all, and the prices that are set."""
        async with self._database.raw(transaction=False) as connection:
            row = await connection.row(_KNOWN, {})
        prices = orjson.loads(row["prices"]) if row and row["prices"] else {}
        return bool(row and row["is_ruled"]), {model: (given, made) for model, (given, made) in prices.items()}


def _access_of(rows: Sequence[Any]) -> ModelAccess:
    """Return what rules say together; everybody's is the first of them."""
    lists = [(row["group_id"] is None, orjson.loads(row["allowed"])) for row in rows if row["allowed"] is not None]
    of_groups = [allowed for is_everybodys, allowed in lists if not is_everybodys]
    counted = of_groups or [allowed for _, allowed in lists]
    allowed = [AllowedModel(model["source"], model["name"]) for models in counted for model in models]
    defaults = [row for row in rows if row["default_source"] is not None]
    default = next((row for row in defaults if row["group_id"] is not None), defaults[0] if defaults else None)
    return ModelAccess(
        allowed if counted else None,
        AllowedModel(default["default_source"], default["default_name"]) if default else None,
        "\n\n".join(row["system_prompt"] for row in rows if row["system_prompt"]) or None,
    )
