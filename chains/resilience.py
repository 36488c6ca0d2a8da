"""One policy for every call of a provider: a fair place, a circuit breaker, repeats before the first token.

Time-outs live in `chains.providers.wire`, where the bytes are. What is repeated and what opens the circuit is
told by an error's class.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import count
from typing import TypeVar

import structlog
from langchain_core.messages import AIMessageChunk

from chains.faults import CertificateRefused, CircuitOpen, ConnectFailed, ConnectTimedOut, NotConfigured, ServerFailed
from chains.providers.lean import is_notice
from chains.queue import ProviderQueue
from chains.types import Attempt, Load, Target
from llama_service.errors import (
    AppError,
    ProviderBusy,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llama_service.metrics import PROVIDER_ATTEMPTS
from llama_service.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

FAILURES_TO_OPEN = 5
SHARE_TO_OPEN = 0.6
MEMORY_SECONDS = 30.0
MEMORY_CALLS = 500
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
    if isinstance(error, ConnectTimedOut | CertificateRefused | CircuitOpen | NotConfigured | ProviderBusy):
        return False
    return isinstance(error, ServerFailed | ProviderUnavailable)


class Breaker:
    """Leave a provider alone that mostly fails; then let single calls see if it is back.

    It opens where the last seconds saw several failures that outweigh the successes: many calls at once to a provider
    that fails now and then don't open it, whatever the order in which they end.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._ends: deque[tuple[float, bool]] = deque(maxlen=MEMORY_CALLS)
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
        failed = error is not None and is_down(error)
        self._ends.append((time.monotonic(), failed))
        if probe:
            self._probing = False
            if failed:
                self._open()
            else:
                self._close()
        elif failed and self._open_until is None and self._mostly_fails():
            self._open()

    def abandon(self, *, probe: bool) -> None:
        """Take back a call that its caller gave up: nothing was learnt."""
        if probe:
            self._probing = False

    def _mostly_fails(self) -> bool:
        since = time.monotonic() - MEMORY_SECONDS
        recent = [failed for moment, failed in self._ends if moment >= since]
        return sum(recent) >= FAILURES_TO_OPEN and sum(recent) >= SHARE_TO_OPEN * len(recent)

    def _open(self) -> None:
        self._open_until = time.monotonic() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311
        log.warning("circuit_opened", provider=self._name, seconds=round(self._pause, 1))
        self._pause = min(self._pause * 2, LONGEST_OPEN_SECONDS)

    def _close(self) -> None:
        log.info("circuit_closed", provider=self._name)
        self._ends.clear()
        self._open_until, self._pause = None, FIRST_OPEN_SECONDS


class ProviderState:
    """What calls of one kind to one provider share."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.queue = ProviderQueue(settings.provider_max_in_flight, settings.provider_max_queue)
        self.breaker = Breaker(name)


class Policy:
    """The rules for every call; one for a process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._providers: dict[str, ProviderState] = {}

    def provider(self, name: str) -> ProviderState:
        """Return the provider of this name: a provider's, or that of its embeddings."""
        if name not in self._providers:
            self._providers[name] = ProviderState(name, self._settings)
        return self._providers[name]

    def load(self) -> dict[str, Load]:
        """Return how busy each provider is."""
        return {
            name: Load(provider.queue.in_flight, provider.queue.waiting, provider.breaker.is_open)
            for name, provider in self._providers.items()
        }

    async def call(
        self,
        name: str,
        target: Target,
        work: Callable[[], Awaitable[T]],
        *,
        user_id: str = "",
        attempts: list[Attempt] | None = None,
    ) -> T:
        """Do `work`, which is one exchange with a provider. Raises an AppError."""
        provider = self.provider(name)
        async with provider.queue.place(user_id, self._settings.provider_first_token_timeout):
            return await self._repeat(provider, target, work, [] if attempts is None else attempts)

    async def stream(
        self,
        target: Target,
        make: Callable[[], AsyncGenerator[AIMessageChunk, None]],
        *,
        user_id: str,
        attempts: list[Attempt],
        patient: bool = True,
    ) -> AsyncGenerator[AIMessageChunk, None]:
        """Yield what `make` streams. Repeats end with the first text; later failures are raised as they are.

        Not `patient`: where nobody listens there is no repeat, because another provider is at hand.
        """
        provider = self.provider(target.source)
        async with provider.queue.place(user_id, self._settings.provider_first_token_timeout):
            head, chunks = await self._repeat(provider, target, lambda: _begin(make), attempts, patient)
            async with aclosing(chunks):
                for chunk in head:
                    yield chunk
                try:
                    async for chunk in chunks:
                        yield chunk
                except AppError as error:
                    provider.breaker.leave(probe=False, error=error)
                    log.warning("provider_stream_failed", provider=target.source, code=error.code)
                    raise

    async def _repeat(
        self,
        provider: ProviderState,
        target: Target,
        work: Callable[[], Awaitable[T]],
        attempts: list[Attempt],
        patient: bool = True,
    ) -> T:
        for number in count():
            started = time.monotonic()
            probe = provider.breaker.enter()
            try:
                result = await work()
            except AppError as error:
                provider.breaker.leave(probe=probe, error=error)
                attempts.append(_attempt(target, error.code, started))
                log.warning("provider_call_failed", provider=target.source, code=error.code, attempt=number + 1)
                wait = self._wait(number, error)
                if wait is None or provider.breaker.is_open or (isinstance(error, ConnectFailed) and not patient):
                    raise
            except BaseException:
                provider.breaker.abandon(probe=probe)
                raise
            else:
                provider.breaker.leave(probe=probe, error=None)
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
    PROVIDER_ATTEMPTS.labels(target.source, outcome).inc()
    return Attempt(target.source, target.model, outcome, round((time.monotonic() - started) * 1000))


async def _begin(
    make: Callable[[], AsyncGenerator[AIMessageChunk, None]],
) -> tuple[list[AIMessageChunk], AsyncGenerator[AIMessageChunk, None]]:
    """Open a stream and read up to its first text or its end."""
    chunks = make()
    head: list[AIMessageChunk] = []
    try:
        async for chunk in chunks:
            head.append(chunk)
            if not is_notice(chunk):
                break
    except BaseException:
        await chunks.aclose()
        raise
    return head, chunks
