"""Asynchronous work for synchronous callers, also where a loop is running in their thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work` to its end in a thread and loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


def iterate_in_own_loop(items: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """Yield `items` as they come; leaving early waits for the rest."""
    queue: SimpleQueue[tuple[T] | None] = SimpleQueue()

    async def pump() -> None:
        try:
            async for item in items():
                queue.put((item,))
        finally:
            queue.put(None)

    with ThreadPoolExecutor(1) as thread:
        end = thread.submit(lambda: asyncio.run(pump()))
        while (got := queue.get()) is not None:
            yield got[0]
        end.result()
