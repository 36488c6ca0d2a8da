"""A limit of calls in flight, fair to users: turns go round, one call of each user at a time."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llama_service.errors import ProviderBusy


class ProviderQueue:
    """Places for calls in flight, given to users in turn: who waits with many calls delays only himself."""

    def __init__(self, places: int, max_waiting: int) -> None:
        self._places = self._free = places
        self._max_waiting = max_waiting
        self._waiting = 0
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def in_flight(self) -> int:
        """How many calls have a place."""
        return self._places - self._free

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return self._waiting

    @asynccontextmanager
    async def place(self, user_id: str, longest: float) -> AsyncIterator[None]:
        """Hold a place for the block; raise ProviderBusy when the queue is full or `longest` seconds pass."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(user_id, longest)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, user_id: str, longest: float) -> None:
        if self._waiting >= self._max_waiting:
            self._make_room(user_id)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(user_id, deque()).append(turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(longest):
                await turn
        except BaseException as reason:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release()  # the place came in the very moment of leaving: the next one gets it
            else:
                self._forget(user_id, turn)
            if isinstance(reason, TimeoutError):
                raise ProviderBusy(retry_after=5) from reason
            raise

    def _make_room(self, user_id: str) -> None:
        """Send away the newest call of the user with the longest queue, or this one where that is fairer."""
        mine = len(self._queues.get(user_id, ()))
        greediest = max(self._queues, key=lambda user: len(self._queues[user]), default=None)
        if greediest is None or len(self._queues[greediest]) <= mine + 1:
            raise ProviderBusy(retry_after=5)
        turn = self._queues[greediest][-1]
        self._forget(greediest, turn)
        if not turn.done():
            turn.set_exception(ProviderBusy(retry_after=5))

    def _forget(self, user_id: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(user_id)
        if queue is None or turn not in queue:
            return
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[user_id]

    def _release(self) -> None:
        while self._queues:
            user_id, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[user_id] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
