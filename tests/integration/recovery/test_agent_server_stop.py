"""A server that is stopped in the middle of an Agent Server run says so, and the run's answer is not lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest

from llama_service.settings import Settings
from tests.conftest import Database
from tests.providers import OllamaServer
from tests.support import Person, Server, eventually, serving

NUMBERS = [f" {n}" for n in range(60)]
ASKED = {
    "assistant_id": "chat",
    "input": {"messages": [{"role": "user", "content": "Count to sixty"}]},
    "stream_mode": ["values"],
    # Its models go on behind an unfinished answer.
    "config": {"configurable": {"model_source": "ollama"}},
}


@pytest.fixture
async def leaving(server: Server, settings: Settings, tmp_path: Path) -> AsyncIterator[Server]:
    """Another process's application on the same database."""
    async with serving(settings.model_copy(update={"data_dir": tmp_path / "data"})) as running:
        yield running


async def test_its_clients_are_told_and_the_answers_are_finished_elsewhere(
    leaving: Server, anna: Person, ollama: OllamaServer, database: Database
) -> None:
    ollama.script(tokens=NUMBERS, delay=0.05)
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    user = (await anna.get("/auth/me"))["id"]

    async def post(path: str) -> httpx.Response:
        return await anna.http.post(f"{leaving.url}/langgraph{path}", json=ASKED, timeout=60)

    paths = (f"/threads/{thread}/runs/wait", "/runs/wait", "/runs/stream")
    asking = [asyncio.create_task(post(path)) for path in paths]
    speaking = (
        "SELECT r.id FROM runs r JOIN run_events e ON e.run_id = r.id"
        " WHERE r.user_id = %s AND e.event = 'chunk' GROUP BY r.id HAVING count(*) > 3"
    )

    async def all_speak() -> bool:
        return len(database.execute(speaking, [user]).fetchall()) == len(paths)

    await eventually(all_speak)
    leaving.app.state.resources.runs.begin_closing(0)  # as at a signal
    *waited, streamed = await asyncio.gather(*asking)
    for answer in waited:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "interrupted")
    name, data = streamed.text.strip().rpartition("\n\n")[2].splitlines()
    assert (name, orjson.loads(data.removeprefix("data: "))["error"]) == ("event: error", "interrupted")

    conversations = (await anna.get("/conversations"))["items"]
    assert len(conversations) == len(paths)
    for conversation in conversations:

        async def is_whole(id_: str = conversation["id"]) -> bool:
            message = (await anna.get(f"/conversations/{id_}/messages"))["items"][-1]
            return (message["content"].split(), message["status"]) == ("".join(NUMBERS).split(), "complete")

        await eventually(is_whole, 40)
