"""Runs outlive clients and workers: what was said is kept, and can be read, stopped and continued from anywhere."""

import asyncio
import os
import re
import signal
import time
from typing import Any

import aiohttp
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Script, Service, Stage
from tests.integration.recovery.conftest import LONG, Serve, at
from tests.support import eventually

pytestmark = pytest.mark.slow
# The provider counts: " t0 t1 … t9 t0 …". A word that is lost or comes twice shows.
WHOLE = "".join(f" t{n % 10}" for n in range(LONG.tokens or 0))


async def answer_of(account: Account, conversation: str) -> dict[str, Any]:
    page = await account.call("GET", f"/conversations/{conversation}/messages")
    message: dict[str, Any] = page["items"][-1]
    return message


async def ended(account: Account, run_id: str, seconds: float) -> tuple[str, float]:
    """Return how a run ended, and after how many seconds."""
    began = time.monotonic()

    async def look() -> str | None:
        status = (await account.call("GET", f"/chat/runs/{run_id}"))["status"]
        return None if status == "running" else str(status)

    return await eventually(look, seconds), time.monotonic() - began


async def test_a_killed_worker_loses_no_word(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me."))
    await eventually(lambda: _true(len(follower.events) > 20))
    await first.kill()
    await reading
    assert not follower.ended
    seen = follower.text

    there = at(anna, second)
    began = time.monotonic()
    await follower.resume(there)
    assert time.monotonic() - began < 15
    assert follower.faults == []
    assert (follower.events[-1].name, follower.events[-1].data["error"]["code"]) == ("error", "interrupted")
    assert follower.text.startswith(seen)
    assert WHOLE.startswith(follower.text)
    status, _ = await ended(there, follower.run_id, 1)
    assert status == "interrupted"

    conversation = follower.start["conversation_id"]
    message = await answer_of(there, conversation)
    assert (message["content"], message["status"]) == (follower.text, "interrupted")
    question = (await there.call("GET", f"/conversations/{conversation}/messages"))["items"][0]
    assert question["content"] == "Count for me."

    await parts.say(Script(LONG.tokens, rate=0))
    rest = Follower(there)
    await rest.ask("", conversation_id=conversation, continue_message_id=message["id"])
    assert (rest.events[-1].name, rest.faults) == ("done", [])
    continued = await answer_of(there, conversation)
    assert continued["id"] == message["id"]
    assert (continued["content"], continued["status"]) == (message["content"] + rest.text, "complete")

    again = Follower(there)
    await again.ask("", conversation_id=conversation, parent_message_id=question["id"], regenerate=True)
    other = await answer_of(there, conversation)
    assert (other["content"], other["status"], other["parent_id"]) == (WHOLE, "complete", question["id"])
    assert set(other["sibling_ids"]) == {message["id"], other["id"]}


async def test_every_worker_reads_and_stops_every_run(
    serve: Serve, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    here, there = Follower(anna), Follower(at(anna, second))
    reading = asyncio.create_task(here.ask("Count for me."))
    await eventually(lambda: _true(bool(here.events)))
    there.events.append(here.events[0])
    listening = asyncio.create_task(there.resume())
    await eventually(lambda: _true(len(there.events) > 20))
    assert len(here.events) - len(there.events) < 20, "the other worker lags behind"

    began = time.monotonic()
    await there.account.call("POST", f"/chat/runs/{here.run_id}/cancel")
    await asyncio.gather(reading, listening)
    assert time.monotonic() - began < 1
    assert here.events == there.events
    assert here.events[-1].name == "done"
    assert (here.faults, there.faults) == ([], [])
    message = await answer_of(anna, here.start["conversation_id"])
    assert (message["status"], message["content"]) == ("stopped", here.text)
    assert WHOLE.startswith(here.text)


async def test_sigterm_lets_short_runs_end_and_keeps_the_words_of_long_ones(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    await parts.say(Script(tokens=100, rate=20))  # five seconds
    grace = 3
    first = await serve("a", SHUTDOWN_GRACE_SECONDS=str(grace))
    anna = await Account(http, first.url).join()
    short, long = Follower(anna), Follower(anna)
    readers = [asyncio.create_task(short.ask("The first."))]
    await eventually(lambda: _true(len(short.text) > 60 * 3))
    readers.append(asyncio.create_task(long.ask("The second.")))
    await eventually(lambda: _true(len(long.text) > 5 * 3))
    began = time.monotonic()
    os.kill(first.pid, signal.SIGTERM)
    await asyncio.gather(*readers)
    code = await asyncio.wait_for(first.child.wait(), 30)
    took = time.monotonic() - began
    there = at(anna, second)
    assert (await ended(there, short.run_id, 1))[0] == "completed"
    # Another worker takes it over at its next heartbeat; this provider can not continue a text.
    assert (await ended(there, long.run_id, 15))[0] == "interrupted"
    message = await answer_of(there, long.start["conversation_id"])
    assert message["status"] == "interrupted"
    assert message["content"].startswith(long.text)
    assert re.fullmatch(r"( t\d)+", message["content"])
    assert short.events[-1].name == "done"
    assert code in (0, -signal.SIGTERM)
    assert took < grace + 2.5, "a supervisor that waits for the grace and a little more would have killed it"


async def _true(value: bool) -> bool:
    return value


async def test_a_server_that_stops_lets_readers_of_other_servers_runs_go(
    serve: Serve, second: Service, http: aiohttp.ClientSession
) -> None:
    patience = 60
    stopped = await serve("stopped", SHUTDOWN_GRACE_SECONDS=str(patience))
    anna = await Account(http, second.url).join()
    here, there = Follower(anna), Follower(at(anna, stopped))
    reading = asyncio.create_task(here.ask("Count for me."))
    await eventually(lambda: _true(len(here.events) > 1))
    there.events.append(here.events[0])
    listening = asyncio.create_task(there.resume())
    await eventually(lambda: _true(len(there.events) > 1))
    os.kill(stopped.pid, signal.SIGTERM)
    await asyncio.wait_for(stopped.child.wait(), patience / 2)
    await listening
    assert not there.ended
    await reading
    await there.resume(anna)
    assert (there.text, there.faults) == (WHOLE, [])
