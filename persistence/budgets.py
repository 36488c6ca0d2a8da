"""Budgets: what may be spent on models, reserved before each call and settled after it.

What a call may spend at most is added to the use of every budget that it falls under, by one statement that writes
nothing where one of them has not that much left: two calls at once can't spend the same rest. When the call has ended,
what it did spend takes the place of what was reserved. Reservations are prolonged while their process lives; those of
one that has died lapse within a minute.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import BudgetExceeded, NotFound
from llama_service.ids import new_id
from llama_service.kept import Kept
from llama_service.metrics import BUDGET_REFUSALS
from llama_service.tasks import end_task
from persistence.access import groups_of
from persistence.changes import change_or_not_found
from persistence.leftovers import lock_exclusively
from persistence.session import DATABASE_AWAY, Database, Statement
from persistence.spending import Grant, Price, Spent
from persistence.tables import Budget, BudgetUse, Group, User

log = structlog.get_logger(__name__)

Period = Literal["day", "month"]
TOGETHER: Final = UUID(int=0)
"""The holder of what several people spend together; also an anonymous caller."""

_LEASE = 60.0  # seconds
_RENEW_EVERY = 15.0
_KNOWN_FOR = 2.0  # seconds that the first budget may take to reach every process
_TRIES = 3  # at a rest that others spend at the same moment
_LEAST_ANSWER = 64  # tokens: a shorter one is no answer


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget, whom it is for (None: everybody), and what was spent of it in the period that goes on."""

    budget: Budget
    name: str | None
    tokens: int
    requests: int
    money: float
    began: datetime

    @property
    def starts_anew(self) -> datetime:
        """When the next period begins."""
        return next_period(self.began, self.budget.period)


def period_of(moment: datetime, period: str) -> datetime:
    """Return when the day or month (UTC) of a moment began."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if period == "month" else day


def next_period(began: datetime, period: str) -> datetime:
    """Return when the period after the one that began then begins."""
    if period == "day":
        return datetime.fromtimestamp(began.timestamp() + 86_400, UTC)
    return began.replace(year=began.year + began.month // 12, month=began.month % 12 + 1)


# --- for administrators, and for who wants to know what is left ----------------------------------------------------


async def list_all(session: AsyncSession) -> list[Standing]:
    """Return all budgets with what was spent of them; of those for each the sum of all. For administrators."""
    query = (
        select(Budget, func.coalesce(User.username, Group.name))
        .outerjoin(User, User.id == Budget.user_id)
        .outerjoin(Group, Group.id == Budget.group_id)
        .order_by(Budget.user_id.is_not(None), Budget.group_id.is_not(None), Budget.id)
    )
    rows = [(row[0], row[1]) for row in await session.execute(query)]
    return await _standings(session, rows, None)


async def of_user(session: AsyncSession, user_id: UUID) -> list[Standing]:
    """Return the budgets that a person's calls fall under, with what was spent of their part."""
    mine = or_(
        Budget.user_id == user_id,
        Budget.group_id.in_(groups_of(user_id)),
        Budget.user_id.is_(None) & Budget.group_id.is_(None),
    )
    query = select(Budget, Group.name).outerjoin(Group, Group.id == Budget.group_id).where(mine).order_by(Budget.id)
    return await _standings(session, [(row[0], row[1]) for row in await session.execute(query)], user_id)


async def _standings(
    session: AsyncSession, rows: Sequence[tuple[Budget, str | None]], user_id: UUID | None
) -> list[Standing]:
    now = datetime.now(UTC)
    found = []
    for budget, name in rows:
        began = period_of(now, budget.period)
        spent = (
            func.coalesce(func.sum(column), 0) for column in (BudgetUse.tokens, BudgetUse.requests, BudgetUse.money)
        )
        query = select(*spent).where(BudgetUse.budget_id == budget.id, BudgetUse.began == began)
        if user_id is not None:
            alone = budget.user_id is not None or budget.each
            query = query.where(BudgetUse.holder == (user_id if alone else TOGETHER))
        tokens, requests, money = (await session.execute(query)).one()
        found.append(Standing(budget, name, int(tokens), int(requests), float(money), began))
    return found


async def put(session: AsyncSession, values: Mapping[str, Any]) -> Budget:
    """Set a budget in the place of the one with the same subject and period. Raises NotFound. For administrators."""
    for kind, name in ((User, "user_id"), (Group, "group_id")):
        if values[name] is not None and await session.get(kind, values[name]) is None:
            raise NotFound
    await lock_exclusively(session, "budgets")
    same = [getattr(Budget, name).is_not_distinct_from(values[name]) for name in ("user_id", "group_id")]
    query = select(Budget).where(*same, Budget.each == values["each"], Budget.period == values["period"])
    row = (await session.execute(query.with_for_update())).scalar_one_or_none()
    if row is None:
        row = Budget(**values)
        session.add(row)
    else:
        for name in ("tokens", "requests", "money"):
            setattr(row, name, values[name])
    await session.flush()
    return row


async def remove(session: AsyncSession, budget_id: UUID) -> None:
    """Delete a budget. Raises NotFound. For administrators."""
    await change_or_not_found(session, delete(Budget).where(Budget.id == budget_id))


async def prune_use(session: AsyncSession) -> None:
    """Delete what was spent in periods that ended more than a year ago."""
    await session.execute(text("DELETE FROM budget_use WHERE began < clock_timestamp() - interval '400 days'"))


# --- for calls ------------------------------------------------------------------------------------------------------

_MINE = """
    SELECT b.id AS budget_id, b.user_id, b.group_id, b.each, b.period, b.tokens, b.requests, b.money,
           CASE WHEN b.user_id IS NOT NULL OR b.each THEN CAST(:user AS uuid)
                ELSE '00000000-0000-0000-0000-000000000000'::uuid END AS holder,
           date_trunc(b.period, clock_timestamp(), 'UTC') AS began
    FROM budgets b
    WHERE b.user_id = CAST(:user AS uuid) OR (b.user_id IS NULL AND b.group_id IS NULL)
       OR b.group_id IN (SELECT group_id FROM group_members WHERE user_id = CAST(:user AS uuid))
"""
# An existing row is changed under its lock and with its newest values, so the limit holds whoever comes at once.
_RESERVE = Statement(
    f"""
    WITH mine AS MATERIALIZED ({_MINE}), taken AS (
        INSERT INTO budget_use AS u (budget_id, holder, began, tokens, requests, money)
        SELECT budget_id, holder, began, :spent, 1, :cost FROM mine
        WHERE coalesce(tokens >= :spent, true) AND coalesce(requests >= 1, true) AND coalesce(money >= :cost, true)
        ORDER BY budget_id
        ON CONFLICT (budget_id, holder, began) DO UPDATE
        SET tokens = u.tokens + excluded.tokens, requests = u.requests + 1, money = u.money + excluded.money
        WHERE EXISTS (
            SELECT FROM budgets b WHERE b.id = u.budget_id
              AND coalesce(b.tokens >= u.tokens + excluded.tokens, true)
              AND coalesce(b.requests >= u.requests + 1, true)
              AND coalesce(b.money >= u.money + excluded.money, true)
        )
        RETURNING budget_id, holder, began
    ), reserved AS (
        INSERT INTO budget_reservations (id, budget_id, holder, began, tokens, money, expires_at)
        SELECT CAST(:id AS uuid), budget_id, holder, began, :spent, :cost,
               clock_timestamp() + make_interval(secs => :lease)
        FROM taken
    )
    SELECT mine.budget_id, mine.holder, mine.began, taken.budget_id IS NOT NULL AS granted,
           coalesce(mine.tokens, mine.money) IS NOT NULL AS limits_answers
    FROM mine LEFT JOIN taken ON taken.budget_id = mine.budget_id
    """  # noqa: S608  (parts of our own)
)
_LEFT = Statement(
    f"""
    WITH mine AS ({_MINE})
    SELECT mine.*, mine.tokens - coalesce(u.tokens, 0) AS tokens_left,
           mine.requests - coalesce(u.requests, 0) AS requests_left, mine.money - coalesce(u.money, 0) AS money_left
    FROM mine LEFT JOIN budget_use u USING (budget_id, holder, began)
    """  # noqa: S608  (parts of our own)
)
# Locked in the order in which reservations lock them: nobody waits in a circle.
_SETTLE = Statement(
    """
    WITH gone AS (
        DELETE FROM budget_reservations WHERE id = CAST(:id AS uuid) RETURNING budget_id, holder, began, tokens, money
    ), locked AS MATERIALIZED (
        SELECT u.budget_id, u.holder, u.began, gone.tokens, gone.money
        FROM budget_use u JOIN gone USING (budget_id, holder, began) ORDER BY u.budget_id, u.holder FOR UPDATE OF u
    )
    UPDATE budget_use u SET tokens = u.tokens - l.tokens + :spent, money = u.money - l.money + :cost,
           requests = u.requests - :unasked
    FROM locked l WHERE (u.budget_id, u.holder, u.began) = (l.budget_id, l.holder, l.began)
    RETURNING pg_current_xact_id()::text AS transaction
    """
)
_SETTLE_LAPSED = Statement(
    """
    WITH locked AS MATERIALIZED (
        SELECT u.budget_id, u.holder, u.began FROM budget_use u
        JOIN unnest(CAST(:budgets AS uuid[]), CAST(:holders AS uuid[]), CAST(:begun AS timestamptz[]))
             AS p (budget_id, holder, began) USING (budget_id, holder, began)
        ORDER BY u.budget_id, u.holder FOR UPDATE OF u
    )
    UPDATE budget_use u SET tokens = u.tokens + :spent, money = u.money + :cost
    FROM locked l WHERE (u.budget_id, u.holder, u.began) = (l.budget_id, l.holder, l.began)
    RETURNING pg_current_xact_id()::text AS transaction
    """
)
# NULL of a transaction that this server has never had: another one took its place, and did not know of it.
_OUTCOME = Statement(
    """
    SELECT CASE WHEN id < pg_current_xact_id() THEN pg_xact_status(id) END AS status
    FROM (SELECT CAST(CAST(:transaction AS text) AS xid8)) AS t (id)
    """
)
_LAPSE = Statement(
    """
    WITH gone AS (
        DELETE FROM budget_reservations WHERE expires_at < clock_timestamp()
        RETURNING budget_id, holder, began, tokens, money
    ), sums AS (
        SELECT budget_id, holder, began, sum(tokens)::bigint AS tokens, sum(money) AS money FROM gone GROUP BY 1, 2, 3
    ), locked AS MATERIALIZED (
        SELECT u.budget_id, u.holder, u.began, sums.tokens, sums.money
        FROM budget_use u JOIN sums USING (budget_id, holder, began) ORDER BY u.budget_id, u.holder FOR UPDATE OF u
    )
    UPDATE budget_use u SET tokens = u.tokens - l.tokens, money = u.money - l.money
    FROM locked l WHERE (u.budget_id, u.holder, u.began) = (l.budget_id, l.holder, l.began) RETURNING u.budget_id
    """
)
_RENEW = Statement(
    """
    UPDATE budget_reservations SET expires_at = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = ANY(CAST(:ids AS uuid[]))
    """
)
_ANY = Statement("SELECT EXISTS (SELECT FROM budgets) AS is_limited")


class BudgetKeeper:
    """Reserves and settles for the calls of this process (`persistence.spending.Budgets`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: dict[UUID, Grant] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._limited = Kept(self._is_any, _KNOWN_FOR)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to prolong what is reserved."""
        self._task = asyncio.create_task(self._renew_forever(), name="budgets")

    async def close(self) -> None:
        """Write what is still to be settled, and stop."""
        await end_task(self._task)
        if self._settling:
            await asyncio.wait(self._settling, timeout=5)

    def forget(self) -> None:
        """Look anew whether there are budgets: an administrator has changed them."""
        self._limited.forget()

    async def is_limited(self) -> bool:
        """Whether there is any budget at all; known for two seconds, so that calls without one cost nothing."""
        return await self._limited.get()

    async def _is_any(self) -> bool:
        async with self._database.raw(transaction=False) as connection:
            row = await connection.row(_ANY, {})
        return bool(row and row["is_limited"])

    async def reserve(self, user_id: UUID | None, prompt: int, answer: int, price: Price | None) -> Grant:
        """Reserve a prompt's tokens and those of an answer, or of a shorter one where that is all that is left.

        Raises BudgetExceeded.
        """
        holder = user_id or TOGETHER
        for _ in range(_TRIES):
            if (grant := await self._try(holder, prompt, answer, price)) is not None:
                return grant
            await self._lapse()
            if (grant := await self._try(holder, prompt, answer, price)) is not None:
                return grant
            answer = await self._rest(holder, prompt, answer, price)
        raise BudgetExceeded

    @asynccontextmanager
    async def charged(self, user_id: UUID, tokens: int) -> AsyncIterator[None]:
        """Count a call whose tokens are known before it, if it does not fail. Raises BudgetExceeded."""
        if not await self.is_limited():
            yield
            return
        grant, spent = await self.reserve(user_id, tokens, 0, None), Spent()
        try:
            yield
            spent = Spent(tokens, was_asked=True)
        finally:
            self.settle(grant, spent)

    async def _try(self, holder: UUID, prompt: int, answer: int, price: Price | None) -> Grant | None:
        cost = price.of(prompt, answer) if price else 0.0
        id_ = new_id()
        values = {"user": holder, "id": id_, "spent": prompt + answer, "cost": cost, "lease": _LEASE}
        try:
            async with self._database.raw() as connection:
                rows = await connection.rows(_RESERVE, values)
                if not all(row["granted"] for row in rows):
                    raise _NotGranted
        except _NotGranted:
            return None
        except asyncio.CancelledError:
            # Stopped while it was committed, or not: what nobody will spend is given back.
            self._settle_behind(Grant(id_, None, ()), Spent())
            raise
        is_limited = any(row["limits_answers"] for row in rows)
        grant = Grant(
            id_, answer if is_limited else None, tuple((row["budget_id"], row["holder"], row["began"]) for row in rows)
        )
        if rows:
            self._open[grant.id] = grant
        return grant

    async def _rest(self, holder: UUID, prompt: int, answer: int, price: Price | None) -> int:
        """Return how long an answer may still be. Raises BudgetExceeded where that is none."""
        async with self._database.raw(transaction=False) as connection:
            rows = await connection.rows(_LEFT, {"user": holder})
        rest = answer
        for row in rows:
            left = answer
            if row["tokens_left"] is not None:
                left = min(left, row["tokens_left"] - prompt)
            if row["money_left"] is not None and price is not None:
                left = min(left, price.answer_for(row["money_left"], prompt))
            if row["requests_left"] is not None and row["requests_left"] < 1:
                left = 0
            if left < min(answer, _LEAST_ANSWER):
                raise _exceeded(row)
            rest = min(rest, left)
        return rest

    def settle(self, grant: Grant, spent: Spent) -> None:
        """Put what a call did spend in the place of what was reserved; written behind, nobody waits for it."""
        if self._open.pop(grant.id, None) is not None:
            self._settle_behind(grant, spent)

    def _settle_behind(self, grant: Grant, spent: Spent) -> None:
        task = asyncio.create_task(self._settle(grant, spent), name="settle budget")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, grant: Grant, spent: Spent) -> None:
        values = {"id": grant.id, "spent": spent.tokens, "cost": spent.money, "unasked": 0 if spent.was_asked else 1}
        delay = 0.2
        # The transaction that settles, while it is not known whether it was committed: a second one would count again.
        unsure: str | None = None
        while True:
            try:
                if unsure is None or not await self._was_committed(unsure):
                    async with self._database.raw() as connection:
                        rows = await connection.rows(_SETTLE, values)
                        if not rows and spent.tokens:
                            # It has lapsed: this process was away from the database for longer than a minute.
                            budgets, holders, begun = (list(column) for column in zip(*grant.places, strict=True))
                            places = {"budgets": budgets, "holders": holders, "begun": begun}
                            spending = {"spent": spent.tokens, "cost": spent.money}
                            rows = await connection.rows(_SETTLE_LAPSED, places | spending)
                        unsure = rows[0]["transaction"] if rows else None
                return
            except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                # A restart, a failover, a deadlock with who deletes the budget: what was spent has to be counted.
                log.warning("budget_not_settled", error=type(error).__name__, retry_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 10.0)

    async def _was_committed(self, transaction: str) -> bool:
        """Whether a transaction was committed whose COMMIT got no answer. Raises ConnectionError while it is open."""
        async with self._database.raw(transaction=False) as connection:
            row = await connection.row(_OUTCOME, {"transaction": transaction})
        status = row["status"] if row else None
        if status == "in progress":
            raise ConnectionError("the transaction is still being committed")
        return bool(status == "committed")

    async def _lapse(self) -> None:
        async with self._database.raw(transaction=False) as connection:
            await connection.rows(_LAPSE, {})

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                async with self._database.raw(transaction=False) as connection:
                    if self._open:
                        await connection.rows(_RENEW, {"ids": list(self._open), "lease": _LEASE})
                    await connection.rows(_LAPSE, {})
            except DATABASE_AWAY as error:
                log.warning("budgets_not_renewed", error=type(error).__name__)
            except Exception:
                log.exception("budgets_not_renewed")


class _NotGranted(Exception):
    """One of the budgets has not that much left: the statement is rolled back."""


def _exceeded(row: Any) -> BudgetExceeded:
    """Return the error about a budget that is used up: whose, what is left, when it starts anew."""
    whose = "user" if row["user_id"] else "group" if row["group_id"] else "everybody"
    starts = next_period(row["began"].astimezone(UTC), row["period"])
    left = {name: row[f"{name}_left"] for name in ("tokens", "requests", "money") if row[f"{name}_left"] is not None}
    words = {"user": "Your budget", "group": "Your group's budget", "everybody": "The budget"}[whose]
    message = f"{words} for this {row['period']} is used up; it starts anew on {starts:%Y-%m-%d} at 00:00 UTC."
    BUDGET_REFUSALS.labels(whose).inc()
    detail = {"budget": whose, "each": row["each"], "period": row["period"], "left": left}
    wait = max(0.0, (starts - datetime.now(UTC)).total_seconds())
    return BudgetExceeded(message, details=[detail | {"starts_anew": starts.isoformat()}], retry_after=wait)
