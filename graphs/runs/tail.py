"""The events of a run that another process executes, or that has ended: read from Postgres as they are written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import structlog

from graphs.runs.stream import KEEP_ALIVE
from persistence import runs
from persistence.events import Listener, RunEvent
from persistence.session import DATABASE_AWAY, Database

log = structlog.get_logger(__name__)

RECHECK = 5.0  # seconds; a notification may be missed while the listener reconnects
_KEEP_ALIVE_EVERY = 15.0


class StoredEvents:
    """Reads runs from the database, woken by notifications."""

    def __init__(self, database: Database, listener: Listener) -> None:
        self._database = database
        self._listener = listener
        self._is_closed = False

    def close(self) -> None:
        """Let all readers go: the server stops, and they go on at another one."""
        self._is_closed = True
        self._listener.wake_all()

    async def read(self, run_id: UUID, after: int) -> AsyncIterator[Sequence[RunEvent]]:
        """Yield the events behind number `after`, then new ones, until the run has ended, or the server stops."""
        position, idle = after, 0.0
        async with self._listener.subscribed(run_id) as notified:
            while not self._is_closed:
                notified.clear()
                try:
                    is_open, events = await self._look(run_id, position)
                except DATABASE_AWAY as error:
                    # Readers need not know that Postgres was restarted.
                    log.warning("stream_waits_for_database", run_id=str(run_id), error=type(error).__name__)
                    yield KEEP_ALIVE
                    await asyncio.sleep(1)
                    continue
                if events:
                    position, idle = events[-1].seq, 0.0
                    yield events
                if (events and events[-1].is_last) or (not events and not is_open):
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RECHECK):
                        await notified.wait()
                    continue
                idle += RECHECK
                if idle >= _KEEP_ALIVE_EVERY:
                    idle = 0.0
                    yield KEEP_ALIVE

    async def _look(self, run_id: UUID, after: int) -> tuple[bool, Sequence[RunEvent]]:
        async with self._database.reading() as session:
            # In this order: a run that ends between the two has its last event among the others.
            is_open = await runs.is_open(session, run_id)
            return is_open, await runs.events_after(session, run_id, after)
