"""Background tasks."""

import asyncio
import contextlib
from typing import Any


async def end_task(task: "asyncio.Task[Any] | None") -> None:
    """Cancel a task and wait until it has gone; its own error, if it ended with one, is raised."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
