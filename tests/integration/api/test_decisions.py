"""Decisions about calls that wait: what is made is noted, what is not made is not, and what was allowed is called."""

import asyncio
from typing import Any

import pytest

from tests.integration.api.test_auth import envelope
from tests.integration.api.test_mcp import Add, approved, decide
from tests.integration.api.test_mcp import add as add
from tests.integration.api.test_mcp import admin as admin
from tests.integration.api.test_mcp import letters as letters
from tests.integration.api.test_waiting import read_on, until_action
from tests.mcp_server import McpProcess
from tests.providers import OpenAIServer
from tests.support import Event, Person, Server

SEND = "letters__send_letter"


@pytest.fixture
async def waiting(add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer) -> list[Event]:
    """What is seen of a run until it waits with a letter to Ada."""
    await add("letters", letters.url)
    openai.script(rounds=[[(SEND, {"to": "Ada", "text": "Hello"})]])
    return await until_action(anna, message="Write to Ada.", tools=[SEND])


async def noted(admin: Person, run: str) -> list[dict[str, Any]]:
    """Return what is noted of decisions about a run, newest first."""
    rows = (await admin.get("/admin/audit", action="call_decided", object=run))["items"]
    return [row["details"] for row in rows]


async def answer(person: Person, server: Server, thread: str, given: Any) -> int:
    """Answer a thread's waiting run by the Agent Server protocol, and wait for what comes of it."""
    url = f"{server.url}/langgraph/threads/{thread}/runs/wait"
    told = await person.http.post(url, json={"assistant_id": "chat", "command": {"resume": given}})
    return told.status_code


async def test_a_decision_is_noted_once_by_who_gets_the_run(admin: Person, anna: Person, waiting: list[Event]) -> None:
    run, step = waiting[0].data["run_id"], waiting[-1].data["step_ids"][0]
    told = await asyncio.gather(*(decide(anna, run, {"step_id": step, "decision": "approve"}) for _ in range(5)))
    assert sorted(each.status_code for each in told) == [202, 409, 409, 409, 409]
    await read_on(anna, run, waiting[-1].id)
    assert (await decide(anna, run, {"step_id": step, "decision": "deny"})).status_code == 409
    assert await noted(admin, run) == [{"decisions": {step: "approve"}}]


async def test_nothing_is_noted_of_a_run_that_does_not_wait(admin: Person, anna: Person, openai: OpenAIServer) -> None:
    run = (await anna.ask("Hello"))["run_id"]
    assert (await decide(anna, run, {"step_id": "pay_everybody", "decision": "approve"})).status_code == 409
    assert await noted(admin, run) == []


async def test_a_step_that_is_not_asked_about_is_refused_and_noted_nowhere(
    server: Server, admin: Person, anna: Person, waiting: list[Event]
) -> None:
    run, thread = waiting[0].data["run_id"], waiting[0].data["conversation_id"]
    both = [
        {"step_id": waiting[-1].data["step_ids"][0], "decision": "approve"},
        {"step_id": "pay_everybody", "decision": "approve"},
    ]
    refused = await decide(anna, run, *both)
    assert (refused.status_code, envelope(refused)["code"]) == (422, "validation_error")
    assert envelope(refused)["details"][0]["loc"] == ["body", "decisions"]
    assert await answer(anna, server, thread, both) == 422
    assert (await anna.get(f"/chat/runs/{run}"))["status"] == "waiting"
    assert await noted(admin, run) == []
    await anna.http.post(f"/chat/runs/{run}/cancel")
    assert await noted(admin, run) == [], "who stops a run decides nothing"


async def test_what_is_decided_by_the_agent_server_protocol_is_noted(
    server: Server, admin: Person, anna: Person, waiting: list[Event], letters: McpProcess
) -> None:
    run, thread = waiting[0].data["run_id"], waiting[0].data["conversation_id"]
    assert await answer(anna, server, thread, "yes, please") == 200
    assert await noted(admin, run) == [], "that is no decision, and the run waits on"
    (asked,) = (await anna.get(f"/chat/runs/{run}"))["interrupts"]
    step = asked["value"]["steps"][0]["step_id"]
    before = len(letters.calls())
    assert await answer(anna, server, thread, {asked["id"]: [{"step_id": "other", "decision": "approve"}]}) == 422
    assert await answer(anna, server, thread, {asked["id"]: [{"step_id": step, "decision": "approve"}]}) == 200
    assert letters.calls()[before:] == ["send_letter Ada"]
    assert await noted(admin, run) == [{"decisions": {step: "approve"}, "protocol": "langgraph"}]


async def test_an_allowed_call_is_made_where_another_server_was_removed(
    admin: Person, add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    other = await add("other", letters.url)
    openai.script(rounds=[[(SEND, {"to": "Cleo", "text": "Hello"})]])
    seen = await until_action(anna, message="Write.", tools=[SEND, "other__add"])
    assert (await admin.http.delete(f"/admin/mcp-servers/{other['id']}")).status_code == 204
    (step,) = (await approved(anna, seen, decision="approve")).data["steps"]
    assert (step["status"], step["result_preview"]) == ("done", "Sent to Cleo: Hello")


async def test_an_allowed_call_is_made_where_the_model_that_is_asked_now_takes_no_tools(
    anna: Person, waiting: list[Event]
) -> None:
    thread = waiting[0].data["conversation_id"]
    changed = await anna.http.patch(f"/conversations/{thread}", json={"model_source": "aihub"})
    assert changed.status_code == 200, changed.text
    (step,) = (await approved(anna, waiting, decision="approve")).data["steps"]
    assert (step["status"], step["result_preview"]) == ("done", "Sent to Ada: Hello")


async def test_a_call_of_a_server_that_was_removed_fails_and_the_answer_goes_on(
    admin: Person, anna: Person, waiting: list[Event]
) -> None:
    (server,) = (await admin.get("/admin/mcp-servers"))["items"]
    await admin.http.delete(f"/admin/mcp-servers/{server['id']}")
    ended = await approved(anna, waiting, decision="approve")
    (step,) = ended.data["steps"]
    assert (ended.name, step["status"]) == ("done", "failed")
    assert "not there any more" in step["result_preview"]
