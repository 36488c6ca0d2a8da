"""LangGraph's own clients against `/langgraph`: the SDK and RemoteGraph, as they come from their packages."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.e2e.browser import ROOT, node_executable
from tests.providers import OpenAIServer
from tests.support import Person, Server

SCRIPT = ROOT / "tests" / "integration" / "api" / "agent_server_client.mjs"


def client_of(server: Server, person: Person) -> LangGraphClient:
    headers = {"Authorization": person.http.headers["Authorization"]}
    return get_client(url=f"{server.url}/langgraph", headers=headers, api_key=None)


@pytest.fixture
async def client(server: Server, anna: Person) -> AsyncIterator[LangGraphClient]:
    async with client_of(server, anna) as made:
        yield made


def asked(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def texts(values: Any) -> list[str]:
    return [message["content"] for message in values["messages"]]


async def test_assistants(client: LangGraphClient) -> None:
    (assistant,) = await client.assistants.search(graph_id="chat")
    assert (await client.assistants.get("chat"))["assistant_id"] == assistant["assistant_id"]
    drawn: Any = await client.assistants.get_graph(assistant["assistant_id"])
    assert {"retrieve", "augment", "generate", "persist"} <= {node["id"] for node in drawn["nodes"]}
    schemas: Any = await client.assistants.get_schemas("chat")
    assert "messages" in schemas["input_schema"]["properties"]
    with pytest.raises(httpx.HTTPStatusError):
        await client.assistants.get("another")


async def test_a_thread_is_a_conversation(client: LangGraphClient, anna: Person, openai: OpenAIServer) -> None:
    thread = await client.threads.create(metadata={"topic": "rivers"})
    openai.script(reply="The Volga.")
    values: Any = await client.runs.wait(thread["thread_id"], "chat", input=asked("Which is the longest river?"))
    assert texts(values) == ["Which is the longest river?", "The Volga."]
    items = (await anna.get(f"/conversations/{thread['thread_id']}/messages"))["items"]
    assert [item["content"] for item in items] == texts(values)
    assert [message["id"] for message in values["messages"]] == [item["id"] for item in items]
    state: Any = await client.threads.get_state(thread["thread_id"])
    assert (texts(state["values"]), state["next"]) == (texts(values), [])
    history = await client.threads.get_history(thread["thread_id"])
    assert history[0]["checkpoint"]["checkpoint_id"] == state["checkpoint"]["checkpoint_id"]
    assert len(history) > 3
    (found,) = await client.threads.search(metadata={"topic": "rivers"}, status="idle")
    assert found["thread_id"] == thread["thread_id"]
    assert await client.threads.search(metadata={"topic": "lakes"}) == []
    await client.threads.update(thread["thread_id"], metadata={"mood": "calm"})
    whole: Any = await client.threads.get(thread["thread_id"])
    assert {"topic": "rivers", "mood": "calm"}.items() <= whole["metadata"].items()
    assert texts(whole["values"]) == texts(values)
    await client.threads.delete(thread["thread_id"])
    assert (await anna.http.get(f"/conversations/{thread['thread_id']}")).status_code == 404


async def test_every_stream_mode(client: LangGraphClient, anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("hall.txt", b"The ceiling of the hall is nine metres high.")
    thread = await client.threads.create()
    openai.script(tokens=["Nine ", "metres ", "[1]."], delay=0.05)
    modes: Any = ["values", "updates", "messages-tuple", "custom"]
    parts = [
        part
        async for part in client.runs.stream(
            thread["thread_id"], "chat", input=asked("How high is the ceiling of the hall?"), stream_mode=modes
        )
    ]
    kinds = [part.event for part in parts]
    assert kinds[0] == "metadata"
    assert set(kinds) == {"metadata", "values", "updates", "messages", "custom"}
    spoken = "".join(part.data[0]["content"] for part in parts if part.event == "messages")
    assert spoken == "Nine metres [1]."
    nodes = [next(iter(part.data)) for part in parts if part.event == "updates"]
    assert nodes == ["retrieve", "augment", "generate", "persist"]
    first, last = (next(p.data for p in order if p.event == "values") for order in (parts, parts[::-1]))
    assert texts(first) == ["How high is the ceiling of the hall?"]
    assert texts(last)[-1] == "Nine metres [1]."
    assert [source["file_name"] for source in last["sources"]] == ["hall.txt"]
    assert any(part.event == "custom" and part.data["sources"] for part in parts if isinstance(part.data, dict))


async def test_messages_grow(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    openai.script(tokens=["One ", "two ", "three."], delay=0.1)
    parts = [
        part
        async for part in client.runs.stream(thread["thread_id"], "chat", input=asked("Count"), stream_mode="messages")
    ]
    grown = [part.data[0]["content"] for part in parts if part.event == "messages/partial"]
    assert grown[-1] == "One two three."
    assert all(later.startswith(sooner) for sooner, later in pairwise(grown))
    assert [part.data[0]["content"] for part in parts if part.event == "messages/complete"] == ["One two three."]


async def test_a_run_is_left_and_taken_up_again(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    openai.script(tokens=[f"{n} " for n in range(20)], delay=0.05)
    run = await client.runs.create(thread["thread_id"], "chat", input=asked("Count to twenty"))
    assert run["status"] in ("pending", "running")
    parts = [
        part
        async for part in client.runs.join_stream(thread["thread_id"], run["run_id"], stream_mode=["messages-tuple"])
    ]
    assert "".join(part.data[0]["content"] for part in parts if part.event == "messages").split()[-1] == "19"
    seen = [part.id for part in parts if part.id]
    rest = [
        part
        async for part in client.runs.join_stream(
            thread["thread_id"], run["run_id"], stream_mode=["messages-tuple"], last_event_id=seen[3]
        )
    ]
    assert [part.id for part in rest] == seen[4:]
    values: Any = await client.runs.join(thread["thread_id"], run["run_id"])
    assert texts(values)[-1].split()[-1] == "19"
    assert [found["status"] for found in await client.runs.list(thread["thread_id"])] == ["success"]


async def test_cancel(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    openai.script(tokens=["word "] * 200, delay=0.05)
    run = await client.runs.create(thread["thread_id"], "chat", input=asked("Write much"))
    assert (await client.threads.get(thread["thread_id"]))["status"] == "busy"
    await client.runs.cancel(thread["thread_id"], run["run_id"], wait=True)
    assert (await client.runs.get(thread["thread_id"], run["run_id"]))["status"] == "interrupted"


async def test_time_travel(client: LangGraphClient, anna: Person, openai: OpenAIServer) -> None:
    """A question from an earlier checkpoint is a branch of the conversation; an old state runs again."""
    thread = await client.threads.create()
    thread_id = thread["thread_id"]
    await client.runs.wait(thread_id, "chat", input=asked("One?"))
    after_one: Any = await client.threads.get_state(thread_id)
    await client.runs.wait(thread_id, "chat", input=asked("Two?"))
    forked: Any = await client.runs.wait(
        thread_id, "chat", input=asked("Other two?"), checkpoint_id=after_one["checkpoint"]["checkpoint_id"]
    )
    assert [m["content"] for m in forked["messages"] if m["type"] == "human"] == ["One?", "Other two?"]
    question = (await anna.get(f"/conversations/{thread_id}/messages"))["items"][2]
    assert len(question["sibling_ids"]) == 2
    states: Any = await client.threads.get_history(thread_id, limit=50)
    early = next(state for state in states if state["next"] == ["generate"])
    openai.script(reply="Once more.")
    again: Any = await client.runs.wait(
        thread_id, "chat", input=None, checkpoint_id=early["checkpoint"]["checkpoint_id"]
    )
    assert texts(again)[-1] == "Once more."
    answer = (await anna.get(f"/conversations/{thread_id}/messages"))["items"][-1]
    assert len(answer["sibling_ids"]) == 2


async def test_state_can_be_changed_and_messages_can_not(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "chat", input=asked("One?"))
    await client.threads.update_state(thread["thread_id"], {"query": "changed by hand"}, as_node="generate")
    state: Any = await client.threads.get_state(thread["thread_id"])
    assert state["values"]["query"] == "changed by hand"
    values: Any = await client.runs.wait(thread["thread_id"], "chat", input=asked("Two?"))
    assert [m["content"] for m in values["messages"] if m["type"] == "human"] == ["One?", "Two?"]
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await client.threads.update_state(thread["thread_id"], {"messages": [{"role": "user", "content": "x"}]})
    assert refused.value.response.status_code == 422
    for wrong in ({"as_node": "nowhere"}, {"values": {"no such value": 1}, "as_node": "generate"}):
        given: dict[str, Any] = {"values": {"query": "x"}, **wrong}
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await client.threads.update_state(thread["thread_id"], **given)
        assert refused.value.response.status_code == 422


async def test_a_run_without_a_thread_leaves_nothing(
    client: LangGraphClient, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="Gone soon.")
    values: Any = await client.runs.wait(None, "chat", input=asked("Who?"))
    assert texts(values)[-1] == "Gone soon."
    parts = [part async for part in client.runs.stream(None, "chat", input=asked("Who?"))]
    assert texts(parts[-1].data)[-1] == "Gone soon."
    # Nor does one that is refused.
    for refused in (client.runs.wait(None, "another", input=asked("Who?")), client.runs.create(None, "another")):
        with pytest.raises(httpx.HTTPStatusError):
            await refused
    with pytest.raises(httpx.HTTPStatusError):
        [part async for part in client.runs.stream(None, "another", input=asked("Who?"))]
    assert (await anna.get("/conversations"))["items"] == []


async def test_what_is_not_done_here_is_refused(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    refusals: list[dict[str, Any]] = [
        {"interrupt_before": ["generate"]},
        {"webhook": "https://example.com"},
        {"multitask_strategy": "enqueue"},
        {"stream_mode": "debug"},
        {"config": {"configurable": {"temperature": 7}}},
        {"input": {"messages": []}},
        {"input": None},
        {"config": {"configurable": None}},
        {"checkpoint_id": str(uuid4())},
    ]
    for given in refusals:
        body: dict[str, Any] = {"input": asked("Hello"), **given}
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await client.runs.create(thread["thread_id"], "chat", **body)
        assert refused.value.response.status_code in (400, 404, 422), given
    with pytest.raises(httpx.HTTPStatusError):
        await client.runs.create(thread["thread_id"], "another", input=asked("Hello"))
    assert await client.runs.list(thread["thread_id"]) == []


async def test_an_error_of_the_model_is_one_of_the_run(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    openai.script(fault="500")
    parts = [part async for part in client.runs.stream(thread["thread_id"], "chat", input=asked("Hello"))]
    assert (parts[-1].event, parts[-1].data["error"]) == ("error", "provider_error")
    assert (await client.threads.get(thread["thread_id"]))["status"] == "error"
    with pytest.raises(Exception, match="provider_error"):
        await client.runs.wait(thread["thread_id"], "chat", input=asked("Hello"))


async def test_remote_graph(client: LangGraphClient, anna: Person, openai: OpenAIServer) -> None:
    # With a client that is closed at the end: one of its own, RemoteGraph would leave open.
    graph = RemoteGraph("chat", client=client)
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    config: Any = {"configurable": {"thread_id": thread}}
    openai.script(reply="The Volga.")
    given: Any = {"messages": [HumanMessage("Which is the longest river?")]}
    result = await graph.ainvoke(given, config)
    assert isinstance(result, dict)
    assert texts(result) == ["Which is the longest river?", "The Volga."]
    state = await graph.aget_state(config)
    assert texts(state.values)[-1] == "The Volga."
    assert {"retrieve", "generate"} <= set((await graph.aget_graph()).nodes)
    modes: Any = ["messages", "values"]
    parts: list[Any] = [part async for part in graph.astream(given, config, stream_mode=modes)]
    assert {part[0] for part in parts} == {"messages", "values"}
    history = [snapshot async for snapshot in graph.aget_state_history(config, limit=3)]
    assert len(history) == 3


async def test_the_sdk_for_javascript(server: Server, anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["The ", "Volga."], delay=0.05)
    token = anna.http.headers["Authorization"].removeprefix("Bearer ")
    run = await asyncio.create_subprocess_exec(
        *(str(node_executable()), str(SCRIPT), str(ROOT / "ui"), f"{server.url}/langgraph", token),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, wrong = await run.communicate()
    assert run.returncode == 0, wrong.decode()
    seen = json.loads(output)
    assert {"metadata", "values", "messages", "updates", "custom"} >= set(seen["events"]) >= {"values", "messages"}
    assert seen["spoken"] == "The Volga."
    assert seen["state"] == ["Which is the longest river?", "The Volga."]
    assert seen["history"] > 3
    assert seen["joined"][0] == "metadata"
    assert seen["waited"] == 4
    assert seen["found"] == [seen["thread"]]


def routes() -> list[tuple[str, str]]:
    """Return every route of the protocol: method, path."""
    from api.agent_server import router

    found = []
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        each: Any
        for each in inner.routes if inner is not None else [route]:
            found += [(method, each.path) for method in each.methods if method != "HEAD"]
    return sorted(found)


async def test_strangers_find_nothing(server: Server, anna: Person, boris: Person, openai: OpenAIServer) -> None:
    """On each route: nobody is asked to sign in, and another's thread is not there."""
    known = routes()
    assert len(known) > 20
    thread = (await anna.ask("Hello"))["conversation_id"]
    run = (await anna.http.get(f"{server.url}/langgraph/threads/{thread}/runs")).json()[0]["run_id"]
    names = {"thread_id": thread, "run_id": run, "assistant_id": "chat", "checkpoint_id": str(uuid4())}
    bodies = {"assistant_id": "chat", "input": asked("Hi"), "values": {}, "checkpoint": {}, "metadata": {}}
    for method, path in known:
        url = f"{server.url}/langgraph{path.removeprefix('/langgraph')}".format(**names)
        body = None if method in ("GET", "DELETE") else bodies
        async with httpx.AsyncClient(timeout=30) as nobody:
            said = await nobody.request(method, url, json=body)
        assert said.status_code == (200 if path.endswith(("/ok", "/info")) else 401), (method, path)
        if "{thread_id}" in path:
            said = await boris.http.request(method, url, json=body)
            assert said.status_code == 404, (method, path, said.text)
    assert (await anna.http.get(f"/conversations/{thread}")).status_code == 200
