"""Stores go away and come back: runs end one way or the other, files are finished, nothing is stuck."""

import asyncio
from typing import Any

import aiohttp
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Script, Service, Stage
from tests.files.office import docx
from tests.integration.recovery.conftest import Serve, at
from tests.integration.recovery.test_workers import answer_of, ended
from tests.support import eventually

pytestmark = pytest.mark.slow
FACT = b"The lighthouse of Karsk was painted green in 1931 by Olga Ferm, who lived in it with nine cats."


async def upload(account: Account, name: str, content: bytes) -> str:
    form = aiohttp.FormData()
    form.add_field("file", content, filename=name)
    headers = {"Authorization": account.headers["Authorization"]}
    async with account.session.post(f"{account.url}/api/v1/files/upload", data=form, headers=headers) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def indexed(account: Account, file: str, seconds: float) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        state: dict[str, Any] = await account.call("GET", f"/files/status/{file}")
        return state if state["status"] in ("completed", "partial_success", "failed") else None

    return await eventually(look, seconds)


async def has_status(service: Service, wanted: str, seconds: float) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        _, body = await service.ready()
        return body if body["status"] == wanted else None

    return await eventually(look, seconds)


async def test_a_restart_of_postgres_leaves_no_run_stuck(
    parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    await parts.say(Script(tokens=120, rate=20))
    anna = await Account(http, second.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me."))
    await eventually(lambda: _true(len(follower.events) > 10))
    await parts.restart_postgres()
    await reading
    while not follower.ended:
        await follower.resume()
    status, _ = await ended(anna, follower.run_id, 15)
    assert status in ("completed", "interrupted")
    assert follower.faults == []
    message = await answer_of(anna, follower.start["conversation_id"])
    assert message["status"] in ("complete", "interrupted")
    assert message["content"] == follower.text
    await parts.say(Script(tokens=10, rate=0))
    following = Follower(anna)
    await following.ask("And now?", conversation_id=follower.start["conversation_id"])
    assert following.events[-1].name == "done"


async def test_without_chroma_a_chat_goes_on_with_all_it_finds(
    parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    await parts.say(Script(tokens=10, rate=0))
    anna = await Account(http, second.url).join()
    file = await upload(anna, "karsk.txt", FACT)
    assert (await indexed(anna, file, 30))["status"] == "completed"
    assert (await has_status(second, "ready", 20))["checks"]["vectors"]["ok"]
    parts.chroma.child.kill()
    await parts.chroma.child.wait()
    try:
        body = await has_status(second, "degraded", 10)
        assert (await second.ready())[0] == 200
        assert not body["checks"]["vectors"]["ok"]
        told = await _ask_about_karsk(anna, file)
        # So few passages are compared one by one, with what Postgres has.
        assert told["vector_error"] is None
    finally:
        await parts.chroma.stop()
        await parts.chroma.start()
    await has_status(second, "ready", 20)
    told = await _ask_about_karsk(anna, file)
    assert told["vector_error"] is None


async def _ask_about_karsk(account: Account, file: str) -> dict[str, Any]:
    """Ask what only the file knows; return what the trace says about the search."""
    follower = Follower(account)
    await follower.ask("Who painted the lighthouse of Karsk green?")
    assert follower.events[-1].name == "done"
    assert [source["file_id"] for source in follower.events[-1].data["sources"]] == [file]
    trace = await account.call("GET", f"/messages/{follower.start['message_id']}/trace")
    output: dict[str, Any] = next(node["output"] for node in trace["nodes"] if node["node"] == "retrieve")
    return output


@pytest.mark.parametrize("stage", ["extract", "embed"])
async def test_a_file_whose_worker_dies_is_finished_by_another(
    stage: str, serve: Serve, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    second.pause()  # so that it is the other one that takes the file
    anna = await Account(http, first.url).join()
    lines = [f"Line {number}: {stage} {number * 7919 % 100_003} of the ledger of Karsk." for number in range(20_000)]
    # Word's format takes long to read, plain text is soon embedded.
    content = docx([("Normal", line) for line in lines[:1500]]) if stage == "extract" else "\n".join(lines).encode()
    file = await upload(anna, f"ledger-{stage}", content)

    async def at_work() -> bool:
        state = await anna.call("GET", f"/files/status/{file}")
        return bool(state["status"] == "processing" and state["stage"] == stage)

    try:
        await eventually(at_work)
        await first.kill()
    finally:
        second.go_on()
    there = at(anna, second)
    done = await indexed(there, file, 45)
    assert done["status"] == "completed"
    assert done["chunks_indexed"] == done["chunks_total"] > 0
    found = await there.call("POST", "/search", {"query": f"ledger of Karsk {stage} {7919 * 3}", "k": 3})
    assert {passage["file_id"] for passage in found["passages"]} == {file}


async def _true(value: bool) -> bool:
    return value
