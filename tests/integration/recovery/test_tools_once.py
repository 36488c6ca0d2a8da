"""A worker dies around a call of a tool: the tool runs once, and the answer comes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
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


@pytest.fixture(scope="module")
async def model() -> AsyncIterator[OpenAIServer]:
    """A model that calls tools; it does not go on behind an unfinished text."""
    async with OpenAIServer() as running:
        yield running


@pytest.fixture(scope="module")
def environment(model: OpenAIServer) -> dict[str, str]:
    """What makes an API process ask that model."""
    return {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test", "DEFAULT_MODEL_SOURCE": "openai"}


@pytest.fixture(scope="module")
async def second(parts: Stage, environment: dict[str, str]) -> Service:
    """An API process that stays up while the first of each test dies."""
    return await parts.serve("tools-b", **environment)


@dataclass
class Scene:
    """Two API processes on one database, a model that calls tools, and an MCP server. Anna asks the first of them."""

    parts: Stage
    first: Service
    second: Service
    model: OpenAIServer
    letters: McpProcess
    anna: Account
    follower: Follower

    @property
    def prefix(self) -> str:
        """The beginning of the names of the server's tools: one for each test, since they share a database."""
        return "s" + self.letters.url.split(":")[2].split("/")[0]

    async def add_server(self, approval: str = "never") -> None:
        """Add the MCP server, as an administrator does."""
        with psycopg.connect(self.parts.environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("UPDATE users SET is_superuser = true WHERE id = %s", (self.anna.user_id,))
        body = {"name": self.prefix, "url": self.letters.url, "approval": approval}
        assert (await self.anna.call("POST", "/admin/mcp-servers", body))["status"] == "ok"

    def tool(self, name: str) -> str:
        """Return the name by which the model calls a tool of the server."""
        return f"{self.prefix}__{name}"

    async def ask_until(self, seen: Callable[[], bool], *tools: str) -> None:
        """Ask; when `seen` says so, the process that answers is killed."""
        reading = asyncio.create_task(self.follower.ask("Do it, please.", tools=list(tools), use_rag=False))

        async def look() -> bool:
            return seen()

        await eventually(look)
        await self.first.kill()
        await reading

    def heard(self, name: str) -> list[dict[str, Any]]:
        """Return the data of the events of this name."""
        return [event.data for event in self.follower.events if event.name == name]

    async def ended(self) -> dict[str, Any]:
        """Read on at the other process until the run is done; return the answer."""
        there = at(self.anna, self.second)
        await self.follower.resume(there)
        assert self.follower.faults == []
        assert self.follower.events[-1].name == "done", self.follower.events[-1].data
        return await answer_of(there, self.follower.start["conversation_id"])


@pytest.fixture
async def scene(
    serve: Serve,
    parts: Stage,
    second: Service,
    environment: dict[str, str],
    http: aiohttp.ClientSession,
    letters: McpProcess,
    model: OpenAIServer,
) -> Scene:
    """The two processes, with the server added."""
    model.script()
    first = await serve("tools-a", **environment)
    anna = await Account(http, first.url).join()
    return Scene(parts, first, second, model, letters, anna, Follower(anna))


async def test_a_worker_that_dies_after_a_tool_does_not_run_it_again(scene: Scene) -> None:
    await scene.add_server()
    tool = scene.tool("send_letter")
    # The model is silent when it is asked again: the worker dies between the tool's end and the answer's first word.
    rounds = [[(tool, {"to": "Ada", "text": "Hello"})]]
    scene.model.script(rounds=rounds, preamble="Just a moment.", fault="hang_before", every=2)
    await scene.ask_until(lambda: any(data["step"]["status"] == "done" for data in scene.heard("step")), tool)
    scene.model.script(reply="It is sent.")
    message = await scene.ended()
    assert scene.letters.calls() == ["send_letter Ada"]
    assert message["content"] == scene.follower.text == "Just a moment. \n\nIt is sent."
    assert [step["status"] for step in message["steps"]] == ["done"]
    trace = await at(scene.anna, scene.second).call("GET", f"/messages/{message['id']}/trace")
    assert trace["attempt"] == 2


async def test_a_call_that_changes_something_is_not_repeated_where_nobody_knows_its_end(scene: Scene) -> None:
    await scene.add_server()
    tool = scene.tool("send_slowly")
    scene.model.script(rounds=[[(tool, {"seconds": 30})]])
    await scene.ask_until(lambda: bool(scene.letters.calls()), tool)
    message = await scene.ended()
    assert scene.letters.calls() == ["send_slowly"]
    assert [step["status"] for step in message["steps"]] == ["failed"]
    assert "not known whether it took effect" in message["content"], "the model was told"


async def test_a_call_that_only_reads_is_made_again(scene: Scene) -> None:
    await scene.add_server()
    tool = scene.tool("wait")
    scene.model.script(rounds=[[(tool, {"seconds": 2})]])
    await scene.ask_until(lambda: bool(scene.letters.calls()), tool)
    message = await scene.ended()
    assert scene.letters.calls() == ["wait", "wait"]
    assert [(step["status"], step["result_preview"]) for step in message["steps"]] == [("done", "Waited.")]


async def test_an_approval_survives_every_worker(scene: Scene) -> None:
    await scene.add_server(approval="per_tool")
    tool = scene.tool("send_letter")
    scene.model.script(rounds=[[(tool, {"to": "Ada", "text": "Hello"})]])
    await scene.ask_until(lambda: bool(scene.heard("action")), tool)
    assert scene.letters.calls() == []
    there, run_id = at(scene.anna, scene.second), scene.follower.run_id
    assert (await there.call("GET", f"/chat/runs/{run_id}"))["status"] == "waiting"
    (step_id,) = scene.heard("action")[0]["step_ids"]
    decision = {"step_id": step_id, "decision": "approve"}
    await there.call("POST", f"/chat/runs/{run_id}/resume", {"decisions": [decision]})
    await scene.ended()
    assert scene.letters.calls() == ["send_letter Ada"]


async def test_sources_keep_their_numbers_over_a_takeover(scene: Scene) -> None:
    await scene.add_server()
    for file, text in (("oak.txt", b"The oak table costs 120 euros."), ("elm.txt", b"Elm chairs take nine days.")):
        stored = await scene.anna.upload(file, text)

        async def searchable(file_id: str = stored["id"]) -> bool:
            return bool((await scene.anna.call("GET", f"/files/{file_id}"))["chunks_total"])

        await eventually(searchable, 60)
    wait = scene.tool("wait")
    rounds = [[("read_file", {"file": "oak.txt"}), (wait, {"seconds": 2})], [("read_file", {"file": "elm.txt"})]]
    scene.model.script(rounds=rounds, reply="It costs 120 euros [1] and takes nine days [2].")
    await scene.ask_until(lambda: bool(scene.heard("sources") and scene.letters.calls()), "read_file", wait)
    message = await scene.ended()
    told = [[source["n"] for source in data["sources"]] for data in scene.heard("sources")]
    assert told == [[1], [1, 2]]
    assert [source["file_name"] for source in message["sources"]] == ["oak.txt", "elm.txt"]
    assert message["content"] == "It costs 120 euros [1] and takes nine days [2]."
    assert [step["sources"] for step in message["steps"]] == [[1], [], [2]]
