"""Runs and their events: reading them back, keeping leases, pruning what nobody reads any more."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound
from persistence.events import RunEvent
from persistence.tables import Run
from persistence.tables import RunEvent as Row

OPEN = ("running", "waiting")


async def get(session: AsyncSession, user_id: UUID, run_id: UUID) -> Run:
    """Return a run of the user. Raises NotFound."""
    query = select(Run).where(Run.id == run_id, Run.user_id == user_id)
    found = (await session.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def of_conversation(session: AsyncSession, conversation_id: UUID, run_id: UUID) -> Run | None:
    """Return a run of a conversation, which was checked to be the caller's."""
    query = select(Run).where(Run.id == run_id, Run.conversation_id == conversation_id)
    return (await session.execute(query)).scalar_one_or_none()


async def newest_of_message(session: AsyncSession, message_id: UUID) -> Run | None:
    """Return the newest run that has written, or answers, a message."""
    query = select(Run).where(or_(Run.message_id == message_id, Run.user_message_id == message_id))
    return (await session.execute(query.order_by(Run.created_at.desc()).limit(1))).scalar_one_or_none()


async def list_of(
    session: AsyncSession, conversation_id: UUID, *, statuses: Sequence[str] | None, limit: int, offset: int
) -> Sequence[Run]:
    """Return the runs of a conversation, newest first."""
    query = select(Run).where(Run.conversation_id == conversation_id)
    if statuses is not None:
        query = query.where(Run.status.in_(statuses))
    query = query.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit).offset(offset)
    return (await session.execute(query)).scalars().all()


async def newest_statuses(session: AsyncSession, conversation_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the status of the newest run of each conversation that has any."""
    query = (
        select(Run.conversation_id, Run.status)
        .where(Run.conversation_id.in_(conversation_ids))
        .distinct(Run.conversation_id)
        .order_by(Run.conversation_id, Run.created_at.desc())
    )
    return {row.conversation_id: row.status for row in await session.execute(query)}


async def events_after(session: AsyncSession, run_id: UUID, seq: int) -> Sequence[RunEvent]:
    """Return a run's events with a greater number than `seq`."""
    query = select(Row.seq, Row.event, Row.data).where(Row.run_id == run_id, Row.seq > seq).order_by(Row.seq)
    return [RunEvent(row.seq, row.event, row.data) for row in await session.execute(query)]


async def has_events(session: AsyncSession, run_id: UUID) -> bool:
    """Whether a run's events are kept yet; an hour after its end they go."""
    return await session.scalar(select(Row.run_id).where(Row.run_id == run_id, Row.seq == 1)) is not None


async def request_cancel(session: AsyncSession, run_id: UUID) -> None:
    """Ask the worker that has the run, or takes it next, to stop it."""
    await session.execute(update(Run).where(Run.id == run_id, Run.status.in_(OPEN)).values(cancel_requested=True))
    await session.execute(text("SELECT pg_notify('run_control', :run)"), {"run": str(run_id)})


async def open_of(session: AsyncSession, conversation_ids: Sequence[UUID]) -> list[UUID]:
    """Return the ids of the runs of conversations that run, or wait for a person."""
    query = select(Run.id).where(Run.conversation_id.in_(conversation_ids), Run.status.in_(OPEN))
    return list((await session.execute(query)).scalars())


async def open_of_user(session: AsyncSession, user_id: UUID) -> list[UUID]:
    """Return the ids of a person's runs that run, or wait for them."""
    query = select(Run.id).where(Run.user_id == user_id, Run.status.in_(OPEN))
    return list((await session.execute(query)).scalars())


async def prune_events(session: AsyncSession, keep_seconds: float) -> int:
    """Delete the events of up to 1,000 runs that ended longer ago; return how many runs that were.

    What a legal hold keeps stays.
    """
    query = text(
        """
        WITH old AS (
            SELECT DISTINCT e.run_id FROM run_events e JOIN runs r ON r.id = e.run_id
            WHERE e.seq = 1 AND r.finished_at < clock_timestamp() - make_interval(secs => :keep)
              AND NOT held_conversation(r.conversation_id, r.user_id) LIMIT 1000
        ), gone AS (DELETE FROM run_events e USING old WHERE e.run_id = old.run_id
        ), calls AS (DELETE FROM tool_calls c USING old WHERE c.run_id = old.run_id)
        SELECT count(*) FROM old
        """
    )
    return int(await session.scalar(query, {"keep": keep_seconds}) or 0)


async def prune_anonymous(session: AsyncSession, keep_seconds: float) -> None:
    """Delete conversations that belong to nobody, soon after their last run has ended."""
    query = text(
        """
        DELETE FROM conversations c WHERE user_id IS NULL
          AND updated_at < clock_timestamp() - make_interval(secs => :keep)
          AND NOT held_conversation(c.id, c.user_id)
          AND NOT EXISTS (SELECT FROM runs WHERE conversation_id = c.id AND status IN ('running', 'waiting'))
        """
    )
    await session.execute(query, {"keep": keep_seconds})


async def waits_behind(session: AsyncSession, run_id: UUID, seq: int) -> bool:
    """Whether a run waits for a person behind its event number `seq`, which is the last one then."""
    later = select(Row.seq).where(Row.run_id == run_id, Row.seq > seq).exists()
    return await session.scalar(select(Run.id).where(Run.id == run_id, Run.status == "waiting", ~later)) is not None


async def is_open(session: AsyncSession, run_id: UUID) -> bool:
    """Whether a run goes on, or waits for a person."""
    query = select(Run.id).where(Run.id == run_id, Run.status.in_(OPEN))
    return await session.scalar(query) is not None
