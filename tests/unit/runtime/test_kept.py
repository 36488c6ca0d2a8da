"""What is kept for a moment: one asks, and what changed meanwhile is asked for anew."""

import asyncio

from llama_service.kept import Kept


async def test_what_was_forgotten_while_it_was_asked_is_asked_again() -> None:
    asked, go_on, state = asyncio.Event(), asyncio.Event(), "old"

    async def look() -> str:
        found = state
        asked.set()
        await go_on.wait()
        return found

    kept = Kept(look, 60)
    first = asyncio.ensure_future(kept.get())
    await asked.wait()
    state = "new"
    kept.forget()
    go_on.set()
    assert await first == "old"
    assert await kept.get() == "new"


async def test_one_asks_and_the_others_wait() -> None:
    times = 0

    async def look() -> int:
        nonlocal times
        times += 1
        await asyncio.sleep(0)
        return times

    kept = Kept(look, 60)
    assert await asyncio.gather(*(kept.get() for _ in range(5))) == [1] * 5
    assert await kept.get() == 1
