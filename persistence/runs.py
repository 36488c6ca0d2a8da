"""Runs and their events: reading them back, keeping leases, pruning what nobody reads any more."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound
from persistence.tables import Run, RunEvent
from persistence.turns import LEASE_SECONDS


async def get(session: AsyncSession, user_id: UUID, run_id: UUID) -> Run:
    """Return a run of the user. Raises NotFound."""
    query = select(Run).where(Run.id == run_id, Run.user_id == user_id)
    found = (await session.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def events_after(session: AsyncSession, run_id: UUID, seq: int) -> Sequence[tuple[int, str, str]]:
    """Return a run's committed events with a greater number than `seq`, as (number, name, line of JSON)."""
    query = (
        select(RunEvent.seq, RunEvent.event, RunEvent.data)
        .where(RunEvent.run_id == run_id, RunEvent.seq > seq)
        .order_by(RunEvent.seq)
    )
    return [(row.seq, row.event, row.data) for row in await session.execute(query)]


async def request_cancel(session: AsyncSession, run_id: UUID) -> None:
    """Ask the worker that has the run to stop it."""
    await session.execute(update(Run).where(Run.id == run_id, Run.status == "running").values(cancel_requested=True))
    await session.execute(text("SELECT pg_notify('run_control', :run)"), {"run": str(run_id)})


async def running_of(session: AsyncSession, conversation_id: UUID) -> list[UUID]:
    """Return the ids of a conversation's running runs."""
    query = select(Run.id).where(Run.conversation_id == conversation_id, Run.status == "running")
    return list((await session.execute(query)).scalars())


async def extend_leases(session: AsyncSession, worker: UUID) -> tuple[set[UUID], set[UUID]]:
    """Prolong this worker's leases; return the runs that are still its own, and those that shall be cancelled."""
    query = (
        update(Run)
        .where(Run.worker == worker, Run.status == "running")
        .values(lease_until=func.clock_timestamp() + text(f"interval '{LEASE_SECONDS} seconds'"))
        .returning(Run.id, Run.cancel_requested)
    )
    rows = (await session.execute(query)).all()
    return {row.id for row in rows}, {row.id for row in rows if row.cancel_requested}


async def prune_events(session: AsyncSession, keep_seconds: float) -> int:
    """Delete the events of runs that ended longer ago; return how many rows went."""
    query = text(
        """
        WITH old AS (
            SELECT id FROM runs WHERE finished_at < clock_timestamp() - make_interval(secs => :keep)
              AND EXISTS (SELECT FROM run_events WHERE run_id = runs.id) LIMIT 1000
        ), gone AS (DELETE FROM run_events USING old WHERE run_id = old.id RETURNING 1)
        SELECT count(*) FROM gone
        """
    )
    return int(await session.scalar(query, {"keep": keep_seconds}) or 0)


async def prune_anonymous(session: AsyncSession, keep_seconds: float) -> int:
    """Delete conversations that belong to nobody, some time after their last turn."""
    query = text(
        """
        WITH gone AS (
            DELETE FROM conversations c WHERE user_id IS NULL
              AND updated_at < clock_timestamp() - make_interval(secs => :keep)
              AND NOT EXISTS (SELECT FROM runs WHERE conversation_id = c.id AND status = 'running')
            RETURNING 1
        ) SELECT count(*) FROM gone
        """
    )
    return int(await session.scalar(query, {"keep": keep_seconds}) or 0)


async def is_running(session: AsyncSession, run_id: UUID) -> bool:
    """Whether a run goes on."""
    query = select(Run.id).where(Run.id == run_id, Run.status == "running")
    return await session.scalar(query) is not None
