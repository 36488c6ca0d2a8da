"""A run goes on without the worker that began it: its answer ends complete, and nobody has to click."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Script, Service, Stage
from tests.integration.recovery.conftest import LONG, Serve, at
from tests.integration.recovery.test_workers import WHOLE, answer_of
from tests.support import eventually

pytestmark = pytest.mark.slow
# Ollama's wire: its models go on behind an unfinished answer.
CONTINUES: dict[str, Any] = {"model_source": "ollama"}


async def has_read(follower: Follower, pieces: int) -> None:
    async def read() -> bool:
        return follower.heard(pieces)()

    await eventually(read)


def requests_of(parts: Stage, run_id: str) -> tuple[int, str]:
    """Return a run's attempt and status, as the database has them."""
    with psycopg.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute("SELECT attempt, status FROM runs WHERE id = %s", (run_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


async def test_a_killed_workers_answer_is_finished_by_another(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", **CONTINUES))
    await has_read(follower, 10)
    await first.kill()
    await reading
    assert not follower.ended

    there = at(anna, second)
    await follower.resume(there)
    assert follower.faults == []
    assert follower.events[-1].name == "done"
    assert follower.text == WHOLE
    assert [event.data["attempt"] for event in follower.events if event.name == "resumed"] == [2]
    message = await answer_of(there, follower.start["conversation_id"])
    assert (message["content"], message["status"]) == (WHOLE, "complete")
    trace = await there.call("GET", f"/messages/{message['id']}/trace")
    assert trace["attempt"] == 2

    # The work after the answer is done too, by who finished it.
    async def titled() -> bool:
        conversation = await there.call("GET", f"/conversations/{follower.start['conversation_id']}")
        return bool(conversation["title"] == "A title")

    await eventually(titled)

    # The conversation goes on from there, with the whole answer in its state.
    await parts.say(Script(LONG.tokens, rate=0))
    state = await there.call("GET", f"/conversations/{follower.start['conversation_id']}/checkpoints")
    newest = state["items"][0]["values"]["messages"]
    assert [(m["type"], m["content"]) for m in newest] == [("human", "Count for me."), ("ai", WHOLE)]


async def test_what_was_retrieved_is_not_searched_again(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    file = await anna.upload("falcon.txt", b"The Falcon drill has a warranty of 37 months.")

    async def indexed() -> bool:
        return bool((await anna.call("GET", f"/files/{file['id']}"))["status"] == "completed")

    await eventually(indexed, 60)
    follower = Follower(anna)
    question = "How long is the warranty of the Falcon drill?"
    reading = asyncio.create_task(follower.ask(question, file_ids=[file["id"]], **CONTINUES))
    await has_read(follower, 5)
    await first.kill()
    await reading
    there = at(anna, second)
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name) == ([], "done")
    told = [event.data["sources"] for event in follower.events if event.name == "sources"]
    assert len(told) == 1, "sources are sent once"
    (source,) = follower.events[-1].data["sources"]
    assert source == told[0][0] | {"cited": False, "highlight": None}
    message = await answer_of(there, follower.start["conversation_id"])
    assert message["sources"] == [source]
    trace = await there.call("GET", f"/messages/{message['id']}/trace")
    assert [node["node"] for node in trace["nodes"]] == ["generate", "persist"]


async def test_the_rest_of_an_answer_that_is_finished_by_another_keeps_sources_and_costs_of_the_first_part(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    file = await anna.upload("falcon.txt", b"The Falcon drill has a warranty of 37 months.")

    async def indexed() -> bool:
        return bool((await anna.call("GET", f"/files/{file['id']}"))["status"] == "completed")

    await eventually(indexed, 60)
    question = {"message": "How long is the warranty of the Falcon drill?", "max_tokens": 5, "file_ids": [file["id"]]}
    cut = await anna.call("POST", "/chat", {**question, **CONTINUES})
    assert (cut["finish_reason"], [source["n"] for source in cut["sources"]]) == ("length", [1])
    follower = Follower(anna)
    here = {"conversation_id": cut["conversation_id"], "continue_message_id": cut["message_id"]}
    reading = asyncio.create_task(follower.ask("", use_rag=False, **here, **CONTINUES))
    await has_read(follower, 5)
    await first.kill()
    await reading
    there = at(anna, second)
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name) == ([], "done")
    message = await answer_of(there, cut["conversation_id"])
    assert (message["content"], message["status"]) == (WHOLE, "complete")
    assert message["sources"] == follower.events[-1].data["sources"] == cut["sources"]
    assert message["usage"] == follower.events[-1].data["usage"]
    for kind in ("input_tokens", "output_tokens"):
        assert message["usage"][kind] > cut["usage"][kind]


async def test_a_restart_in_mid_answer_ends_in_a_complete_answer(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession
) -> None:
    """SIGTERM, and the same service again: what an upgrade does. There is no other worker."""
    environment = {"SHUTDOWN_GRACE_SECONDS": "0"}
    first = await serve("restarted", **environment)
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", **CONTINUES))
    await has_read(follower, 10)
    os.kill(first.pid, signal.SIGTERM)
    await reading
    await asyncio.wait_for(first.child.wait(), 30)
    assert not follower.ended
    assert requests_of(parts, follower.run_id)[1] == "running"
    again = await serve("restarted", **environment)
    await follower.resume(at(anna, again))
    assert (follower.faults, follower.text, follower.events[-1].name) == ([], WHOLE, "done")
    assert requests_of(parts, follower.run_id) == (1, "completed"), "an orderly restart is no failed attempt"
    usage = (await answer_of(at(anna, again), follower.start["conversation_id"]))["usage"]
    assert usage["estimated"] is True, "the call that the first one broke off is counted, too"
    assert usage["output_tokens"] >= LONG.tokens
    assert usage == follower.events[-1].data["usage"]


async def test_a_run_that_loses_every_worker_is_given_up(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", **CONTINUES))
    await has_read(follower, 5)
    await first.kill()
    await reading
    with psycopg.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        query = "UPDATE runs SET attempt = 3 WHERE id = %s AND attempt = 1"
        assert connection.execute(query, (follower.run_id,)).rowcount == 1
    await follower.resume(at(anna, second))
    last: dict[str, Any] = follower.events[-1].data
    assert last["error"]["code"] == "run_given_up"
    message = await answer_of(at(anna, second), follower.start["conversation_id"])
    assert (message["status"], message["content"]) == ("failed", follower.text)


async def test_a_run_that_was_stopped_while_its_worker_was_dead_ends_as_stopped(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", **CONTINUES))
    await has_read(follower, 5)
    await first.kill()
    await reading
    there = at(anna, second)
    await there.call("POST", f"/chat/runs/{follower.run_id}/cancel")
    await follower.resume(there)
    assert follower.events[-1].name == "done"
    message = await answer_of(there, follower.start["conversation_id"])
    assert (message["status"], message["content"]) == ("stopped", follower.text)
    assert WHOLE.startswith(follower.text)
    assert follower.text != WHOLE
