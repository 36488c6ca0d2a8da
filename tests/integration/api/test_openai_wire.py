"""OpenAI's wire under /v1: the SDK and LangChain's own classes, unchanged, with an API key."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai as sdk
import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from tests.conftest import Join
from tests.integration.api.test_api_keys import make_key
from tests.integration.api.test_pictures import pictures_of, png
from tests.providers import OpenAIServer
from tests.providers.vectors import DIMENSION
from tests.support import Person, Server, eventually

QUESTION: Any = [{"role": "user", "content": "Who are you?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def key(anna: Person) -> str:
    return str((await make_key(anna, "chat", "models:read"))["key"])


@pytest.fixture
async def client(server: Server, key: str) -> AsyncIterator[sdk.AsyncOpenAI]:
    """OpenAI's client as its documentation shows it."""
    async with sdk.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as made:
        yield made


async def test_the_sdk_asks_and_streams(client: sdk.AsyncOpenAI, anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="A llama, at your service.")
    answer = await client.chat.completions.create(
        model="openai/gpt-4", messages=QUESTION, temperature=0.5, max_tokens=50
    )
    assert answer.choices[0].message.content == "A llama, at your service."
    assert (answer.choices[0].finish_reason, answer.model) == ("stop", "openai/gpt-4")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    sent = openai.chats[-1].body
    assert (sent["temperature"], sent["model"]) == (0.5, "gpt-4")
    assert sent["messages"] == QUESTION
    stream = await client.chat.completions.create(
        model="gpt-4", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "A llama, at your service."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert (await anna.get("/conversations"))["items"] == [], "nothing is kept"


async def test_files_are_searched_where_the_request_asks_for_it(
    client: sdk.AsyncOpenAI, anna: Person, openai: OpenAIServer
) -> None:
    falcon = await anna.indexed("falcon.txt", b"The Falcon drill has a warranty of 37 months. It weighs two kilos.")
    await anna.indexed("condor.txt", b"The Condor saw has a warranty of 11 months.")
    openai.script(reply="The warranty of the Falcon is 37 months [1]. It is blue [7].")
    question: Any = [{"role": "user", "content": "How long is the warranty of the Falcon drill?"}]
    own = {"file_ids": [falcon["id"]]}
    answer = await client.chat.completions.create(model="gpt-4", messages=question, extra_body=own)
    sent = str(openai.chats[-1].body["messages"][-1]["content"])
    assert "37 months. It weighs" in sent
    assert "11 months" not in sent, "only the named file"
    assert answer.choices[0].message.content == "The warranty of the Falcon is 37 months [1]. It is blue."
    (note,) = answer.choices[0].message.model_dump()["annotations"]
    assert note["type"] == "file_citation"
    cited = note["file_citation"]
    assert (cited["index"], cited["file_id"], cited["filename"]) == (1, falcon["id"], "falcon.txt")
    assert cited["quote"] == "The Falcon drill has a warranty of 37 months."
    everything: Any = {"use_rag": True}
    stream = await client.chat.completions.create(model="gpt-4", messages=question, stream=True, extra_body=everything)
    deltas = [chunk.choices[0].delta.model_dump() async for chunk in stream if chunk.choices]
    assert "11 months" in str(openai.chats[-1].body["messages"][-1]["content"])
    assert "".join(d["content"] or "" for d in deltas) == "The warranty of the Falcon is 37 months [1]. It is blue."
    assert [len(d["annotations"]) for d in deltas if d.get("annotations")] == [1]
    await client.chat.completions.create(model="gpt-4", messages=question)
    assert openai.chats[-1].body["messages"] == question, "nothing is searched by itself"
    assert (await anna.get("/conversations"))["items"] == []


async def test_strangers_files_are_not_found(client: sdk.AsyncOpenAI, join: Join, openai: OpenAIServer) -> None:
    boris = await join()
    secret = await boris.indexed("secret.txt", b"The secret of Boris is 4711.")
    asked = len(openai.chats)
    with pytest.raises(sdk.NotFoundError) as refused:
        await client.chat.completions.create(model="gpt-4", messages=QUESTION, extra_body={"file_ids": [secret["id"]]})
    assert refused.value.code == "not_found"
    await client.chat.completions.create(
        model="gpt-4",
        messages=[{"role": "user", "content": "What is the secret of Boris?"}],
        extra_body={"use_rag": True},
    )
    assert "4711" not in str([chat.body for chat in openai.chats[asked:]])


async def test_a_chat_that_is_stored_is_a_conversation_like_any_other(
    client: sdk.AsyncOpenAI, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("falcon.txt", b"The Falcon drill has a warranty of 37 months.")
    openai.script(reply="37 months [1].")
    talk: Any = [
        {"role": "system", "content": "Answer like a pirate."},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "A llama."},
        {"role": "user", "content": "How long is the warranty of the Falcon drill?"},
    ]
    answer = await client.chat.completions.create(model="openai/gpt-4", messages=talk, store=True)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason, answer.model) == ("37 months [1].", "stop", "openai/gpt-4")
    assert choice.message.model_dump()["annotations"][0]["file_citation"]["filename"] == "falcon.txt"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    thread = answer.model_dump()["metadata"]["conversation_id"]
    kept = await anna.get(f"/conversations/{thread}")
    assert kept["system_prompt"] == "Answer like a pirate."
    items = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert [item["content"] for item in items] == [*(part["content"] for part in talk[1:]), "37 months [1]."]

    openai.script(tokens=["It ", "is ", "green."])
    stream = await client.chat.completions.create(
        model="gpt-4",
        messages=[{"role": "user", "content": "And its colour?"}],
        metadata={"conversation_id": thread},
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "It is green."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert {c.model for c in chunks} == {"openai/gpt-4"}
    items = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert [item["content"] for item in items][-2:] == ["And its colour?", "It is green."]
    sent = openai.chats[-1].body["messages"]
    assert "Who are you?" in str(sent), "the conversation's own messages are its history"


async def test_a_client_that_leaves_loses_no_stored_answer(
    client: sdk.AsyncOpenAI, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(tokens=["word "] * 40, delay=0.05)
    stream = await client.chat.completions.create(model="gpt-4", messages=QUESTION, store=True, stream=True)
    first = await anext(aiter(stream))
    await stream.close()
    thread = first.model_dump()["metadata"]["conversation_id"]

    async def complete() -> bool:
        items = (await anna.get(f"/conversations/{thread}/messages"))["items"]
        return bool(items[-1]["status"] == "complete" and items[-1]["content"].count("word") == 40)

    await eventually(complete)


async def test_what_a_stored_chat_can_not_do_is_refused(
    client: sdk.AsyncOpenAI, anna: Person, join: Join, openai: OpenAIServer
) -> None:
    boris = await join()
    foreign = (await boris.ask("Hello."))["conversation_id"]
    refused: list[tuple[dict[str, Any], type[sdk.APIStatusError]]] = [
        ({"tools": [WEATHER], "store": True}, sdk.BadRequestError),
        ({"stop": ["x"], "store": True}, sdk.BadRequestError),
        ({"metadata": {"conversation_id": "no id"}}, sdk.BadRequestError),
        ({"metadata": {"mood": "good"}}, sdk.BadRequestError),
        ({"metadata": {"conversation_id": foreign}}, sdk.NotFoundError),
    ]
    for fields, kind in refused:
        with pytest.raises(kind):
            await client.chat.completions.create(model="gpt-4", messages=QUESTION, **fields)
    openai.script(fault="500", times=9)
    with pytest.raises(sdk.APIStatusError):
        await client.chat.completions.create(model="gpt-4", messages=QUESTION, store=True)
    assert len((await anna.get("/conversations"))["items"]) == 1, "the question is kept, with how it failed"
    assert len((await boris.get(f"/conversations/{foreign}/messages"))["items"]) == 2


async def test_responses_are_the_same_answers_in_another_shape(
    client: sdk.AsyncOpenAI, anna: Person, openai: OpenAIServer
) -> None:
    falcon = await anna.indexed("falcon.txt", b"The Falcon drill has a warranty of 37 months.")
    openai.script(reply="37 months [1].")
    question = "How long is the warranty of the Falcon drill?"
    answer = await client.responses.create(
        model="openai/gpt-4",
        instructions="Be brief.",
        input=question,
        max_output_tokens=50,
        extra_body={"file_ids": [falcon["id"]]},
    )
    assert (answer.status, answer.model, answer.output_text) == ("completed", "openai/gpt-4", "37 months [1].")
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0
    (note,) = answer.model_dump()["output"][0]["content"][0]["annotations"]
    assert (note["type"], note["file_id"], note["filename"]) == ("file_citation", falcon["id"], "falcon.txt")
    sent = openai.chats[-1].body
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["max_tokens"] == 50
    assert (await anna.get("/conversations"))["items"] == []

    talk: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Who are you?"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "A llama.", "annotations": []}]},
        {"role": "user", "content": "Since when?"},
    ]
    openai.script(tokens=["Since ", "always."])
    async with client.responses.stream(model="gpt-4", input=talk, store=True) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") >= 1
    assert final.output_text == "Since always."
    thread = (final.metadata or {})["conversation_id"]
    items = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert [item["content"] for item in items] == ["Who are you?", "A llama.", "Since when?", "Since always."]


async def test_a_response_that_fails_or_is_cut_says_so(client: sdk.AsyncOpenAI, openai: OpenAIServer) -> None:
    openai.script(tokens=["one ", "two ", "three "])
    cut = await client.responses.create(model="gpt-4", input="Count.", max_output_tokens=2)
    assert (cut.status, cut.output_text) == ("incomplete", "one two ")
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    openai.script(tokens=["word "] * 40, fault="drop")
    events = [event async for event in await client.responses.create(model="gpt-4", input="Count.", stream=True)]
    assert events[-1].type == "response.failed"
    openai.script(fault="500", times=9)
    with pytest.raises(sdk.APIStatusError):
        await client.responses.create(model="gpt-4", input="Count.")
    refused: list[dict[str, Any]] = [
        {"tools": [{"type": "web_search"}]},
        {"previous_response_id": "resp_1"},
        {"input": []},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]}]},
    ]
    for fields in refused:
        with pytest.raises(sdk.BadRequestError):
            await client.post("/responses", body={"model": "gpt-4", "input": "?", **fields}, cast_to=object)


async def test_a_limit_and_a_stop_are_handed_on(client: sdk.AsyncOpenAI, openai: OpenAIServer) -> None:
    openai.script(tokens=["one ", "two ", "three "])
    answer = await client.chat.completions.create(
        model="gpt-4", messages=QUESTION, max_completion_tokens=2, stop=["END"]
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two ", "length")
    assert openai.chats[-1].body["stop"] == ["END"]


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_passed_through(client: sdk.AsyncOpenAI, openai: OpenAIServer, stream: bool) -> None:
    """The model's call goes to who asked, and what it gave comes back as a message."""
    asked: Any = [{"role": "user", "content": "Use get_weather for Oslo."}]
    if stream:
        deltas = [
            chunk.choices[0]
            async for chunk in await client.chat.completions.create(
                model="gpt-4", messages=asked, tools=[WEATHER], tool_choice="auto", stream=True
            )
        ]
        call = next(call for choice in deltas for call in choice.delta.tool_calls or ())
        assert deltas[-1].finish_reason == "tool_calls"
        assert call.function is not None
        name, arguments, id_ = call.function.name, call.function.arguments, call.id
    else:
        answer = await client.chat.completions.create(model="gpt-4", messages=asked, tools=[WEATHER])
        assert answer.choices[0].finish_reason == "tool_calls"
        calls: Any = answer.choices[0].message.tool_calls
        (made,) = calls
        name, arguments, id_ = made.function.name, made.function.arguments, made.id
    assert name == "get_weather"
    assert arguments
    openai.script(reply="It rains.")
    history: Any = [
        *asked,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}],
        },
        {"role": "tool", "tool_call_id": id_, "content": "rain"},
    ]
    last = await client.chat.completions.create(model="gpt-4", messages=history)
    assert last.choices[0].message.content == "It rains."
    sent = openai.chats[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["function"]["name"] == "get_weather"


async def test_models_of_every_source_are_listed(client: sdk.AsyncOpenAI) -> None:
    ids = [model.id async for model in client.models.list()]
    assert "openai/gpt-4" in ids
    assert (await client.models.retrieve("openai/gpt-4")).owned_by == "openai"
    with pytest.raises(sdk.NotFoundError):
        await client.models.retrieve("openai/nothing")


async def test_langchain_speaks_it(server: Server, key: str, openai: OpenAIServer) -> None:
    openai.script(reply="A chain of llamas.")
    url, secret = f"{server.url}/v1", SecretStr(key)
    async with httpx.AsyncClient() as http:
        model = ChatOpenAI(
            model="openai/gpt-4", base_url=url, api_key=secret, use_responses_api=False, http_async_client=http
        )
        assert (await model.ainvoke("Who are you?")).content == "A chain of llamas."
        pieces = [piece async for piece in model.astream("Who are you?")]
        assert "".join(str(piece.content) for piece in pieces) == "A chain of llamas."
        vectors = OpenAIEmbeddings(
            model=(await _get(server, key, "/v1/models"))["data"][-1]["id"],  # the embedding model comes last
            openai_api_base=url,
            openai_api_key=secret,
            check_embedding_ctx_length=False,
            http_async_client=http,
        )
        (one, two) = await vectors.aembed_documents(["the llama", "the storks"])
    assert (len(one), len(two)) == (DIMENSION, DIMENSION)
    assert one != two


async def _get(server: Server, key: str, path: str) -> Any:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
        return (await client.get(path)).json()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"seed": 7}, "seed"),
        ({"flying": True}, "flying"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "Only rules."}]}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
            "messages.0.content",
        ),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
async def test_what_is_not_done_is_refused_by_name(
    client: sdk.AsyncOpenAI, openai: OpenAIServer, fields: dict[str, Any], param: str
) -> None:
    asked = len(openai.chats)
    body = {"model": "gpt-4", "messages": QUESTION, **fields}
    with pytest.raises(sdk.BadRequestError) as caught:
        await client.post("/chat/completions", body=body, cast_to=object)
    assert (caught.value.param or "").startswith(param)
    assert caught.value.code == "validation_error"
    assert len(openai.chats) == asked, "no model was asked"


def showing(url: str) -> Any:
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}],
        }
    ]


async def test_pictures_go_to_models_that_see(client: sdk.AsyncOpenAI, openai: OpenAIServer) -> None:
    url = f"data:image/png;base64,{base64.b64encode(png(7)).decode()}"
    asked = len(openai.chats)
    answer = await client.chat.completions.create(
        model="gpt-4o", messages=showing(url), reasoning_effort="low", tools=[WEATHER], tool_choice="none"
    )
    assert answer.choices[0].message.content
    body = openai.chats[asked].body
    assert pictures_of(body["messages"][0]) == [png(7)]
    assert (body["reasoning_effort"], body["tool_choice"]) == ("low", "none")
    with pytest.raises(sdk.APIStatusError) as caught:
        await client.chat.completions.create(model="gpt-4", messages=showing(url))
    assert caught.value.code == "model_cannot"
    with pytest.raises(sdk.BadRequestError) as refused:
        await client.chat.completions.create(model="gpt-4o", messages=showing("http://127.0.0.1/internal.png"))
    assert (refused.value.param or "").startswith("messages.0.content")


async def test_neutral_parameters_are_taken(client: sdk.AsyncOpenAI, openai: OpenAIServer) -> None:
    answer = await client.chat.completions.create(
        model="gpt-4", messages=QUESTION, n=1, top_p=1, presence_penalty=0, user="u-1", tool_choice="auto"
    )
    assert answer.choices[0].message.content


async def test_errors_come_as_the_sdk_expects_them(
    client: sdk.AsyncOpenAI, server: Server, anna: Person, openai: OpenAIServer
) -> None:
    with pytest.raises(sdk.NotFoundError) as missing:
        await client.chat.completions.create(model="openai/nope\n", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    openai.script(fault="429")
    with pytest.raises(sdk.RateLimitError) as busy:
        await client.chat.completions.create(model="gpt-4", messages=QUESTION)
    assert busy.value.code == "provider_rate_limited"
    openai.script(fault="drop", tokens=["one ", "two ", "three ", "four ", "five "])
    stream = await client.chat.completions.create(model="gpt-4", messages=QUESTION, stream=True)
    said: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            said.append(chunk.choices[0].delta.content or "")

    with pytest.raises(sdk.APIError):
        await read()
    assert "".join(said).startswith("one")
    openai.script()
    for wrong, kind in (
        ("ls_wrong", sdk.AuthenticationError),
        ((await make_key(anna, "files:read"))["key"], sdk.PermissionDeniedError),
    ):
        async with sdk.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=wrong, max_retries=0) as stranger:
            with pytest.raises(kind):
                await stranger.chat.completions.create(model="gpt-4", messages=QUESTION)


async def test_leaving_ends_the_providers_request(client: sdk.AsyncOpenAI, openai: OpenAIServer) -> None:
    openai.script(tokens=["a "] * 500, delay=0.02)
    openai.left.clear()
    stream = await client.chat.completions.create(model="gpt-4", messages=QUESTION, stream=True)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    await openai.left.wait()


async def test_a_wrong_method_is_told_in_the_same_shape(server: Server, key: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
        for method, path, allowed in (
            ("POST", "/v1/models", "GET"),
            ("GET", "/v1/chat/completions", "POST"),
            ("GET", "/v1/responses", "POST"),
            ("DELETE", "/v1/embeddings", "POST"),
        ):
            refused = await client.request(method, path)
            assert (refused.status_code, refused.headers["Allow"]) == (405, allowed), path
            assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
        for method in ("GET", "POST"):
            unknown = await client.request(method, "/v1/nowhere", headers={"Accept": "text/html"})
            assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
