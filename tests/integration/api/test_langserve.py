"""LangServe: the same turns by another door, with the same guard."""

import asyncio
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langserve import RemoteRunnable

from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Person, Server

PATH = "/langserve/chat"


def remote(server: Server, person: Person) -> RemoteRunnable[Any, str]:
    headers = {"Authorization": f"Bearer {person.tokens['access_token']}"}
    return RemoteRunnable(f"{server.url}{PATH}", headers=headers)


async def test_remote_runnable_invokes_and_streams(server: Server, anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["Tokens ", "one ", "by ", "one."], delay=0.05)
    chat = remote(server, anna)
    question = {"messages": [HumanMessage("How do you speak?")]}
    assert await chat.ainvoke(question) == "Tokens one by one."
    parts = [part async for part in chat.astream(question)]
    assert "".join(parts) == "Tokens one by one."
    assert len(parts) > 1
    await chat.async_client.aclose()
    await asyncio.to_thread(chat.sync_client.close)


async def test_a_turn_goes_on_in_the_conversation_and_is_seen_in_the_page(server: Server, anna: Person) -> None:
    thread = (await anna.ask("Begin here."))["conversation_id"]
    body = {"input": {"messages": [{"type": "human", "content": "Go on."}], "conversation_id": thread}}
    answer = await anna.http.post(f"{server.url}{PATH}/invoke", json=body)
    assert answer.status_code == 200, answer.text
    talk = await messages(anna, thread)
    assert [m["content"] for m in talk if m["role"] == "user"] == ["Begin here.", "Go on."]
    assert talk[-1]["content"] == answer.json()["output"]


@pytest.mark.parametrize(
    "path", ["invoke", "stream", "stream_log", "playground/", "input_schema", "playground/index.html"]
)
async def test_every_route_is_guarded(server: Server, path: str) -> None:
    async with httpx.AsyncClient() as stranger:
        method = "POST" if path in ("invoke", "stream", "stream_log") else "GET"
        answer = await stranger.request(method, f"{server.url}{PATH}/{path}", json={"input": {}})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "not_authenticated"


async def test_a_stranger_can_not_reach_a_conversation(server: Server, anna: Person, boris: Person) -> None:
    thread = (await anna.ask("Mine."))["conversation_id"]
    body = {
        "input": {"messages": [{"type": "human", "content": "Let me in."}], "conversation_id": thread},
        "config": {"configurable": {"thread_id": thread, "user_id": (await anna.get("/auth/me"))["id"]}},
    }
    answer = await boris.http.post(f"{server.url}{PATH}/invoke", json=body)
    assert answer.status_code in (404, 422)
    body.pop("config")
    answer = await boris.http.post(f"{server.url}{PATH}/invoke", json=body)
    assert answer.status_code == 404
    assert len(await messages(anna, thread)) == 2


async def test_what_is_left_off_is_not_there(server: Server, anna: Person) -> None:
    for path in ("batch", "stream_events", "feedback"):
        answer = await anna.http.post(f"{server.url}{PATH}/{path}", json={"input": {}})
        assert answer.status_code in (404, 405), path
    batch = await anna.http.post(f"{server.url}{PATH}/invoke", json={"input": {"messages": []}})
    assert batch.status_code == 422
