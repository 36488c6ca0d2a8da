"""The audit log: who did what, on what, from where, when. Rows are added, and never changed or deleted.

Each row is written in the transaction of what it tells, as its last statement, so that neither is there without the
other. Postgres numbers it, gives it its time, and chains it to the row before by a hash (migration 0013); it refuses to
change or delete one, except the oldest ones by age (migration 0016). No text of a message is ever in it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.origin import NOWHERE, ORIGIN
from persistence.paging import decode_cursor, encode_cursor
from persistence.session import Database, RawConnection, Statement
from persistence.tables import AuditEvent

Action: TypeAlias = Literal[
    "registered", "signed_in", "sign_in_failed", "signed_out", "session_ended", "refresh_token_reused",
    "password_changed", "password_reset", "account_changed", "account_deleted",
    "two_factor_on", "two_factor_off", "recovery_codes_renewed", "identity_added", "identity_removed",
    "user_changed", "user_deleted", "api_key_created", "api_key_revoked",
    "group_created", "group_changed", "group_deleted", "group_member_set", "group_member_removed",
    "library_created", "library_changed", "library_deleted", "library_member_set", "library_member_removed",
    "libraries_listed", "library_taken_over", "library_file_added", "library_file_removed",
    "share_created", "share_revoked", "share_read",
    "conversation_deleted", "conversation_exported", "conversations_imported",
    "file_deleted", "file_replaced",
    "call_decided", "mcp_server_created", "mcp_server_changed", "mcp_server_deleted",
    "announced", "announcement_removed", "invitation_created", "invitation_deleted", "usage_read",
    "budget_set", "budget_deleted",
    "model_rule_set", "model_rule_deleted", "model_price_set", "model_price_deleted",
    "retention_set", "retention_applied", "audit_pruned", "hold_placed", "hold_released",
    "keys_rotated", "user_erased", "erasure_previewed", "users_listed", "feedback_listed", "audit_listed",
]  # fmt: skip
ACTIONS: Final = get_args(Action)
_PAGE = 1_000


class Actor(Protocol):
    """Who does something."""

    @property
    def id(self) -> UUID:
        """The account's id."""
        ...

    @property
    def username(self) -> str:
        """The account's name; it is kept, since accounts are deleted."""
        ...


async def note(
    session: AsyncSession, action: Action, by: Actor | None, on: tuple[str, object] | None = None, **details: Any
) -> None:
    """Write down what somebody did; `on` is the kind and the id of what it was done to.

    The last statement of its transaction: rows are chained one after the other, and the next one waits for this one.
    """
    await session.execute(insert(AuditEvent).values(**_row(action, by, on, details)))


_NOTE = Statement(
    """
    INSERT INTO audit_events (actor_id, actor, action, object_kind, object_id, details, ip, request_id)
    VALUES (:actor_id, :actor, :action, :object_kind, :object_id, CAST(:details AS jsonb), :ip, :request_id)
    """
)


async def note_raw(
    connection: RawConnection, action: Action, by: Actor | None, on: tuple[str, object] | None = None, **details: Any
) -> None:
    """Do the same in a transaction of raw statements."""
    row = _row(action, by, on, details)
    await connection.rows(_NOTE, row | {"details": orjson.dumps(row["details"]).decode()})


def _row(action: Action, by: Actor | None, on: tuple[str, object] | None, details: Mapping[str, Any]) -> dict[str, Any]:
    origin = ORIGIN.get() or NOWHERE
    return {
        "actor_id": by.id if by else None,
        "actor": by.username if by else None,
        "action": action,
        "object_kind": on[0] if on else None,
        "object_id": str(on[1]) if on else None,
        "details": _plain({name: value for name, value in details.items() if value is not None}),
        "ip": origin.ip,
        "request_id": origin.request_id,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted: by the actor's id or name, the action, the object's id, and time."""

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as SQL."""
        found: list[ColumnElement[bool]] = []
        if self.actor:
            by_name = func.lower(AuditEvent.actor) == self.actor.lower()
            found.append(or_(by_name, AuditEvent.actor_id == UUID(self.actor)) if _is_id(self.actor) else by_name)
        if self.action:
            found.append(AuditEvent.action == self.action)
        if self.object_id:
            found.append(AuditEvent.object_id == self.object_id)
        if self.since:
            found.append(AuditEvent.at >= self.since)
        if self.until:
            found.append(AuditEvent.at < self.until)
        return found


def _is_id(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


async def list_page(
    session: AsyncSession, wanted: Filter, *, limit: int, cursor: str | None
) -> tuple[Sequence[AuditEvent], str | None]:
    """Return rows, newest first, and the cursor of the next page. For administrators."""
    query = select(AuditEvent).where(*wanted.conditions())
    if cursor:
        query = query.where(AuditEvent.id < decode_cursor(cursor, (int,))[0])
    rows = (await session.execute(query.order_by(AuditEvent.id.desc()).limit(limit + 1))).scalars().all()
    following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return rows[:limit], following


async def every(database: Database, wanted: Filter) -> AsyncIterator[Sequence[AuditEvent]]:
    """Yield all rows, oldest first, some at a time; no connection is held between them. For administrators."""
    after = 0
    while True:
        query = select(AuditEvent).where(*wanted.conditions(), AuditEvent.id > after).order_by(AuditEvent.id)
        async with database.reading() as session:
            rows = (await session.execute(query.limit(_PAGE))).scalars().all()
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


@dataclass(frozen=True, slots=True)
class Verified:
    """How many rows there are, the last one's number and hash, and the number of the first that was not written so.

    `pruned` is the number of the last row that went with the age limit, 0 where none did.
    """

    rows: int
    last: tuple[int, str] | None
    broken: int | None
    pruned: int


# Where the oldest rows went with the age limit, the chain begins behind the row that the newest such note names.
_CHAIN = text(
    """
    WITH pruned AS (
        SELECT (details ->> 'through')::bigint AS through, decode(details ->> 'hash', 'hex') AS hash
        FROM audit_events WHERE action = 'audit_pruned' AND details ->> 'through' ~ '^[0-9]{1,18}$'
          AND details ->> 'hash' ~ '^[0-9a-f]{64}$'
        ORDER BY id DESC LIMIT 1
    )
    SELECT min(id) FILTER (WHERE hash <> computed OR previous IS DISTINCT FROM expected OR id <> place) AS broken,
           count(*) AS rows, coalesce((SELECT through FROM pruned), 0) AS pruned
    FROM (
        SELECT e.id, e.hash, e.previous, audit_hash(e) AS computed,
               coalesce(lag(e.hash) OVER (ORDER BY e.id), (SELECT hash FROM pruned)) AS expected,
               row_number() OVER (ORDER BY e.id) + coalesce((SELECT through FROM pruned), 0) AS place
        FROM audit_events e
    ) chained
    """
)


async def verify(session: AsyncSession) -> Verified:
    """Compute every hash anew and compare: a row that was changed, taken out or put in breaks the chain behind it.

    Rows taken off the end are not seen by that: keep the last hash elsewhere, and compare.
    """
    row = (await session.execute(_CHAIN)).one()
    newest = select(AuditEvent.id, AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1)
    last = (await session.execute(newest)).one_or_none()
    return Verified(int(row.rows), (last.id, last.hash.hex()) if last else None, row.broken, int(row.pruned))
