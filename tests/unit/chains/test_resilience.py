import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from chains import resilience
from chains.faults import CircuitOpen, ConnectTimedOut, ServerFailed
from chains.queue import ProviderQueue
from chains.resilience import Breaker, Policy
from chains.types import Attempt, Target
from llama_service.errors import (
    AppError,
    ModelNotFound,
    ProviderBusy,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from tests.providers.asking import settings_for

TARGET = Target("openai", "m", "openai")


async def hold(queue: ProviderQueue, user: str, turns: list[str], go: asyncio.Event) -> None:
    async with queue.place(user, 5):
        turns.append(user)
        await go.wait()
        await asyncio.sleep(0)


async def queued(queue: ProviderQueue, count: int) -> None:
    while queue.waiting < count:  # noqa: ASYNC110  (the queue has nothing to wait for)
        await asyncio.sleep(0)


async def test_users_get_their_turns_round_and_round() -> None:
    queue = ProviderQueue(1, 1000)
    turns: list[str] = []
    go = asyncio.Event()
    tasks = [asyncio.create_task(hold(queue, "first", turns, go))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(hold(queue, "greedy", turns, go)) for _ in range(100)]
    await queued(queue, 100)
    for number in range(50):
        tasks.append(asyncio.create_task(hold(queue, f"user{number:02}", turns, go)))
        await queued(queue, 101 + number)
    go.set()
    await asyncio.gather(*tasks)
    assert turns[:3] == ["first", "greedy", "user00"]
    assert turns[2:52] == [f"user{number:02}" for number in range(50)]
    assert Counter(turns)["greedy"] == 100


async def test_full_queue_is_told_and_the_greediest_gives_way() -> None:
    queue = ProviderQueue(1, 3)
    turns: list[str] = []
    go = asyncio.Event()
    first = asyncio.create_task(hold(queue, "a", turns, go))
    await asyncio.sleep(0)
    greedy = [asyncio.create_task(hold(queue, "a", turns, go)) for _ in range(3)]
    await queued(queue, 3)
    with pytest.raises(ProviderBusy) as caught:
        await hold(queue, "a", turns, go)
    assert caught.value.retry_after == 5
    other = asyncio.create_task(hold(queue, "b", turns, go))
    outcome = await asyncio.gather(greedy[-1], return_exceptions=True)
    assert isinstance(outcome[0], ProviderBusy)
    go.set()
    await asyncio.gather(first, *greedy[:-1], other)
    assert turns == ["a", "a", "b", "a"]


async def test_waiting_has_an_end() -> None:
    queue = ProviderQueue(1, 3)
    async with queue.place("a", 1):
        with pytest.raises(ProviderBusy):
            async with queue.place("b", 0.02):
                pytest.fail("there was no place")
    async with queue.place("b", 0.02):
        assert queue.waiting == 0


async def test_who_leaves_the_queue_leaves_no_trace() -> None:
    queue = ProviderQueue(1, 10)
    turns: list[str] = []
    go = asyncio.Event()
    tasks = [asyncio.create_task(hold(queue, str(n), turns, go)) for n in range(5)]
    await queued(queue, 4)
    go.set()
    for task in tasks[1:4]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert queue.waiting == 0
    async with queue.place("x", 0.1):
        turns.append("x")
    assert turns[-1] == "x"


async def test_place_given_in_the_moment_of_leaving_is_passed_on() -> None:
    queue = ProviderQueue(1, 10)
    turns: list[str] = []
    go = asyncio.Event()
    first, second, third = (asyncio.create_task(hold(queue, str(n), turns, go)) for n in range(3))
    await queued(queue, 2)
    go.set()
    await first
    second.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    async with queue.place("x", 0.1):
        assert queue.waiting == 0


def test_breaker_opens_probes_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("chains.resilience.time.monotonic", lambda: now)
    breaker = Breaker("x")
    for _ in range(resilience.FAILURES_TO_OPEN):
        assert breaker.enter() is False
        breaker.leave(probe=False, error=ServerFailed())
    with pytest.raises(CircuitOpen) as caught:
        breaker.enter()
    assert caught.value.retry_after
    now += 10
    assert breaker.enter() is True
    with pytest.raises(CircuitOpen):
        breaker.enter()
    breaker.leave(probe=True, error=ServerFailed())
    with pytest.raises(CircuitOpen):
        breaker.enter()
    now += 10
    assert breaker.enter() is True
    breaker.abandon(probe=True)
    assert breaker.enter() is True
    breaker.leave(probe=True, error=None)
    assert breaker.enter() is False


def test_breaker_stays_closed_where_most_calls_succeed() -> None:
    breaker = Breaker("x")
    for _ in range(20):
        breaker.leave(probe=breaker.enter(), error=None)
    for _ in range(20):
        breaker.leave(probe=breaker.enter(), error=ServerFailed())
    assert not breaker.is_open


@pytest.mark.parametrize("error", [ModelNotFound(), ProviderRateLimited(), ProviderBusy()])
def test_errors_that_say_nothing_about_the_provider_do_not_open(error: AppError) -> None:
    breaker = Breaker("x")
    for _ in range(20):
        breaker.leave(probe=breaker.enter(), error=error)
    assert not breaker.is_open


class Calls:
    """Fails with the given errors, then succeeds."""

    def __init__(self, *errors: AppError) -> None:
        self.errors = list(errors)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "fine"


def policy(**given: Any) -> Policy:
    return Policy(settings_for(**given))


@pytest.mark.parametrize("error", [ServerFailed, ProviderUnavailable, lambda: ProviderRateLimited(retry_after=0.05)])
async def test_what_may_pass_is_repeated(error: Any) -> None:
    calls = Calls(error(), error())
    attempts: list[Attempt] = []
    assert await policy().call("x", TARGET, calls, attempts=attempts) == "fine"
    assert [attempt.outcome for attempt in attempts] == [error().code, error().code, "ok"]


@pytest.mark.parametrize(
    "error",
    [ModelNotFound(), ProviderTimeout(), ConnectTimedOut(), ProviderRateLimited(retry_after=60), ProviderBusy()],
    ids=lambda error: type(error).__name__,
)
async def test_what_will_not_pass_is_told_at_once(error: AppError) -> None:
    calls = Calls(error)
    with pytest.raises(type(error)):
        await policy().call("x", TARGET, calls)
    assert calls.count == 1


async def test_retry_after_is_waited_for() -> None:
    begun = time.monotonic()
    await policy().call("x", TARGET, Calls(ProviderRateLimited(retry_after=0.3)))
    assert 0.29 < time.monotonic() - begun < 0.6


async def test_open_circuit_ends_the_repeats_and_spares_the_provider() -> None:
    rules = policy(provider_max_retries=2)
    calls = Calls(*(ServerFailed() for _ in range(20)))
    for _ in range(2):
        with pytest.raises(ServerFailed):
            await rules.call("x", TARGET, calls)
    assert calls.count == resilience.FAILURES_TO_OPEN
    with pytest.raises(CircuitOpen):
        await rules.call("x", TARGET, calls)
    assert calls.count == resilience.FAILURES_TO_OPEN
    assert await rules.call("other", TARGET, Calls()) == "fine"


async def test_nothing_is_repeated_after_the_first_text() -> None:
    made = 0

    async def chunks() -> AsyncGenerator[AIMessageChunk, None]:
        nonlocal made
        made += 1
        yield AIMessageChunk(content="text")
        raise ServerFailed

    with pytest.raises(ServerFailed):
        async for _ in policy().stream(TARGET, chunks, user_id="u", attempts=[]):
            pass
    assert made == 1


async def test_closing_a_stream_closes_its_source_and_frees_its_place() -> None:
    rules = policy(provider_max_in_flight=1)
    closed = False

    async def chunks() -> AsyncGenerator[AIMessageChunk, None]:
        nonlocal closed
        try:
            while True:
                yield AIMessageChunk(content="text")
        finally:
            closed = True

    stream = rules.stream(TARGET, chunks, user_id="u", attempts=[])
    assert (await anext(stream)).text == "text"
    await stream.aclose()
    assert closed

    async def short() -> AsyncGenerator[AIMessageChunk, None]:
        yield AIMessageChunk(content="short")

    assert [chunk.text async for chunk in rules.stream(TARGET, short, user_id="v", attempts=[])] == ["short"]
