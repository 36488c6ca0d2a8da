import asyncio

from chains.providers.reading import Watchdog


async def expired_after(first: float, between: float, signs: list[tuple[float, str]]) -> float:
    """Return the seconds after which the dog bites, given signs of life at their times."""
    loop = asyncio.get_running_loop()
    bitten = asyncio.Event()
    begun = loop.time()
    dog = Watchdog(first, between, bitten.set)
    dog.waiting = True
    for moment, sign in signs:
        loop.call_at(begun + moment, getattr(dog, sign))
    async with asyncio.timeout(3):
        await bitten.wait()
    dog.cancel()
    return loop.time() - begun


async def test_bites_after_the_time_to_the_first_token() -> None:
    assert 0.2 <= await expired_after(0.2, 5, []) < 0.3


async def test_between_tokens_another_time_counts() -> None:
    assert 0.3 <= await expired_after(5, 0.2, [(0.1, "first")]) < 0.4
    assert 0.5 <= await expired_after(0.1, 0.45, [(0.05, "first")]) < 0.6


async def test_each_sign_of_life_starts_the_time_anew() -> None:
    signs = [(0.05, "first"), *((0.05 * n, "alive") for n in range(2, 7))]
    assert 0.4 <= await expired_after(1, 0.1, signs) < 0.5


async def test_time_stands_still_while_nobody_waits() -> None:
    bitten = asyncio.Event()
    dog = Watchdog(0.05, 0.05, bitten.set)
    await asyncio.sleep(0.2)
    assert not bitten.is_set()
    dog.waiting = True
    async with asyncio.timeout(1):
        await bitten.wait()
    dog.cancel()
