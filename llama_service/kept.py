"""What is asked for often and may be some seconds old."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The last answer of a question, asked again when it is older than `seconds`; one asks, the others wait."""

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._answer: tuple[float, T] | None = None
        self._forgotten = 0  # times

    async def get(self) -> T:
        """Return the answer."""
        async with self._lock:
            now = time.monotonic()
            if self._answer is not None and now - self._answer[0] <= self._seconds:
                return self._answer[1]
            forgotten = self._forgotten
            answer = await self._ask()
            # What changed while it was asked is not in it: whoever comes next asks again.
            self._answer = (now, answer) if forgotten == self._forgotten else None
            return answer

    def forget(self) -> None:
        """Ask anew the next time."""
        self._answer = None
        self._forgotten += 1
