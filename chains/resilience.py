"""One policy for every call of a provider: a fair place, a circuit breaker, repeats before the first token.

Time-outs live in `chains.providers.wire`, where the bytes are. What is repeated and what opens the circuit is
told by an error's class.
"""

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import TypeVar

import structlog

from chains.faults import CircuitOpen, ConnectTimedOut, NotConfigured, ServerFailed
from chains.types import Attempt, Delta, End, Notice, Target
from llama_service.errors import (
    AppError,
    ProviderBusy,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llama_service.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

FAILURES_TO_OPEN = 5
FIRST_OPEN_SECONDS = 2.0
LONGEST_OPEN_SECONDS = 60.0
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
"""A provider that asks for a longer pause than this gets no repeat: the caller is told to come back."""


def is_unreachable(error: AppError) -> bool:
    """Tell whether another provider should take the turn: nobody answered, or the circuit is open."""
    return isinstance(error, ProviderUnavailable) and not isinstance(error, ProviderBusy | ProviderRateLimited)


def is_down(error: AppError) -> bool:
    """Tell whether the error speaks against the provider itself rather than against this request."""
    return isinstance(error, ServerFailed | ProviderTimeout) or (
        is_unreachable(error) and not isinstance(error, CircuitOpen | NotConfigured)
    )


def is_repeatable(error: AppError) -> bool:
    """Tell whether the same call may succeed in a moment. Time-outs are not: the wait was long enough."""
    if isinstance(error, ConnectTimedOut | CircuitOpen | NotConfigured | ProviderBusy):
        return False
    return isinstance(error, ServerFailed | ProviderUnavailable)


class Gate:
    """Places for calls in flight, given to users in turn: who waits with many calls delays only himself."""

    def __init__(self, places: int, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._waiting = 0
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

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


class Breaker:
    """Leave a provider alone that failed several times in a row; then let single calls see if it is back."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._pause = FIRST_OPEN_SECONDS
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused right now."""
        return self._open_until is not None and time.monotonic() < self._open_until

    def enter(self) -> bool:
        """Let a call through, True where it is the probe of a half-open circuit; else raise CircuitOpen."""
        if self._open_until is None:
            return False
        left = self._open_until - time.monotonic()
        if left > 0 or self._probing:
            raise CircuitOpen(retry_after=max(left, 1.0))
        self._probing = True
        return True

    def leave(self, *, probe: bool, error: AppError | None) -> None:
        """Count how a call ended; None is a success, or an end that says nothing about the provider."""
        if probe:
            self._probing = False
        if error is None or not is_down(error):
            if self._open_until is not None:
                log.info("circuit_closed", provider=self._name)
            self._failures, self._open_until, self._pause = 0, None, FIRST_OPEN_SECONDS
            return
        self._failures += 1
        if probe or self._failures >= FAILURES_TO_OPEN:
            self._open_until = time.monotonic() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311
            log.warning("circuit_opened", provider=self._name, seconds=round(self._pause, 1))
            self._pause = min(self._pause * 2, LONGEST_OPEN_SECONDS)

    def abandon(self, *, probe: bool) -> None:
        """Take back a call that its caller gave up: nothing was learnt."""
        if probe:
            self._probing = False


class Lane:
    """What calls of one kind to one provider share."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.gate = Gate(settings.provider_max_in_flight, settings.provider_max_queue)
        self.breaker = Breaker(name)


class Policy:
    """The rules for every call; one for a process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lanes: dict[str, Lane] = {}

    def lane(self, name: str) -> Lane:
        """Return the lane of this name: a provider's, or that of its embeddings."""
        if name not in self._lanes:
            self._lanes[name] = Lane(name, self._settings)
        return self._lanes[name]

    async def call(
        self,
        lane_name: str,
        target: Target,
        work: Callable[[], Awaitable[T]],
        *,
        user_id: str = "",
        attempts: list[Attempt] | None = None,
    ) -> T:
        """Do `work`, which is one exchange with a provider. Raises an AppError."""
        lane = self.lane(lane_name)
        async with lane.gate.place(user_id, self._settings.provider_first_token_timeout):
            return await self._repeat(lane, target, work, [] if attempts is None else attempts)

    async def stream(
        self,
        target: Target,
        make: Callable[[], AsyncGenerator[Delta, None]],
        *,
        user_id: str,
        attempts: list[Attempt],
    ) -> AsyncGenerator[Delta, None]:
        """Yield what `make` streams. Repeats end with the first text; later failures are raised as they are."""
        lane = self.lane(target.source)
        async with lane.gate.place(user_id, self._settings.provider_first_token_timeout):
            head, deltas = await self._repeat(lane, target, lambda: _begin(make), attempts)
            async with aclosing(deltas):
                for delta in head:
                    yield delta
                try:
                    async for delta in deltas:
                        yield delta
                except AppError as error:
                    lane.breaker.leave(probe=False, error=error)
                    log.warning("provider_stream_failed", provider=target.source, code=error.code)
                    raise

    async def _repeat(self, lane: Lane, target: Target, work: Callable[[], Awaitable[T]], attempts: list[Attempt]) -> T:
        for number in count():
            started = time.monotonic()
            probe = lane.breaker.enter()
            try:
                result = await work()
            except AppError as error:
                lane.breaker.leave(probe=probe, error=error)
                attempts.append(_attempt(target, error.code, started))
                log.warning("provider_call_failed", provider=target.source, code=error.code, attempt=number + 1)
                wait = self._wait(number, error)
                if wait is None or lane.breaker.is_open:
                    raise
            except BaseException:
                lane.breaker.abandon(probe=probe)
                raise
            else:
                lane.breaker.leave(probe=probe, error=None)
                attempts.append(_attempt(target, "ok", started))
                return result
            await asyncio.sleep(wait)
        raise AssertionError("count() has no end")

    def _wait(self, number: int, error: AppError) -> float | None:
        """Return the seconds before another attempt, None where there is to be none."""
        if number >= self._settings.provider_max_retries or not is_repeatable(error):
            return None
        wait = FIRST_BACKOFF_SECONDS * 2**number * random.uniform(0.5, 1.0)  # noqa: S311
        if error.retry_after is not None:
            wait = max(wait, error.retry_after)
        return wait if wait <= LONGEST_WAIT_SECONDS else None


def _attempt(target: Target, outcome: str, started: float) -> Attempt:
    return Attempt(target.source, target.model, outcome, round((time.monotonic() - started) * 1000))


async def _begin(
    make: Callable[[], AsyncGenerator[Delta, None]],
) -> tuple[list[Delta], AsyncGenerator[Delta, None]]:
    """Open a stream and read up to its first text or its end."""
    deltas = make()
    head: list[Delta] = []
    try:
        async for delta in deltas:
            head.append(delta)
            if not isinstance(delta, Notice):
                return head, deltas
    except BaseException:
        await deltas.aclose()
        raise
    return [*head, End("stop")], deltas
