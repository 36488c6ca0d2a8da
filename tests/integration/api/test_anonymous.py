"""Chat without an account, where the operator lets people in."""

from collections.abc import AsyncIterator

import httpx
import pytest

from llama_service.settings import Settings
from persistence import checkpoints, runs
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.support import Server, events_of, serving


@pytest.fixture
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    async with serving(settings.model_copy(update={"allow_anonymous_chat": True, "inline_worker": False})) as running:
        yield running


async def test_closed_by_default(server: Server) -> None:
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as stranger:
        answer = await stranger.post("/chat", json={"message": "Hello?"})
    assert (answer.status_code, envelope(answer)["code"]) == (401, "not_authenticated")


async def test_open_where_the_operator_says_so_and_nothing_is_kept(open_server: Server, database: Database) -> None:
    async with httpx.AsyncClient(base_url=f"{open_server.url}/api/v1", timeout=30) as stranger:
        whole = await stranger.post("/chat", json={"message": "Who are you?"})
        assert whole.status_code == 200, whole.text
        thread = whole.json()["conversation_id"]
        async with stranger.stream("POST", "/chat/stream", json={"message": "And now?"}) as response:
            names = [event.name async for event in events_of(response)]
        assert names[-1] == "done"
        back = await stranger.post("/chat", json={"message": "Again.", "conversation_id": thread})
        assert back.status_code == 404
        assert (await stranger.get(f"/conversations/{thread}/messages")).status_code == 401
        files = await stranger.post("/chat", json={"message": "x", "file_ids": [thread]})
        assert files.status_code == 404
    resources = open_server.app.state.resources
    async with resources.database.transaction() as session:
        await runs.prune_anonymous(session, 0)
        await checkpoints.delete_orphans(session)
    for table, column in (("conversations", "id"), ("messages", "conversation_id"), ("checkpoints", "thread_id")):
        row = database.execute(f"SELECT count(*) FROM {table} WHERE {column}::text = %s", (thread,)).fetchone()
        assert row == (0,), table
