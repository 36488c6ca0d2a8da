"""The tool calls of a run: written down so that each runs once, whichever worker the run is on."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from llama_service.errors import Interrupted
from persistence import tool_calls
from persistence.checkpoints import wait_until_written
from persistence.session import Database
from persistence.tool_calls import CallRecord


class RunCalls:
    """Writes the calls of one run, as its worker."""

    def __init__(self, database: Database, run_id: UUID, worker: UUID) -> None:
        self._database = database
        self._run_id = run_id
        self._worker = worker

    async def begin(self, calls: Sequence[tuple[str, str, str]], checkpoint_id: str | None) -> Mapping[str, CallRecord]:
        """Write calls (id, name, status) down; return what is known of each when they and the state are on disk.

        Without the state a takeover would ask the model again, and it would call again. Raises Interrupted where the
        run is not this worker's any more.
        """
        # Side by side: a call that was written down without its state has not run yet, and nobody asks for it again.
        written = asyncio.create_task(wait_until_written(checkpoint_id)) if checkpoint_id is not None else None
        try:
            known = await tool_calls.begin_calls(self._database, self._run_id, self._worker, calls)
            if written is not None:
                await written
        finally:
            if written is not None:
                written.cancel()
        if len(known) < len(calls):
            raise Interrupted
        return known

    async def set(self, call_id: str, status: str, result: dict[str, Any] | None) -> None:
        """Write how far a call is, and what it gave. Raises Interrupted where the run is not this worker's any more."""
        if not await tool_calls.set_call(self._database, self._run_id, self._worker, call_id, status, result):
            raise Interrupted
