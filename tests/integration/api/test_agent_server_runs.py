"""Runs over `/langgraph` with tools, and what clients may not ask of runs, threads and states there."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.integration.api.test_agent_server import asked, client_of, texts
from tests.integration.api.test_mcp import decide
from tests.integration.api.test_waiting import until_action
from tests.providers import OpenAIServer
from tests.support import Event, Person, Server, events_of

MODES: Any = ["values", "updates", "messages-tuple", "custom"]
REMEMBER: Any = [[("remember", {"fact": "Anna likes tea."})], [("remember", {"fact": "Anna likes cake."})]]


@pytest.fixture
async def client(server: Server, anna: Person) -> AsyncIterator[LangGraphClient]:
    async with client_of(server, anna) as made:
        yield made


def kinds(parts: list[Any]) -> list[str]:
    """Return the events of a stream, what repeats itself once."""
    names = [part.event for part in parts if part.event != "custom"]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


async def until_next_action(person: Person, run: str, after: int) -> list[Event]:
    """Read on until the run waits again."""
    seen: list[Event] = []
    async with person.http.stream("GET", f"/chat/runs/{run}/stream", headers={"Last-Event-ID": str(after)}) as response:
        async for event in events_of(response):
            seen.append(event)
            if event.name == "action":
                return seen
    raise AssertionError("it has ended")


async def test_the_state_comes_when_the_run_ends_and_not_at_the_call_of_a_tool(
    client: LangGraphClient, openai: OpenAIServer
) -> None:
    thread = await client.threads.create()
    openai.script(rounds=[[("calculate", {"expression": "20 + 3"})]], tokens=["It ", "is ", "23."], delay=0.05)
    context: Any = {"tools": ["calculate"]}
    stream = client.runs.stream(thread["thread_id"], "chat", input=asked("Sum."), stream_mode=MODES, context=context)
    parts: list[Any] = [part async for part in stream]
    assert kinds(parts) == ["metadata", "values", "messages", "updates", "values"]
    steps = [part.data["step"] for part in parts if part.event == "custom" and "step" in part.data]
    assert [(step["name"], step["status"]) for step in steps][-1] == ("calculate", "done")
    spoken = "".join(part.data[0]["content"] for part in parts if part.event == "messages")
    assert (spoken, texts(parts[-1].data)[-1]) == ("It is 23.", "It is 23.")


async def test_who_joins_a_run_reads_past_the_questions_that_were_answered(
    client: LangGraphClient, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(rounds=REMEMBER, tokens=["Done ", "so."], delay=0.1)
    seen = await until_action(anna, message="I like tea and cake.", tools=["remember"], model_source="openai")
    thread, run = seen[0].data["conversation_id"], seen[0].data["run_id"]
    await decide(anna, run, {"step_id": seen[-1].data["step_ids"][0], "decision": "approve"})
    seen += await until_next_action(anna, run, seen[-1].id)
    waiting: list[Any] = [part async for part in client.runs.join_stream(thread, run, stream_mode=MODES)]
    assert kinds(waiting) == ["metadata", "values", "metadata", "updates", "values"]
    steps = [part.data["step"]["status"] for part in waiting if part.event == "custom" and "step" in part.data]
    assert "done" in steps
    assert waiting[-1].data["__interrupt__"]
    await decide(anna, run, {"step_id": seen[-1].data["step_ids"][0], "decision": "approve"})
    whole: list[Any] = [part async for part in client.runs.join_stream(thread, run, stream_mode=MODES)]
    assert kinds(whole) == ["metadata", "values", "metadata", "messages", "updates", "values"]
    assert texts(whole[-1].data)[-1] == "Done so."


async def test_nothing_is_rolled_back(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], "chat", input=asked("One?"))
    await client.runs.join(thread["thread_id"], run["run_id"])
    for refused in (
        client.runs.create(thread["thread_id"], "chat", input=asked("Two?"), multitask_strategy="rollback"),
        client.runs.cancel(thread["thread_id"], run["run_id"], action="rollback"),
    ):
        with pytest.raises(httpx.HTTPStatusError) as wrong:
            await refused
        assert wrong.value.response.status_code == 422
    values: Any = await client.threads.get_state(thread["thread_id"])
    assert len(await client.runs.list(thread["thread_id"])) == 1
    assert [message["content"] for message in values["values"]["messages"] if message["type"] == "human"] == ["One?"]


async def test_a_question_may_interrupt_the_one_before(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread = await client.threads.create()
    openai.script(tokens=["word "] * 200, delay=0.05)
    first = await client.runs.create(thread["thread_id"], "chat", input=asked("One?"))
    async for part in client.runs.join_stream(thread["thread_id"], first["run_id"], stream_mode=MODES):
        if part.event == "messages":
            break
    openai.script(reply="Fine.")
    values: Any = await client.runs.wait(
        thread["thread_id"], "chat", input=asked("Two?"), multitask_strategy="interrupt"
    )
    assert texts(values)[-1] == "Fine."
    assert (await client.runs.get(thread["thread_id"], first["run_id"]))["status"] == "interrupted"


async def test_what_threads_can_not_do_is_refused(client: LangGraphClient) -> None:
    thread = await client.threads.create()
    for refused in (
        client.threads.create(ttl=5),
        client.threads.create(supersteps=[{"updates": [{"values": {"query": "x"}, "as_node": "generate"}]}]),
        client.threads.update(thread["thread_id"], metadata={}, ttl=5),
        client.threads.search(values={"query": "x"}),
        client.threads.count(values={"query": "x"}),
    ):
        with pytest.raises(httpx.HTTPStatusError) as wrong:
            await refused
        assert wrong.value.response.status_code == 422


async def test_the_history_is_of_states_that_hold_the_metadata(client: LangGraphClient, openai: OpenAIServer) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    for question in ("One?", "Two?"):
        await client.runs.wait(thread_id, "chat", input=asked(question))
    run = (await client.runs.list(thread_id))[-1]["run_id"]
    states: Any = await client.threads.get_history(thread_id, limit=50, metadata={"run": run})
    assert {state["metadata"]["run"] for state in states} == {run}
    earlier: Any = await client.threads.get_history(thread_id, limit=50, before=states[0]["checkpoint"])
    assert [state["checkpoint_id"] for state in earlier] == [state["checkpoint_id"] for state in states[1:]]


@pytest.mark.parametrize(
    "values",
    [
        {"summary": "x"},
        {"summary": {"text": "x"}},
        {"summary": {"text": "x", "until": 5}},
        {"query": 5},
        {"sources": None},
        {"sources": [{"n": 1}]},
        {"rounds": "x"},
        {"answer": {}},
        {"nothing_found": "yes"},
        {"retrieval": {}},
        {"assembled": None},
        {"__start__": {}},
        {"branch:to:generate": None},
    ],
)
async def test_a_state_takes_values_of_its_own_types_alone(
    values: dict[str, Any], client: LangGraphClient, openai: OpenAIServer
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "chat", input=asked("One?"))
    for node in ("generate", None):
        with pytest.raises(httpx.HTTPStatusError) as wrong:
            await client.threads.update_state(thread_id, values, as_node=node)
        assert wrong.value.response.status_code == 422
    after: Any = await client.runs.wait(thread_id, "chat", input=asked("Two?"))
    assert [message["content"] for message in after["messages"] if message["type"] == "human"] == ["One?", "Two?"]


@pytest.mark.parametrize("node", ["__start__", "__end__", "__copy__", "__input__", "nowhere", ""])
async def test_a_state_is_put_by_a_node_of_the_graph(node: str, server: Server, anna: Person) -> None:
    thread = (await anna.ask("One?"))["conversation_id"]
    url = f"{server.url}/langgraph/threads/{thread}/state"
    said = await anna.http.post(url, json={"values": {"query": "x"}, "as_node": node})
    assert said.status_code == 422


async def test_a_state_can_be_put_back_as_it_was_read(
    client: LangGraphClient, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("hall.txt", b"The ceiling of the hall is nine metres high.")
    thread_id = (await client.threads.create())["thread_id"]
    openai.script(rounds=[[("calculate", {"expression": "1 + 1"})]], reply="Nine metres [1].")
    context: Any = {"tools": ["calculate"]}
    await client.runs.wait(thread_id, "chat", input=asked("How high is the ceiling of the hall?"), context=context)
    state: Any = await client.threads.get_state(thread_id)
    values = {name: value for name, value in state["values"].items() if name != "messages"}
    assert values["sources"]
    assert values["rounds"]
    values |= {"summary": {"text": "It is about a hall.", "until": state["values"]["messages"][-1]["id"]}}
    await client.threads.update_state(thread_id, values, as_node="persist")
    again: Any = await client.threads.get_state(thread_id)
    assert {name: again["values"][name] for name in values} == values
    openai.script(reply="Fine.")
    after: Any = await client.runs.wait(thread_id, "chat", input=asked("Two?"))
    assert texts(after)[-1] == "Fine."
