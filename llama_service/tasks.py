"""Background tasks."""

import asyncio
from typing import Any


async def end_task(task: "asyncio.Task[Any] | None") -> None:
    """Cancel a task and wait until it has gone; its own error, if it ended with one, is raised."""
    if task is not None:
        task.cancel()
        # Not `await task`: a cancellation of the caller would look like the task's own.
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
