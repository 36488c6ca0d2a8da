"""Age limits: how long each kind of record is kept. One query tells what is due, for the dry run and for the deletion.

What a legal hold keeps is never due. Records that no limit is set for are kept for good, except events of runs, which
are kept for an hour: they only bring a reader back into an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from persistence.holds import is_held_conversation, is_held_file
from persistence.tables import AuditEvent, Conversation, File, LibraryFile, RetentionLimit, Run, RunEvent

Store: TypeAlias = Literal["conversations", "files", "library_files", "traces", "events", "audit"]
FileStore: TypeAlias = Literal["files", "library_files"]
STORES: Final[tuple[Store, ...]] = get_args(Store)
LEAST_AUDIT_DAYS: Final = 90
"""A shorter limit of the audit log is refused; Postgres keeps so many days in any case (migration 0016)."""
Limits: TypeAlias = Mapping[Store, int]
"""Days that records are kept, by store; what is not in it is kept."""


@dataclass(frozen=True, slots=True)
class Due:
    """How much of a store is older than its limit, since when there is some, and how much of it a legal hold keeps."""

    store: Store
    count: int
    oldest: datetime | None
    held: int


@dataclass(frozen=True, slots=True)
class _Records:
    """How old a store's records are, which of them count, and whether one is held."""

    age: Any
    those: tuple[ColumnElement[bool], ...]
    is_held: Any


_IN_LIBRARY = exists().where(LibraryFile.file_id == File.id).correlate(File)
_OF_RUN = func.held_conversation(Run.conversation_id, Run.user_id)
_FIRST_HELD = select(func.coalesce(func.audit_first_held(), 2**63 - 1)).scalar_subquery()
_RECORDS: Final[Mapping[Store, _Records]] = {
    # Since the last message or change. A temporary one has a limit of its own, an anonymous one as well.
    "conversations": _Records(
        Conversation.updated_at,
        (
            Conversation.user_id.is_not(None),
            Conversation.temporary.is_(False),
            ~exists().where(Run.conversation_id == Conversation.id, Run.status == "running").correlate(Conversation),
        ),
        is_held_conversation(),
    ),
    # Since they were uploaded.
    "files": _Records(File.created_at, (~_IN_LIBRARY,), is_held_file()),
    "library_files": _Records(File.created_at, (_IN_LIBRARY,), is_held_file()),
    "traces": _Records(Run.finished_at, (Run.trace.is_not(None),), _OF_RUN),
    "events": _Records(
        Run.finished_at, (exists().where(RunEvent.run_id == Run.id, RunEvent.seq == 1).correlate(Run),), _OF_RUN
    ),
    # Only from its oldest end: the first row that a hold keeps, keeps those behind it.
    "audit": _Records(AuditEvent.at, (), AuditEvent.id >= _FIRST_HELD),
}


async def limits(session: AsyncSession) -> dict[Store, int]:
    """Return the limits that are set, in days."""
    found = {row.store: row.days for row in (await session.execute(select(RetentionLimit))).scalars()}
    return {store: found[store] for store in STORES if store in found}


async def set_limits(session: AsyncSession, wanted: Limits) -> None:
    """Set all limits: a store that is not in `wanted` has none any more. For administrators."""
    await session.execute(delete(RetentionLimit).where(RetentionLimit.store.not_in(list(wanted))))
    for store, days in wanted.items():
        row = upsert(RetentionLimit).values(store=store, days=days)
        await session.execute(row.on_conflict_do_update(index_elements=["store"], set_={"days": days}))


async def due(session: AsyncSession, wanted: Limits) -> list[Due]:
    """Return what these limits would delete now. Changes nothing. For administrators."""
    found = []
    for store, days in wanted.items():
        records = _RECORDS[store]
        query = select(func.count().filter(~records.is_held), func.min(records.age), func.count())
        query = query.where(*_older(records, days))
        count, oldest, every = (await session.execute(query)).one()
        found.append(Due(store, int(count), oldest, int(every) - int(count)))
    return found


def _older(records: _Records, days: int) -> tuple[ColumnElement[bool], ...]:
    since = func.clock_timestamp() - func.make_interval(0, 0, 0, days)
    return (records.age < since, *records.those)


def _next(store: Store, days: int, columns: Sequence[Any], limit: int) -> Any:
    records = _RECORDS[store]
    return select(*columns).where(*_older(records, days), ~records.is_held).order_by(records.age).limit(limit)


async def next_conversations(session: AsyncSession, days: int, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """Return the oldest conversations (owner, id) that were not used for so many days."""
    found = await session.execute(_next("conversations", days, (Conversation.user_id, Conversation.id), limit))
    return [(owner, id_) for owner, id_ in found]


async def next_files(session: AsyncSession, store: FileStore, days: int, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """Return the oldest files (owner, id) that were uploaded more than so many days ago."""
    return [(owner, id_) for owner, id_ in await session.execute(_next(store, days, (File.user_id, File.id), limit))]


async def drop_traces(session: AsyncSession, days: int, limit: int) -> int:
    """Delete the traces of the oldest runs that ended more than so many days ago; return how many."""
    oldest = _next("traces", days, (Run.id,), limit).subquery()
    gone = update(Run).where(Run.id.in_(select(oldest.c.id))).values(trace=None).returning(Run.id)
    return len((await session.execute(gone)).all())


async def drop_audit(session: AsyncSession) -> int:
    """Delete the oldest rows of the audit log, as its limit says, which notes it; return how many: 10,000 at most.

    Postgres reads the limit itself, and keeps the last 90 days.
    """
    return int(await session.scalar(select(func.audit_prune())) or 0)
