"""A worker dies around a call of a tool: the tool runs once, and the answer comes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Service, Stage, stage
from tests.integration.recovery.conftest import Serve, at
from tests.integration.recovery.test_workers import answer_of
from tests.mcp_server import McpProcess, mcp_process
from tests.providers import OpenAIServer
from tests.support import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def parts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Stores of these tests' own: the session's other servers would take their runs over, and ask other models."""
    async with stage(tmp_path_factory.mktemp("tools"), fsync=False) as made:
        yield made


@pytest.fixture
async def letters(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[McpProcess]:
    """A real MCP server."""
    async with mcp_process(tmp_path_factory.mktemp("mcp")) as running:
        yield running


@pytest.fixture
async def model() -> AsyncIterator[OpenAIServer]:
    """A model that calls tools; it does not go on behind an unfinished text."""
    async with OpenAIServer() as running:
        yield running


async def pair(serve: Serve, model: OpenAIServer) -> tuple[Service, Service]:
    """Return two API processes on one database that ask the model."""
    environment = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test", "DEFAULT_MODEL_SOURCE": "openai"}
    first, second = await serve("tools-a", **environment), await serve("tools-b", **environment)
    return first, second


async def add_server(parts: Stage, account: Account, letters: McpProcess, **fields: Any) -> str:
    """Add the MCP server under a name of this test's own, and return the name."""
    with psycopg.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE users SET is_superuser = true WHERE id = %s", (account.user_id,))
    name = "s" + letters.url.split(":")[2].split("/")[0]
    body = {"name": name, "url": letters.url, "approval": "never", **fields}
    made = await account.call("POST", "/admin/mcp-servers", body)
    assert made["status"] == "ok"
    return name


async def ask(account: Account, question: str, tool: str) -> tuple[Follower, "asyncio.Task[None]"]:
    follower = Follower(account)
    return follower, asyncio.create_task(follower.ask(question, tools=[tool], use_rag=False))


def step_statuses(follower: Follower) -> list[str]:
    return [event.data["step"]["status"] for event in follower.events if event.name == "step"]


async def test_a_worker_that_dies_after_a_tool_does_not_run_it_again(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession, letters: McpProcess, model: OpenAIServer
) -> None:
    first, second = await pair(serve, model)
    anna = await Account(http, first.url).join()
    name = await add_server(parts, anna, letters)
    tool = f"{name}__send_letter"
    # The model is silent when it is asked again: the worker dies between the tool's end and the answer's first word.
    rounds = [[(tool, {"to": "Ada", "text": "Hello"})]]
    model.script(rounds=rounds, preamble="Just a moment.", fault="hang_before", every=2)
    follower, reading = await ask(anna, "Write to Ada.", tool)

    async def done() -> bool:
        return "done" in step_statuses(follower)

    await eventually(done)
    await first.kill()
    await reading
    there = at(anna, second)
    model.script(reply="It is sent.")
    await follower.resume(there)
    assert follower.faults == []
    assert follower.events[-1].name == "done", follower.events[-1].data
    assert letters.calls() == ["send_letter Ada"]
    message = await answer_of(there, follower.start["conversation_id"])
    assert message["content"] == follower.text == "Just a moment. \n\nIt is sent."
    assert [step["status"] for step in message["steps"]] == ["done"]
    trace = await there.call("GET", f"/messages/{message['id']}/trace")
    assert trace["attempt"] == 2


async def test_a_call_that_changes_something_is_not_repeated_where_nobody_knows_its_end(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession, letters: McpProcess, model: OpenAIServer
) -> None:
    first, second = await pair(serve, model)
    anna = await Account(http, first.url).join()
    name = await add_server(parts, anna, letters)
    tool = f"{name}__send_slowly"
    model.script(rounds=[[(tool, {"seconds": 30})]])
    follower, reading = await ask(anna, "Send it.", tool)

    async def begun() -> bool:
        return bool(letters.calls())

    await eventually(begun)
    await first.kill()
    await reading
    there = at(anna, second)
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name) == ([], "done")
    assert letters.calls() == ["send_slowly"]
    message = await answer_of(there, follower.start["conversation_id"])
    assert [step["status"] for step in message["steps"]] == ["failed"]
    assert "not known whether it took effect" in message["content"], "the model was told"


async def test_a_call_that_only_reads_is_made_again(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession, letters: McpProcess, model: OpenAIServer
) -> None:
    first, second = await pair(serve, model)
    anna = await Account(http, first.url).join()
    name = await add_server(parts, anna, letters)
    tool = f"{name}__wait"
    model.script(rounds=[[(tool, {"seconds": 2})]])
    follower, reading = await ask(anna, "Wait.", tool)

    async def begun() -> bool:
        return bool(letters.calls())

    await eventually(begun)
    await first.kill()
    await reading
    there = at(anna, second)
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name) == ([], "done")
    assert letters.calls() == ["wait", "wait"]
    message = await answer_of(there, follower.start["conversation_id"])
    assert [(step["status"], step["result_preview"]) for step in message["steps"]] == [("done", "Waited.")]


async def test_an_approval_survives_every_worker(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession, letters: McpProcess, model: OpenAIServer
) -> None:
    first, second = await pair(serve, model)
    anna = await Account(http, first.url).join()
    name = await add_server(parts, anna, letters, approval="per_tool")
    tool = f"{name}__send_letter"
    model.script(rounds=[[(tool, {"to": "Ada", "text": "Hello"})]])
    follower, reading = await ask(anna, "Write to Ada.", tool)

    async def waits() -> bool:
        return any(event.name == "action" for event in follower.events)

    await eventually(waits)
    await first.kill()
    await reading
    there = at(anna, second)
    assert letters.calls() == []
    assert (await there.call("GET", f"/chat/runs/{follower.run_id}"))["status"] == "waiting"
    (step_id,) = next(event.data["step_ids"] for event in follower.events if event.name == "action")
    decision = {"step_id": step_id, "decision": "approve"}
    await there.call("POST", f"/chat/runs/{follower.run_id}/resume", {"decisions": [decision]})
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name) == ([], "done")
    assert letters.calls() == ["send_letter Ada"]


async def test_sources_keep_their_numbers_over_a_takeover(
    serve: Serve, parts: Stage, http: aiohttp.ClientSession, letters: McpProcess, model: OpenAIServer
) -> None:
    first, second = await pair(serve, model)
    anna = await Account(http, first.url).join()
    name = await add_server(parts, anna, letters)
    for file, text in (("oak.txt", b"The oak table costs 120 euros."), ("elm.txt", b"Elm chairs take nine days.")):
        stored = await anna.upload(file, text)

        async def searchable(file_id: str = stored["id"]) -> bool:
            return bool((await anna.call("GET", f"/files/{file_id}"))["chunks_total"])

        await eventually(searchable, 60)
    rounds = [
        [("read_file", {"file": "oak.txt"}), (f"{name}__wait", {"seconds": 2})],
        [("read_file", {"file": "elm.txt"})],
    ]
    model.script(rounds=rounds, reply="It costs 120 euros [1] and takes nine days [2].")
    follower = Follower(anna)
    asked = follower.ask("What does it cost?", tools=["read_file", f"{name}__wait"], use_rag=False)
    reading = asyncio.create_task(asked)

    async def first_source() -> bool:
        return any(event.name == "sources" for event in follower.events) and bool(letters.calls())

    await eventually(first_source)
    await first.kill()
    await reading
    there = at(anna, second)
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name) == ([], "done")
    told = [[source["n"] for source in event.data["sources"]] for event in follower.events if event.name == "sources"]
    assert told == [[1], [1, 2]]
    message = await answer_of(there, follower.start["conversation_id"])
    assert [source["file_name"] for source in message["sources"]] == ["oak.txt", "elm.txt"]
    assert message["content"] == "It costs 120 euros [1] and takes nine days [2]."
    assert [step["sources"] for step in message["steps"]] == [[1], [], [2]]
