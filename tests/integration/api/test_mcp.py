"""MCP servers, through the API, against a real server of the official SDK; and approval, which its tools need."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from langgraph_sdk import get_client

from tests.conftest import Database, Join
from tests.integration.api.test_chat import messages
from tests.integration.api.test_libraries import user_id
from tests.integration.api.test_tools import steps_of
from tests.integration.api.test_waiting import read_on, until_action
from tests.mcp_server import McpProcess, Transport, mcp_process
from tests.providers import OpenAIServer
from tests.support import Event, Person, Server, eventually

SECRET = "Bearer tools-secret-4711"
Add = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
async def letters(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[McpProcess]:
    """A real MCP server."""
    async with mcp_process(tmp_path_factory.mktemp("mcp")) as running:
        yield running


@pytest.fixture
async def admin(join: Join, database: Database) -> Person:
    """An administrator."""
    person = await join()
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (person.name,))
    await person.sign_in()
    return person


@pytest.fixture
async def add(admin: Person) -> AsyncIterator[Add]:
    """Add an MCP server; it is removed with the test."""
    ids: list[str] = []

    async def make(name: str, url: str, **fields: Any) -> dict[str, Any]:
        answer = await admin.http.post("/admin/mcp-servers", json={"name": name, "url": url, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        ids.append(made["id"])
        return made

    yield make
    for server_id in ids:
        gone = await admin.http.delete(f"/admin/mcp-servers/{server_id}")
        assert gone.status_code in (204, 404), gone.text


async def decide(person: Person, run: str, *decisions: dict[str, Any]) -> httpx.Response:
    return await person.http.post(f"/chat/runs/{run}/resume", json={"decisions": list(decisions)})


@pytest.mark.parametrize("transport", ["streamable_http", "sse"])
async def test_an_administrator_adds_a_server_and_people_use_its_tools(
    transport: Transport, add: Add, anna: Person, openai: OpenAIServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with mcp_process(tmp_path_factory.mktemp(transport), transport) as process:
        made = await add("letters", process.url, transport=transport)
        assert (made["status"], made["error"]) == ("ok", None)
        needs = {tool["name"]: tool["needs_approval"] for tool in made["tools"]}
        assert (needs["add"], needs["send_letter"]) == (False, True), "what may change something waits"
        listed = {tool["name"]: tool for tool in (await anna.get("/tools"))["items"]}
        assert listed["letters__send_letter"]["source"] == "letters"
        assert listed["letters__send_letter"]["title"] == "Send a letter"
        openai.script(rounds=[[("letters__add", {"a": 2, "b": 40})]])
        answer = await anna.ask("Add.", tools=["letters__add"])
        assert (answer["steps"][0]["status"], answer["steps"][0]["result_preview"]) == ("done", "42")
        assert process.calls() == ["add"]


async def test_a_call_that_changes_something_waits_and_runs_once(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    before = len(letters.calls())
    call = ("letters__send_letter", {"to": "Ada", "text": "Hello"})
    openai.script(rounds=[[call, ("letters__add", {"a": 1, "b": 2})]])
    seen = await until_action(anna, message="Write to Ada.", tools=["letters__send_letter", "letters__add"])
    run, action = seen[0].data["run_id"], seen[-1]
    states = {states[-1]["name"]: states[-1] for states in steps_of(seen).values()}
    # What needs nobody's word has run meanwhile.
    assert states["letters__add"]["status"] == "done"
    waiting = states["letters__send_letter"]
    assert (waiting["status"], waiting["arguments"]) == ("waiting", {"to": "Ada", "text": "Hello"})
    assert action.data["step_ids"] == [waiting["id"]]
    assert letters.calls()[before:] == ["add"]
    # Another device sees the same card.
    shown = (await messages(anna, seen[0].data["conversation_id"]))[-1]["steps"]
    assert [(step["name"], step["status"]) for step in shown] == [
        ("letters__send_letter", "waiting"),
        ("letters__add", "done"),
    ]
    wrong = await decide(anna, run, {"step_id": "nope", "decision": "approve"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "validation_error")
    following = asyncio.create_task(read_on(anna, run, action.id))
    assert (await decide(anna, run, {"step_id": waiting["id"], "decision": "approve"})).status_code == 202
    rest = await following
    assert rest[-1].name == "done"
    assert [step["status"] for step in rest[-1].data["steps"]] == ["done", "done"]
    assert letters.calls()[before:] == ["add", "send_letter Ada"]
    answer = (await messages(anna, seen[0].data["conversation_id"]))[-1]
    assert "Sent to Ada: Hello" in answer["content"]
    again = await decide(anna, run, {"step_id": waiting["id"], "decision": "approve"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "not_waiting")


async def approved(person: Person, seen: list[Event], **decision: Any) -> Event:
    """Decide about the one step that waits; return the run's last event."""
    run, action = seen[0].data["run_id"], seen[-1]
    answer = await decide(person, run, {"step_id": action.data["step_ids"][0], **decision})
    assert answer.status_code == 202, answer.text
    return (await read_on(person, run, action.id))[-1]


async def test_arguments_are_edited_and_calls_denied(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    openai.script(rounds=[[("letters__send_letter", {"to": "Bob", "text": "Hi"})]])
    asked: dict[str, Any] = {"message": "Write.", "tools": ["letters__send_letter"]}
    edited = {"to": "Bea", "text": "Dear Bea"}
    done = await approved(anna, await until_action(anna, **asked), decision="edit", arguments=edited)
    assert (done.data["steps"][0]["arguments"], letters.calls()[-1]) == (edited, "send_letter Bea")

    before = letters.calls()
    done = await approved(anna, await until_action(anna, **asked), decision="deny", comment="Not today.")
    assert done.data["steps"][0]["status"] == "denied"
    assert letters.calls() == before
    answer = (await messages(anna, done.data["conversation_id"]))[-1]
    assert "did not allow" in answer["content"], "the model was told"
    assert "Not today." in answer["content"]


async def test_one_of_two_may_be_decided_first(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    before = len(letters.calls())
    calls = [("letters__send_letter", {"to": name, "text": "Hi"}) for name in ("One", "Two")]
    openai.script(rounds=[calls])
    seen = await until_action(anna, message="Write to both.", tools=["letters__send_letter"])
    run, first = seen[0].data["run_id"], seen[-1]
    one, two = first.data["step_ids"]
    assert (await decide(anna, run, {"step_id": two, "decision": "approve"})).status_code == 202

    async def waits_again() -> dict[str, Any] | None:
        state = await anna.get(f"/chat/runs/{run}")
        return state if state["status"] == "waiting" else None

    state = await eventually(waits_again)
    assert [step["step_id"] for step in state["interrupts"][0]["value"]["steps"]] == [one]
    assert letters.calls()[before:] == ["send_letter Two"]
    assert (await decide(anna, run, {"step_id": one, "decision": "approve"})).status_code == 202
    rest = await read_on(anna, run, first.id)
    assert rest[-1].name == "done"
    assert letters.calls()[before:] == ["send_letter Two", "send_letter One"]


async def test_always_for_this_conversation(add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer) -> None:
    await add("letters", letters.url)
    openai.script(rounds=[[("letters__send_letter", {"to": "Eve", "text": "1"})]])
    done = await approved(
        anna, await until_action(anna, message="W.", tools=["letters__send_letter"]), decision="approve"
    )
    conversation = done.data["conversation_id"]
    changed = await anna.http.patch(f"/conversations/{conversation}", json={"approved_tools": ["letters__send_letter"]})
    assert changed.status_code == 200
    answer = await anna.ask("Once more.", conversation_id=conversation)
    assert answer["steps"][0]["status"] == "done"
    # Only here.
    elsewhere = await until_action(anna, message="W.", tools=["letters__send_letter"])
    assert elsewhere[-1].name == "action"
    await anna.http.post(f"/chat/runs/{elsewhere[0].data['run_id']}/cancel")


async def test_a_run_that_waits_can_be_stopped_and_its_step_with_it(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    before = letters.calls()
    openai.script(rounds=[[("letters__send_letter", {"to": "Eve", "text": "1"})]])
    seen = await until_action(anna, message="W.", tools=["letters__send_letter"])
    run = seen[0].data["run_id"]
    assert (await anna.http.post(f"/chat/runs/{run}/cancel")).status_code == 202
    rest = await read_on(anna, run, seen[-1].id)
    assert rest[-1].data["finish_reason"] == "stopped"
    assert rest[-1].data["steps"][0]["status"] == "failed"
    assert letters.calls() == before


async def test_a_stranger_decides_nothing(
    add: Add, letters: McpProcess, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    openai.script(rounds=[[("letters__send_letter", {"to": "Eve", "text": "1"})]])
    seen = await until_action(anna, message="W.", tools=["letters__send_letter"])
    run, step = seen[0].data["run_id"], seen[-1].data["step_ids"][0]
    assert (await decide(boris, run, {"step_id": step, "decision": "approve"})).status_code == 404
    assert (await anna.get(f"/chat/runs/{run}"))["status"] == "waiting"
    await anna.http.post(f"/chat/runs/{run}/cancel")


async def test_what_a_tool_says_is_no_order(add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer) -> None:
    """A model that is taken in by a page still can't send anything without a person."""
    await add("letters", letters.url)
    before = letters.calls()
    theft = ("letters__send_letter", {"to": "thief", "text": "all"})
    openai.script(rounds=[[("letters__page", {})], [theft]])
    seen = await until_action(anna, message="Read it.", tools=["letters__page", "letters__send_letter"])
    assert seen[-1].name == "action"
    assert letters.calls() == before
    done = await approved(anna, seen, decision="deny")
    assert done.name == "done"
    assert letters.calls() == before


FAILURES: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "an error": (("letters__fails", {}), "the printer is on fire"),
    "wrong arguments": (("letters__add", {"a": "x"}), "validation error"),
    "too much": (("letters__much", {"megabytes": 50}), "longer than 4 MB"),
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_tool_that_fails_is_a_step_with_a_reason(
    kind: str, add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    call, words = FAILURES[kind]
    openai.script(rounds=[[call]])
    answer = await anna.ask("Do it.", tools=[call[0]])
    (step,) = answer["steps"]
    assert step["status"] == "failed"
    assert words in step["result_preview"]
    assert answer["finish_reason"] == "stop"


async def test_a_long_result_is_cut_for_the_model(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    openai.script(rounds=[[("letters__much", {"megabytes": 1})]])
    before = len(openai.chats)
    answer = await anna.ask("Do it.", tools=["letters__much"])
    assert answer["steps"][0]["status"] == "done"
    told = [m for chat in openai.chats[before:] for m in chat.body["messages"] if m["role"] == "tool"]
    assert 1000 < len(told[0]["content"]) < 20_000
    assert "cut" in told[0]["content"]


async def test_a_tool_that_hangs_is_given_up(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphs.calls.CALL_SECONDS", 0.5)
    await add("letters", letters.url)
    openai.script(rounds=[[("letters__wait", {"seconds": 60})]])
    answer = await anna.ask("Wait.", tools=["letters__wait"])
    assert answer["steps"][0]["status"] == "failed"
    assert "did not answer within" in answer["steps"][0]["result_preview"]


async def test_a_run_is_stopped_while_a_tool_works(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    before = len(letters.calls())
    openai.script(rounds=[[("letters__wait", {"seconds": 60})]])
    reading = asyncio.create_task(anna.stream("Wait.", tools=["letters__wait"]))

    async def begun() -> bool:
        return len(letters.calls()) > before

    await eventually(begun)
    run = (await anna.get("/conversations"))["items"][0]["id"]
    message = (await messages(anna, run))[-1]
    assert message["steps"][0]["status"] == "running", "who looks meanwhile sees it at work"
    await anna.http.post(f"/chat/runs/{message['run_id']}/cancel")
    last = (await reading)[-1]
    assert last.data["finish_reason"] == "stopped"
    assert last.data["steps"][0]["status"] == "failed"


async def test_secrets_go_to_the_server_and_nowhere_else(
    add: Add,
    admin: Person,
    letters: McpProcess,
    anna: Person,
    openai: OpenAIServer,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = await add("letters", letters.url, headers={"Authorization": SECRET}, user_header="X-User")
    assert made["header_names"] == ["Authorization"]
    listed = await admin.http.get("/admin/mcp-servers")
    assert "4711" not in listed.text + str(made)
    (stored,) = database.execute("SELECT headers FROM mcp_servers WHERE name = 'letters'").fetchone() or (b"",)
    assert SECRET.encode() not in stored
    openai.script(rounds=[[("letters__headers", {})]])
    # An address that anybody may have typed is nobody's name.
    answer = await anna.ask("Who am I?", tools=["letters__headers"])
    assert "confirm your e-mail address" in answer["steps"][0]["result_preview"]
    confirmed = await admin.http.patch(f"/admin/users/{await user_id(anna)}", json={"is_verified": True})
    assert confirmed.json()["is_verified"] is True
    answer = await anna.ask("Who am I?", tools=["letters__headers"])
    assert answer["steps"][0]["result_preview"] == f"authorization={SECRET}; x-user={anna.email}"
    assert "4711" not in caplog.text
    assert "session ID" not in caplog.text
    # Under another key the secret can't be read, which is said.
    database.execute("UPDATE mcp_servers SET headers = 'gAAAAAB' WHERE name = 'letters'")
    await admin.http.patch(f"/admin/mcp-servers/{made['id']}", json={"user_header": None})
    answer = await anna.ask("Who am I?", tools=["letters__headers"])
    assert "decrypted" in answer["steps"][0]["result_preview"]


async def test_what_an_administrator_says_about_a_tool_counts(
    add: Add, admin: Person, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    made = await add("letters", letters.url, tool_approval={"add": True, "send_letter": False})
    needs = {tool["name"]: tool["needs_approval"] for tool in made["tools"]}
    assert (needs["add"], needs["send_letter"], needs["page"]) == (True, False, False)
    changed = await admin.http.patch(f"/admin/mcp-servers/{made['id']}", json={"approval": "always"})
    assert all(tool["needs_approval"] for tool in changed.json()["tools"])
    openai.script(rounds=[[("letters__page", {})]])
    seen = await until_action(anna, message="Read.", tools=["letters__page"])
    assert seen[-1].name == "action"
    await anna.http.post(f"/chat/runs/{seen[0].data['run_id']}/cancel")


async def test_a_server_that_is_switched_off_has_no_tools(
    add: Add, admin: Person, letters: McpProcess, anna: Person
) -> None:
    made = await add("letters", letters.url)
    off = await admin.http.patch(f"/admin/mcp-servers/{made['id']}", json={"enabled": False})
    assert off.json()["status"] == "disabled"
    assert not [tool for tool in (await anna.get("/tools"))["items"] if tool["source"] == "letters"]
    refused = await anna.http.post("/chat", json={"message": "Hi", "tools": ["letters__add"]})
    assert refused.json()["error"]["code"] == "tool_unknown"


async def test_a_tool_that_is_gone_while_its_call_waits_is_told_as_that(
    add: Add, admin: Person, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    made = await add("letters", letters.url)
    openai.script(rounds=[[("letters__send_letter", {"to": "Eve", "text": "1"})]])
    seen = await until_action(anna, message="W.", tools=["letters__send_letter"])
    await admin.http.delete(f"/admin/mcp-servers/{made['id']}")
    before = letters.calls()
    done = await approved(anna, seen, decision="approve")
    assert done.data["steps"][0]["status"] == "failed"
    assert letters.calls() == before


async def test_names_of_two_servers_never_clash(add: Add, letters: McpProcess, anna: Person) -> None:
    await add("letters", letters.url)
    await add("letters-2", letters.url)
    names = [tool["name"] for tool in (await anna.get("/tools"))["items"]]
    assert len(names) == len(set(names))
    assert {"letters__add", "letters-2__add"} <= set(names)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"url": "ftp://host/mcp"}, 422),
        ({"url": "http://user:password@host/mcp"}, 422),
        ({"name": "Has Spaces"}, 422),
        ({"transport": "stdio", "url": "http://host"}, 422),
        ({"headers": {"Bad Name": "x"}}, 422),
        ({"headers": {"X-Key": "line\r\nInjected: yes"}}, 422),
    ],
)
async def test_bad_settings_are_refused(admin: Person, fields: dict[str, Any], status: int) -> None:
    body = {"name": "odd", "url": "http://127.0.0.1:1/mcp", **fields}
    answer = await admin.http.post("/admin/mcp-servers", json=body)
    assert answer.status_code == status, answer.text
    assert "Injected" not in answer.text


async def test_only_administrators_see_servers(anna: Person, add: Add, letters: McpProcess) -> None:
    made = await add("letters", letters.url)
    calls = [
        anna.http.get("/admin/mcp-servers"),
        anna.http.post("/admin/mcp-servers", json={"name": "mine", "url": letters.url}),
        anna.http.patch(f"/admin/mcp-servers/{made['id']}", json={"approval": "never"}),
        anna.http.delete(f"/admin/mcp-servers/{made['id']}"),
    ]
    assert [answer.status_code for answer in await asyncio.gather(*calls)] == [403] * 4


async def test_a_name_is_taken_once(admin: Person, add: Add, letters: McpProcess) -> None:
    await add("letters", letters.url)
    again = await admin.http.post("/admin/mcp-servers", json={"name": "letters", "url": letters.url})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


async def _html(request: web.BaseRequest) -> web.Response:
    return web.Response(text="<html>Welcome</html>", content_type="text/html")


async def _refusing(request: web.BaseRequest) -> web.Response:
    return web.Response(status=401, text="no")


async def _hanging(request: web.BaseRequest) -> web.Response:
    await asyncio.sleep(3600)
    raise AssertionError


async def _elsewhere(request: web.BaseRequest) -> web.Response:
    return web.Response(status=307, headers={"Location": "http://127.0.0.2:1/steal"})


async def _nonsense(request: web.BaseRequest) -> web.Response:
    body = await request.json()
    tools = [{"name": "x", "inputSchema": {"type": "object", "properties": 7}}, {"name": "y", "inputSchema": []}]
    results: dict[str, Any] = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "liar", "version": "1"},
        },
        "tools/list": {"tools": tools},
    }
    if "id" not in body:
        return web.Response(status=202)
    return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": results[body["method"]]})


WRONG: dict[str, tuple[Any, str]] = {
    "answers HTML": (_html, "does not speak MCP"),
    "wants a password": (_refusing, "401"),
    "hangs": (_hanging, "did not answer"),
    "redirects elsewhere": (_elsewhere, "307"),
    "lies about its schema": (_nonsense, "does not speak MCP"),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_server_that_is_none_is_told_as_that(
    kind: str, add: Add, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphs.tools.mcp.LIST_SECONDS", 2.0)
    handler, words = WRONG[kind]
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        made = await add("odd", f"http://127.0.0.1:{port}/mcp", headers={"Authorization": SECRET})
        assert made["status"] == "error"
        assert words in made["error"]
        assert "4711" not in made["error"]
        assert made["tools"] == []
    finally:
        await runner.cleanup()


async def test_a_server_that_went_away_is_a_step_that_failed(
    add: Add, anna: Person, openai: OpenAIServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with mcp_process(tmp_path_factory.mktemp("gone")) as process:
        await add("letters", process.url)
    openai.script(rounds=[[("letters__add", {"a": 1, "b": 1})]])
    answer = await anna.ask("Add.", tools=["letters__add"])
    assert answer["steps"][0]["status"] == "failed"
    assert "can't be reached" in answer["steps"][0]["result_preview"]


async def test_servers_are_asked_again_in_the_background(
    server: Server, add: Add, admin: Person, letters: McpProcess, database: Database
) -> None:
    made = await add("letters", letters.url)
    database.execute("UPDATE mcp_servers SET tools = '[]', error = 'was away', checked_at = now() - interval '1 hour'")
    await server.app.state.resources.tools.check_stale(300)
    (again,) = [each for each in (await admin.get("/admin/mcp-servers"))["items"] if each["id"] == made["id"]]
    assert (again["status"], bool(again["tools"])) == ("ok", True)


async def test_langgraphs_own_client_calls_tools_and_answers_an_approval(
    server: Server, add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    await add("letters", letters.url)
    before = len(letters.calls())
    openai.script(rounds=[[("letters__send_letter", {"to": "Sdk", "text": "Hi"})]])
    client: Any = get_client(
        url=f"{server.url}/langgraph", headers={"Authorization": anna.http.headers["Authorization"]}, api_key=None
    )
    thread = (await client.threads.create())["thread_id"]
    question = {"messages": [{"role": "user", "content": "Write."}]}
    context = {"tools": ["letters__send_letter"]}
    await client.runs.wait(thread, "chat", input=question, context=context)
    state = await client.threads.get_state(thread)
    (asked,) = state["interrupts"]
    (step,) = asked["value"]["steps"]
    assert (step["name"], step["arguments"]) == ("letters__send_letter", {"to": "Sdk", "text": "Hi"})
    # What is no decision leaves it waiting.
    await client.runs.wait(thread, "chat", command={"resume": "yes, please"})
    assert len(letters.calls()) == before
    decision = {"step_id": step["step_id"], "decision": "approve"}
    values = await client.runs.wait(thread, "chat", command={"resume": [decision]})
    assert letters.calls()[before:] == ["send_letter Sdk"]
    assert values["messages"][-1]["content"] == "The tools say: Sent to Sdk: Hi"
    assert values["rounds"][0]["steps"][0]["status"] == "done"
    await client.aclose()


async def test_a_server_can_be_kept_to_groups(
    letters: McpProcess, add: Add, admin: Person, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    made = await add("ourletters", letters.url)
    crowd = (await admin.http.post("/groups", json={"name": f"Writers {anna.name}"})).json()["id"]
    assert (await admin.http.put(f"/groups/{crowd}/members", json={"username": anna.name})).status_code == 204
    address = f"/admin/mcp-servers/{made['id']}"
    changed = await admin.http.patch(address, json={"allowed_groups": [crowd]})
    assert changed.json()["allowed_groups"] == [crowd]

    async def tools(person: Person) -> bool:
        return any(tool["source"] == "ourletters" for tool in (await person.get("/tools"))["items"])

    assert (await tools(anna), await tools(boris)) == (True, False)
    refused = await boris.http.post("/chat", json={"message": "Add.", "tools": ["ourletters__add"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "tool_unknown")
    openai.script(rounds=[[("ourletters__add", {"a": 2, "b": 40})]])
    assert (await anna.ask("Add.", tools=["ourletters__add"]))["steps"][0]["status"] == "done"
    # Out of the group, a call that waits is not made any more.
    await admin.http.patch(address, json={"approval": "always"})
    openai.script(rounds=[[("ourletters__add", {"a": 2, "b": 40})]])
    events = await until_action(anna, message="Add.", tools=["ourletters__add"])
    run, step = events[0].data["run_id"], events[-1].data["step_ids"][0]
    me = (await anna.get("/auth/me"))["id"]
    assert (await admin.http.delete(f"/groups/{crowd}/members/{me}")).status_code == 204
    await decide(anna, run, {"step_id": step, "decision": "approve"})
    rest = await read_on(anna, run, events[-1].id)
    assert steps_of(rest)[step][-1]["status"] == "failed"
    await admin.http.patch(address, json={"allowed_groups": None, "approval": "per_tool"})
    assert await tools(boris)


async def test_secrets_do_not_follow_a_server_to_another_address(
    add: Add, admin: Person, letters: McpProcess, database: Database
) -> None:
    """An administrator is not shown them, so must not be able to have them sent where they like either."""
    heard: list[str] = []

    async def listen(request: web.BaseRequest) -> web.Response:
        heard.append(str(request.headers.get("authorization")))
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(listen))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    elsewhere = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    made = await add("letters", letters.url, headers={"Authorization": SECRET})
    refused = await admin.http.patch(f"/admin/mcp-servers/{made['id']}", json={"url": elsewhere})
    assert (refused.status_code, refused.json()["error"]["details"][0]["loc"]) == (422, ["body", "headers"])
    same = await admin.http.patch(f"/admin/mcp-servers/{made['id']}", json={"url": letters.url, "enabled": True})
    assert (same.status_code, same.json()["status"]) == (200, "ok")
    anew = await admin.http.patch(f"/admin/mcp-servers/{made['id']}", json={"url": elsewhere, "headers": {}})
    assert anew.status_code == 200
    await runner.cleanup()
    assert heard
    assert set(heard) == {"None"}
