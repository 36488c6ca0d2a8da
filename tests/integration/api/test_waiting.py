"""A run that waits for a person: it is set aside, shows what it asks, and goes on from anywhere when it is answered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from langgraph_sdk import get_client

from graphs.chat import draw
from graphs.context import ChatContext
from graphs.state import ChatState, question_of
from llama_service.settings import Settings
from tests.conftest import Join
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Event, Person, Server, events_of, serving


async def approve(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Ask a person where the question says so."""
    if "careful" in question_of(state):
        decisions = interrupt({"step_ids": ["s1"], "title": "Send the letter?"})
        return {"query": f"decided: {decisions[0]['decision']}"}
    return {}


def asking_graph() -> Any:
    """Return the chat's graph with one more step before the answer."""
    drawing = draw()
    drawing.add_node("approve", approve)
    drawing.edges.discard(("augment", "generate"))
    drawing.add_edge("augment", "approve")
    drawing.add_edge("approve", "generate")
    return drawing


@pytest.fixture(scope="module")
async def asking(settings: Settings) -> AsyncIterator[Server]:
    """A server whose graph asks."""
    async with serving(settings, asking_graph()) as running:
        yield running


@pytest.fixture
async def clara(asking: Server, openai: OpenAIServer) -> AsyncIterator[Person]:
    """Somebody on that server."""
    openai.script()
    person = await Person.join(asking.url)
    yield person
    await person.close()


async def until_action(person: Person, **body: Any) -> list[Event]:
    """Ask, and read until the run waits."""
    seen: list[Event] = []
    async with person.http.stream("POST", "/chat/stream", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for event in events_of(response):
            seen.append(event)
            if event.name == "action":
                break
    return seen


async def test_who_asks_again_hears_that_it_waits_and_then_the_answer(clara: Person, openai: OpenAIServer) -> None:
    openai.script(reply="Sent.")
    key, question = {"Idempotency-Key": "letter"}, {"message": "Be careful."}
    first = (await clara.http.post("/chat", json=question, headers=key)).json()
    again = await clara.http.post("/chat", json=question, headers=key)
    assert again.status_code == 409
    assert envelope(again)["details"] == [{"run_id": first["run_id"]}]
    assert (await resume(clara, first["run_id"])).status_code == 202
    whole = await clara.http.post("/chat", json=question, headers=key)
    assert (whole.status_code, whole.json()["response"]) == (200, "Sent.")


async def resume(person: Person, run: str, decision: str = "approve") -> httpx.Response:
    body = {"decisions": [{"step_id": "s1", "decision": decision}]}
    return await person.http.post(f"/chat/runs/{run}/resume", json=body)


async def read_on(person: Person, run: str, after: int) -> list[Event]:
    headers = {"Last-Event-ID": str(after)}
    async with person.http.stream("GET", f"/chat/runs/{run}/stream", headers=headers) as response:
        return [event async for event in events_of(response)]


async def test_a_run_waits_and_goes_on(clara: Person) -> None:
    seen = await until_action(clara, message="Be careful.")
    start, action = seen[0].data, seen[-1]
    run = start["run_id"]
    assert action.data["interrupts"][0]["value"]["title"] == "Send the letter?"
    state = await clara.get(f"/chat/runs/{run}")
    assert (state["status"], state["interrupts"][0]["value"]["step_ids"]) == ("waiting", ["s1"])
    # The branch is not free meanwhile, and its answer is not there yet.
    busy = await clara.http.post("/chat", json={"message": "Next.", "conversation_id": start["conversation_id"]})
    assert busy.status_code == 409

    following = asyncio.create_task(read_on(clara, run, action.id))
    answered = await resume(clara, run)
    assert (answered.status_code, answered.json()) == (202, {"run_id": run, "status": "running"})
    rest = await following
    assert [event.id for event in rest] == list(range(action.id + 1, action.id + 1 + len(rest)))
    assert rest[-1].name == "done"
    assert (await clara.get(f"/chat/runs/{run}"))["status"] == "completed"
    answer = (await messages(clara, start["conversation_id"]))[-1]
    assert answer["status"] == "complete"
    states = (await clara.get(f"/conversations/{start['conversation_id']}/checkpoints"))["items"]
    assert "decided: approve" in [state["values"].get("query") for state in states]


async def test_it_waits_over_a_restart_and_is_answered_elsewhere(settings: Settings, openai: OpenAIServer) -> None:
    async with serving(settings, asking_graph()) as first:
        dora = await Person.join(first.url)
        seen = await until_action(dora, message="Be careful, later.")
    run, action = seen[0].data["run_id"], seen[-1]
    async with (
        serving(settings, asking_graph()) as second,
        httpx.AsyncClient(base_url=f"{second.url}/api/v1", headers=dora.http.headers, timeout=60) as there,
    ):
        elsewhere = Person(there, dora.name, dora.email)
        assert (await elsewhere.get(f"/chat/runs/{run}"))["status"] == "waiting"
        assert (await resume(elsewhere, run, "deny")).status_code == 202
        rest = await read_on(elsewhere, run, action.id)
        assert (rest[0].name, rest[-1].name) == ("resumed", "done")
    await dora.close()


async def test_an_answer_without_a_stream_says_that_it_waits(clara: Person) -> None:
    answer = await clara.ask("Be careful, please.")
    assert (answer["finish_reason"], answer["response"]) == ("waiting", "")
    assert (await resume(clara, answer["run_id"])).status_code == 202
    rest = await read_on(clara, answer["run_id"], 0)
    assert rest[-1].name == "done"


async def test_only_once_and_only_ones_own(clara: Person, asking: Server) -> None:
    boris = await Person.join(asking.url)
    run = (await until_action(clara, message="Be careful!"))[0].data["run_id"]
    assert (await resume(boris, run)).status_code == 404
    answers = await asyncio.gather(*(resume(clara, run) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    assert {envelope(answer)["code"] for answer in answers if answer.status_code == 409} == {"not_waiting"}
    await read_on(clara, run, 0)
    assert (await resume(clara, run)).status_code == 409
    await boris.close()


async def test_a_waiting_run_can_be_stopped_and_deleted(clara: Person) -> None:
    seen = await until_action(clara, message="Be careful, or not.")
    run, thread = seen[0].data["run_id"], seen[0].data["conversation_id"]
    assert (await clara.http.post(f"/chat/runs/{run}/cancel")).status_code == 202
    assert (await read_on(clara, run, 0))[-1].name == "done"
    assert (await clara.get(f"/chat/runs/{run}"))["status"] == "stopped"
    await clara.ask("Go on.", conversation_id=thread)
    other = await until_action(clara, message="Be careful again.", conversation_id=thread)
    assert other[-1].name == "action"
    assert (await clara.http.delete(f"/conversations/{thread}")).status_code == 204
    assert (await clara.http.get(f"/chat/runs/{other[0].data['run_id']}")).status_code == 404


async def test_a_decision_has_a_shape(clara: Person, join: Join) -> None:
    run = (await until_action(clara, message="Be careful, shapes."))[0].data["run_id"]
    bodies: list[dict[str, Any]] = [{}, {"decisions": []}, {"decisions": [{"step_id": "s1", "decision": "perhaps"}]}]
    for body in bodies:
        told = await clara.http.post(f"/chat/runs/{run}/resume", json=body)
        assert (told.status_code, envelope(told)["code"]) == (422, "validation_error")
    assert (await clara.get(f"/chat/runs/{run}"))["status"] == "waiting"


async def test_langgraphs_client_answers_it(asking: Server, clara: Person) -> None:
    """By the Agent Server protocol: the thread is interrupted, and a command resumes it."""
    headers = {"Authorization": clara.http.headers["Authorization"]}
    async with get_client(url=f"{asking.url}/langgraph", headers=headers, api_key=None) as client:
        thread_id = (await client.threads.create())["thread_id"]
        question: Any = {"messages": [{"role": "user", "content": "Be careful."}]}
        waits: Any = await client.runs.wait(thread_id, "chat", input=question)
        assert waits["__interrupt__"][0]["value"]["title"] == "Send the letter?"
        assert (await client.threads.get(thread_id))["status"] == "interrupted"
        state: Any = await client.threads.get_state(thread_id)
        assert state["tasks"][0]["interrupts"][0]["value"]["title"] == "Send the letter?"
        answer: Any = {"resume": [{"step_id": "s1", "decision": "deny"}]}
        parts = [part async for part in client.runs.stream(thread_id, "chat", command=answer, stream_mode="values")]
        last = parts[-1]
        assert (last.event, last.data["query"]) == ("values", "decided: deny")
        assert last.data["messages"][-1]["type"] == "ai"
        assert (await client.threads.get(thread_id))["status"] == "idle"
        with pytest.raises(httpx.HTTPStatusError):
            await client.runs.create(thread_id, "chat", command=answer)
