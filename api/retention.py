"""Deletes what is older than its limit: a piece at a time, so that neither a table nor a reader waits for long."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

from api.cleanup import forget_conversation
from api.state import AppState
from llama_service.errors import LegalHold, NotFound
from persistence import audit, files, retention, runs
from persistence.audit import Actor
from persistence.retention import FileStore, Store

AT_ONCE: Final = 500
"""The most that one call deletes of a store (of the audit log 10,000); the next call goes on."""
EVENTS_KEPT: Final = 3600.0
"""Seconds that a run's events are kept where no limit is set: they only bring a reader back into an answer."""
_DAY: Final = 86400.0


async def apply_limits(state: AppState, by: Actor | None = None) -> dict[Store, int]:
    """Delete what is older than its limit, oldest first; return how many records went, by store. It is audited.

    `by` is who asked for it, None where it is the hour for it.
    """
    async with state.database.reading() as session:
        limits = await retention.limits(session)
    how: Mapping[Store, Callable[[int], Awaitable[int]]] = {
        "conversations": partial(_conversations, state),
        "files": partial(_files, state, "files"),
        "library_files": partial(_files, state, "library_files"),
        "traces": partial(_traces, state),
        "events": partial(_events, state),
        "audit": partial(_audit, state),
    }
    gone: dict[Store, int] = {}
    for store, days in limits.items():
        if count := await how[store](days):
            gone[store] = count
    if gone:
        async with state.database.transaction() as session:
            await audit.note(session, "retention_applied", by, None, **gone)
    return gone


def is_more(gone: Mapping[Store, int]) -> bool:
    """Whether a call that deleted so much may have left something for the next one."""
    most = {"events": 1_000, "audit": 10_000}
    return any(count >= most.get(store, AT_ONCE) for store, count in gone.items())


async def prune_events(state: AppState) -> None:
    """Delete the events of runs that ended longer ago than they are kept."""
    async with state.database.reading() as session:
        days = (await retention.limits(session)).get("events")
    while await _events(state, days):
        pass


async def _conversations(state: AppState, days: int) -> int:
    async with state.database.reading() as session:
        oldest = await retention.next_conversations(session, days, AT_ONCE)
    gone = 0
    for owner, conversation_id in oldest:
        with suppress(NotFound, LegalHold):  # its owner, who uses it again, or a hold was faster
            await forget_conversation(state, owner, conversation_id, unused_days=days)
            gone += 1
    return gone


async def _files(state: AppState, store: FileStore, days: int) -> int:
    async with state.database.reading() as session:
        oldest = await retention.next_files(session, store, days, AT_ONCE)
    by_owner: dict[UUID, list[UUID]] = {}
    for owner, file_id in oldest:
        by_owner.setdefault(owner, []).append(file_id)
    gone = 0
    for owner, file_ids in by_owner.items():
        with suppress(NotFound, LegalHold):
            async with state.database.transaction() as session:
                removed = await files.remove(session, owner, file_ids)
            await state.ingestion.pipeline.clean_up(removed)
            gone += len(removed.file_ids)
    return gone


async def _traces(state: AppState, days: int) -> int:
    async with state.database.transaction() as session:
        return await retention.drop_traces(session, days, AT_ONCE)


async def _events(state: AppState, days: int | None) -> int:
    async with state.database.transaction() as session:
        return await runs.prune_events(session, EVENTS_KEPT if days is None else days * _DAY)


async def _audit(state: AppState, _: int) -> int:
    async with state.database.transaction() as session:
        return await retention.drop_audit(session)
