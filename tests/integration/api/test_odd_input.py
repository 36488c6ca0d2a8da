"""What clients send that no database can hold, at every door: it is cleaned, or refused, and never an error of ours."""

import asyncio
import json
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args
from uuid import uuid4

import httpx
import pytest

from api.schemas.common import Body
from tests.providers import OpenAIServer
from tests.support import Person, Server

NUL, HALF = "\x00", "\ud83d"
HERE = "the value"
DEEP = "[" * 400 + "]" * 400
# They are read by others (`fastapi_users`, `langserve`), or are no JSON.
NOT_OURS = ("/auth/register", "/auth/oidc/{name}/logout", "/langserve/")


def routes_of(routes: Any) -> Iterator[Any]:
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from routes_of(included.routes) if included is not None else [route]


async def send(anna: Person, url: str, body: Any, value: str = "null", *, method: str = "POST") -> httpx.Response:
    """Send a body as `json` of Python writes it, which has escapes for everything, with a value in its place."""
    text = json.dumps(body).replace(json.dumps(HERE), value)
    return await anna.http.request(method, url, content=text, headers={"content-type": "application/json"})


def test_every_body_is_cleaned(server: Server) -> None:
    bodies = {
        route.path: route.body_field.field_info.annotation
        for route in routes_of(server.app.routes)
        if getattr(route, "body_field", None) is not None and not route.path.startswith(NOT_OURS)
    }
    assert len(bodies) > 50
    for path, body in bodies.items():
        for kind in get_args(body) or (body,):
            assert kind is NoneType or issubclass(kind, Body), path


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("odd", [NUL, HALF])
async def test_chat_completions_take_any_text(
    odd: str, store: bool, server: Server, anna: Person, openai: OpenAIServer
) -> None:
    messages = [{"role": "system", "content": f"Be{odd} kind."}, {"role": "user", "content": f"Who are{odd} you?"}]
    body = {"model": "openai/gpt-4", "store": store, "messages": messages}
    said = await send(anna, f"{server.url}/v1/chat/completions", body)
    assert said.status_code == 200, said.text
    assert NUL not in openai.chats[-1].body["messages"][-1]["content"]


@pytest.mark.parametrize("odd", [NUL, HALF])
async def test_calls_of_tools_take_any_text(odd: str, server: Server, anna: Person, openai: OpenAIServer) -> None:
    """The arguments of a call are a text of JSON within the JSON."""
    function = {"name": f"look{odd}", "arguments": json.dumps({f"a{odd}": f"b{odd}"})}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": f"Look{odd}"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": f"1{odd}", "function": function}]},
        {"role": "tool", "tool_call_id": f"1{odd}", "content": f"Seen{odd}"},
    ]
    parameters = {"type": "object", "properties": {f"a{odd}": {"type": "string", "description": odd}}}
    tools = [{"type": "function", "function": {"name": "look", "parameters": parameters}}]
    body = {"model": "openai/gpt-4", "messages": messages, "tools": tools}
    said = await send(anna, f"{server.url}/v1/chat/completions", body)
    assert said.status_code == 200, said.text


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("odd", [NUL, HALF])
async def test_responses_take_any_text(
    odd: str, store: bool, server: Server, anna: Person, openai: OpenAIServer
) -> None:
    parts = [{"type": "input_text", "text": f"Who are{odd} you?"}]
    for given in (f"Who are{odd} you?", [{"role": "user", "content": parts}]):
        body = {"model": "openai/gpt-4", "store": store, "instructions": f"Be{odd} kind.", "input": given}
        said = await send(anna, f"{server.url}/v1/responses", body)
        assert said.status_code == 200, said.text


@pytest.mark.parametrize("odd", [NUL, HALF])
async def test_embeddings_take_any_text(odd: str, server: Server, anna: Person) -> None:
    models = (await anna.http.get(f"{server.url}/v1/models")).json()["data"]
    said = await send(anna, f"{server.url}/v1/embeddings", {"model": models[-1]["id"], "input": [f"a{odd}", odd]})
    assert said.status_code == 200, said.text


@pytest.mark.parametrize("odd", [NUL, HALF])
async def test_names_that_are_not_known_are_told(odd: str, server: Server, anna: Person) -> None:
    question = {"role": "user", "content": "Hello"}
    for path, body in (
        ("chat/completions", {"model": "openai/gpt-4", "messages": [question], f"x{odd}": 1}),
        ("chat/completions", {"model": "openai/gpt-4", "messages": [question], "metadata": {f"x{odd}": 1}}),
        ("responses", {"model": "openai/gpt-4", "input": "Hello", f"x{odd}": 1}),
        ("embeddings", {"model": "m", "input": "Hello", f"x{odd}": 1}),
    ):
        said = await send(anna, f"{server.url}/v1/{path}", body)
        assert said.status_code == 400, (path, said.text)


@pytest.mark.parametrize("odd", [NUL, HALF])
async def test_metadata_of_threads_take_any_text(odd: str, server: Server, anna: Person) -> None:
    threads = f"{server.url}/langgraph/threads"
    made = await send(anna, threads, {"metadata": {f"a{odd}": {f"b{odd}": [f"c{odd}"]}}})
    assert made.status_code == 200, made.text
    thread = made.json()
    assert thread["metadata"]["a" if odd == NUL else "a?"] in ({"b": ["c"]}, {"b?": ["c?"]})
    changed = await send(anna, f"{threads}/{thread['thread_id']}", {"metadata": {odd: odd}}, method="PATCH")
    assert changed.status_code == 200, changed.text
    found = await send(anna, f"{threads}/search", {"metadata": {f"a{odd}": {}}})
    assert [item["thread_id"] for item in found.json()] == [thread["thread_id"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("threads/search", {"offset": 10**30}),
        ("threads/search", {"offset": 2**63}),
        ("threads/search", {"offset": 10**30, "status": "idle"}),
        ("threads/count", {"offset": 10**30}),
        ("assistants/search", {"offset": 10**30}),
        ("threads/{thread}/history", {"before": {"configurable": 5}}),
        ("threads/{thread}/history", {"before": 5}),
        ("threads/{thread}/history", {"before": "yesterday"}),
        ("threads/{thread}/history", {"before": {"checkpoint_id": "yesterday"}}),
        ("threads", {"metadata": {"a": float("nan")}}),
        ("threads", {"metadata": {"a": float("-inf")}}),
        ("threads", {"metadata": {"a": json.loads(DEEP)}}),
        ("threads/search", {"metadata": {"a": json.loads(DEEP)}}),
    ],
)
async def test_what_can_not_be_kept_is_refused_by_the_agent_server(
    path: str, body: Any, server: Server, anna: Person
) -> None:
    thread = (await anna.http.post(f"{server.url}/langgraph/threads", json={})).json()["thread_id"]
    said = await send(anna, f"{server.url}/langgraph/{path.format(thread=thread)}", body)
    assert said.status_code == 422, said.text


async def test_odd_places_in_addresses_are_refused_by_the_agent_server(
    server: Server, anna: Person, openai: OpenAIServer
) -> None:
    thread = (await anna.ask("Hello"))["conversation_id"]
    runs = f"{server.url}/langgraph/threads/{thread}/runs"
    for path in (f"{runs}?offset={10**30}", f"{runs}/../history?before=%00", f"{runs}/../history?before=yesterday"):
        assert (await anna.http.get(path)).status_code == 422, path
    run = (await anna.http.get(runs)).json()[0]["run_id"]
    for number in ("9" * 5000, "x", "-1"):
        said = await anna.http.get(f"{runs}/{run}/stream", headers={"Last-Event-ID": number})
        assert "event: metadata" in said.text, "all from the beginning"


@pytest.mark.parametrize("value", ["NaN", "1e999", DEEP, str(10**30)])
async def test_numbers_that_are_none_are_refused_everywhere(value: str, server: Server, anna: Person) -> None:
    """JSON as Python reads it has more of them than others can write, and more depth."""
    asked = {"model": "openai/gpt-4", "messages": [{"role": "user", "content": "Hello"}]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"default": HERE}}}
    bodies: list[tuple[str, dict[str, Any], int]] = [
        ("v1/chat/completions", {**asked, "tools": [tool]}, 400),
        ("v1/chat/completions", {**asked, "max_tokens": HERE}, 400),
        ("langgraph/runs/wait", {"assistant_id": "chat", "input": {"messages": [], "a": HERE}}, 422),
        ("api/v1/chat", {"message": "Hello", "temperature": HERE}, 422),
        ("api/v1/chat", {"message": "Hello", "a": {"b": HERE}}, 422),
    ]
    for path, body, refused in bodies:
        said = await send(anna, f"{server.url}/{path}", body, value)
        assert said.status_code == refused, (path, said.text)


@pytest.mark.parametrize("value", ['{"a": NaN}', "[1]", "5", "{", f'{{"a": {DEEP}}}'])
async def test_arguments_of_calls_are_objects(value: str, server: Server, anna: Person) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": value}}
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "tool_calls": [call]}]
    said = await send(anna, f"{server.url}/v1/chat/completions", {"model": "openai/gpt-4", "messages": messages})
    assert said.status_code == 400, said.text


async def test_one_thread_is_made_however_often_it_is_asked_for_at_once(
    server: Server, anna: Person, boris: Person
) -> None:
    url = f"{server.url}/langgraph/threads"
    body = {"thread_id": str(uuid4()), "if_exists": "do_nothing"}
    said = await asyncio.gather(*(anna.http.post(url, json=body) for _ in range(6)))
    assert {answer.status_code for answer in said} == {200}
    assert {answer.json()["thread_id"] for answer in said} == {body["thread_id"]}
    assert (await boris.http.post(url, json=body)).status_code == 404
    own = {"thread_id": str(uuid4())}
    said = await asyncio.gather(*(anna.http.post(url, json=own) for _ in range(6)))
    assert sorted(answer.status_code for answer in said) == [200, *[409] * 5]


async def test_one_thread_is_made_by_runs_that_begin_at_once(
    server: Server, anna: Person, openai: OpenAIServer
) -> None:
    question = {"messages": [{"role": "user", "content": "Hello"}]}
    body = {"assistant_id": "chat", "input": question, "if_not_exists": "create"}
    url = f"{server.url}/langgraph/threads/{uuid4()}/runs"
    said = await asyncio.gather(*(anna.http.post(url, json=body) for _ in range(4)))
    assert {answer.status_code for answer in said} <= {200, 409}
    assert 200 in {answer.status_code for answer in said}
