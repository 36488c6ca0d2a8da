"""The registry against servers that speak the real wires."""

import asyncio
import socket
import time
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from chains.models import ModelRegistry
from chains.types import ModelParams, Target
from llama_service.errors import ModelCannot, ModelNotFound, ProviderBadAnswer, ProviderUnavailable
from tests.providers import AIHubServer, OllamaServer, OpenAIServer
from tests.providers.asking import EXPECTED, PROMPT, QUESTION, Open, ask, hub_settings
from tests.providers.vectors import DIMENSION

PARAMS = ModelParams(temperature=0.25, max_tokens=77, stop=["STOP"])


async def test_openai_answers_and_counts(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await registry_with(openai_base_url=openai.url, openai_api_key="sk-test")
    start, text, end = await ask(registry, source="openai", params=PARAMS, request_id="req-1")
    assert (start.source, start.model, start.fallback_from) == ("openai", "gpt-4", None)
    assert text == EXPECTED
    assert (end.finish_reason, end.usage.estimated, end.usage.output_tokens) == ("stop", False, 13)
    sent = openai.chats[0]
    assert sent.headers["Authorization"] == "Bearer sk-test"
    assert sent.headers["X-Request-ID"] == "req-1"
    assert sent.body["messages"][0] == {"content": "Answer briefly.", "role": "system"}
    assert {name: sent.body[name] for name in ("temperature", "max_tokens", "stop", "stream_options")} == {
        "temperature": 0.25,
        "max_tokens": 77,
        "stop": ["STOP"],
        "stream_options": {"include_usage": True},
    }


async def test_ollama_answers_in_its_own_words(ollama: OllamaServer, registry_with: Open) -> None:
    registry = await registry_with(embeddings_baseurl=ollama.url)
    start, text, end = await ask(registry, source="ollama", params=PARAMS)
    assert (start.source, start.model, text) == ("ollama", "llama3.2:latest", EXPECTED)
    assert (end.finish_reason, end.usage.output_tokens) == ("stop", 13)
    options = ollama.chats[0].body["options"]
    assert options == {"num_ctx": 8192, "num_predict": 77, "stop": ["STOP"], "temperature": 0.25}


@pytest.mark.parametrize("path", ["models/{model}/chat/stream", ""])
async def test_aihub_answers_streamed_and_whole(hub: AIHubServer, registry_with: Open, path: str) -> None:
    registry = await registry_with(**hub_settings(hub, aihub_chat_stream_path=path))
    start, text, end = await ask(registry, source="aihub", params=ModelParams(max_tokens=77), request_id="req-2")
    assert (start.source, start.model, text) == ("aihub", "hub-chat", EXPECTED)
    assert (end.usage.output_tokens, end.usage.estimated) == (13, False)
    sent = hub.chats[0]
    assert sent.headers["traceId"] == "req-2"
    assert sent.path.endswith("/models/hub-chat/chat/stream" if path else "/models/hub-chat/chat")
    assert sent.body["messages"] == [
        {"role": "system", "text": "Answer briefly."},
        {"role": "user", "text": QUESTION},
    ]
    assert sent.body["parameters"] == {
        "stream": bool(path),
        "temperature": 0.7,
        "maxTokens": "77",
        "reasoningOptions": {"mode": "DISABLED"},
    }


async def test_embedded_speaks_openai_with_its_own_key(registry_with: Open) -> None:
    async with OpenAIServer(key="own-key", models=[{"id": "/data/models/demo.gguf"}]) as server:
        given: dict[str, Any] = {"embedded_chat_url": server.url, "embedded_api_key": "own-key"}
        registry: ModelRegistry = await registry_with(**given)
        assert (await ask(registry, source="embedded"))[1] == EXPECTED
        listed = await registry.list_models("embedded")
        assert [(model.name, model.default, model.context_window) for model in listed.models] == [("demo", True, 4096)]
        assert (await registry.resolve("embedded", None)).model == "demo"


async def test_usage_is_estimated_where_nobody_counts(ollama: OllamaServer, registry_with: Open) -> None:
    ollama.script(usage=False)
    registry = await registry_with(embeddings_baseurl=ollama.url)
    _, text, end = await ask(registry, source="ollama")
    assert end.usage.estimated
    assert end.usage.output_tokens == registry.count_tokens(text)
    assert end.usage.total_tokens == end.usage.input_tokens + end.usage.output_tokens


async def test_default_source_falls_back_and_says_so(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await registry_with(embedded_chat_url=openai.url, default_model_source="ollama")
    answer = await registry.complete(PROMPT)
    assert (answer.start.source, answer.start.fallback_from, answer.text) == ("embedded", "ollama", EXPECTED)
    outcomes = [(attempt.source, attempt.outcome) for attempt in answer.end.attempts]
    assert outcomes == [("ollama", "provider_unavailable"), ("embedded", "ok")]


async def test_named_source_is_never_replaced(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await registry_with(embedded_chat_url=openai.url)
    with pytest.raises(ProviderUnavailable):
        await ask(registry, source="ollama")
    assert not openai.chats


async def test_fallback_takes_only_what_is_unreachable(
    ollama: OllamaServer, openai: OpenAIServer, registry_with: Open
) -> None:
    registry = await registry_with(embeddings_baseurl=ollama.url, embedded_chat_url=openai.url)
    with pytest.raises(ModelNotFound):
        await registry.complete(PROMPT, name="not-pulled")
    assert not openai.chats


async def test_first_error_is_told_where_no_source_answers(registry_with: Open) -> None:
    registry = await registry_with()
    with pytest.raises(ProviderUnavailable) as caught:
        await registry.complete(PROMPT)
    assert "can't be reached" in caught.value.message


async def test_source_that_is_not_set_up_says_what_is_missing(registry_with: Open) -> None:
    registry = await registry_with(openai_base_url="https://api.openai.com/v1")
    for source, word in (("openai", "OPENAI_API_KEY"), ("aihub", "AIHUB_URL"), ("embedded", "EMBEDDED_CHAT_URL")):
        with pytest.raises(ProviderUnavailable, match=word):
            await ask(registry, source=source)


async def test_local_is_ollama_where_it_answers_else_embedded(
    ollama: OllamaServer, openai: OpenAIServer, registry_with: Open
) -> None:
    up = await registry_with(embeddings_baseurl=ollama.url, embedded_chat_url=openai.url)
    assert await up.resolve("local", None) == Target("ollama", "llama3.2:latest", "local")
    down = await registry_with(embedded_chat_url=openai.url)
    start, text, _ = await ask(down, source="local")
    assert (start.source, start.fallback_from, text) == ("embedded", None, EXPECTED)


async def test_prompt_may_depend_on_the_model(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await registry_with(embedded_chat_url=openai.url)

    def prompt(target: Target) -> list[HumanMessage]:
        return [HumanMessage(f"for {target.source}")]

    assert (await registry.complete(prompt)).start.source == "embedded"
    assert openai.chats[0].body["messages"][0]["content"] == "for embedded"


@pytest.mark.parametrize("how", ["close", "cancel"])
@pytest.mark.parametrize("kind", ["openai", "ollama", "aihub"])
async def test_leaving_ends_the_providers_request_at_once(kind: str, how: str, registry_with: Open) -> None:
    async with OpenAIServer() as openai, OllamaServer() as ollama, AIHubServer() as hub:
        servers = {"openai": openai, "ollama": ollama, "aihub": hub}
        server = servers[kind]
        server.script(tokens=["a "] * 500, delay=0.01)
        registry = await registry_with(openai_base_url=openai.url, embeddings_baseurl=ollama.url, **hub_settings(hub))
        seen = asyncio.Event()

        async def read() -> None:
            async with aclosing(registry.stream(PROMPT, source=kind)) as items:
                async for item in items:
                    if isinstance(item, str):
                        seen.set()
                        if how == "close":
                            return

        task = asyncio.create_task(read())
        await seen.wait()
        left = asyncio.get_running_loop().time()
        if how == "cancel":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(1):
            await server.left.wait()
        assert server.gone_at[0] - left < 0.1


async def test_cancel_before_the_first_token_ends_the_request(openai: OpenAIServer, registry_with: Open) -> None:
    openai.script(fault="hang_before")
    registry = await registry_with(openai_base_url=openai.url, provider_first_token_timeout=30)
    task = asyncio.create_task(ask(registry, source="openai"))
    async with asyncio.timeout(1):
        await openai.asked.wait()
        task.cancel()
        await openai.left.wait()
    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_address_that_swallows_connections(registry_with: Open) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address):
            registry = await registry_with(
                openai_base_url=f"http://127.0.0.1:{address[1]}/v1", provider_first_token_timeout=5
            )
            begun = time.monotonic()
            with pytest.raises(ProviderUnavailable, match="does not accept connections"):
                await ask(registry, source="openai")
            assert 0.4 < time.monotonic() - begun < 0.5 + 0.3


async def test_connections_are_used_again(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await registry_with(openai_base_url=openai.url)
    for _ in range(20):
        await ask(registry, source="openai")
    assert openai.connections == 1


async def test_status_probes_side_by_side(openai: OpenAIServer, registry_with: Open) -> None:
    async with OllamaServer() as hanging:
        hanging.hang_lists = True
        registry = await registry_with(
            openai_base_url=openai.url, embeddings_baseurl=hanging.url, embedded_chat_url="http://127.0.0.1:9/v1"
        )
        begun = time.monotonic()
        states = await registry.status()
        assert time.monotonic() - begun < 0.7
        assert {name: state.available for name, state in states.items()} == {
            "embedded": False,
            "ollama": False,
            "openai": True,
            "aihub": False,
        }
        assert states["ollama"].error
        begun = time.monotonic()
        assert await registry.status() == states
        assert time.monotonic() - begun < 0.05


async def test_lists_tell_what_each_provider_knows(
    openai: OpenAIServer, ollama: OllamaServer, hub: AIHubServer, registry_with: Open
) -> None:
    registry = await registry_with(openai_base_url=openai.url, embeddings_baseurl=ollama.url, **hub_settings(hub))
    names = {mode: [model.name for model in (await registry.list_models(mode)).models] for mode in ("openai", "aihub")}
    assert names == {"openai": ["gpt-4", "gpt-4o-mini"], "aihub": ["hub-chat", "hub-small"]}
    pulled = (await registry.list_models("local")).models
    assert [(model.name, model.size, model.quantization) for model in pulled] == [
        ("llama3.2:latest", 2_019_393_189, "Q4_K_M"),
        ("llava:7b", 4_733_363_377, "Q4_0"),
    ]
    assert [(model.capabilities.vision, model.capabilities.tools) for model in pulled] == [(False, True), (True, True)]
    embedded = await registry.list_models("embedded")
    assert embedded.models == []
    assert embedded.error


async def test_embeddings_of_every_source(hub: AIHubServer, registry_with: Open) -> None:
    async with OpenAIServer() as openai, OllamaServer() as ollama:
        given = hub_settings(hub) | {
            "openai_base_url": openai.url,
            "embeddings_baseurl": ollama.url,
            "embedded_embeddings_url": openai.url,
        }
        texts = [f"passage number {number}" for number in range(130)]
        for source in ("embedded", "ollama", "openai", "aihub"):
            handle = (await registry_with(embeddings_source=source, **given)).embeddings()
            vectors = await handle.embeddings.aembed_documents(texts)
            assert len(vectors) == 130
            assert len({tuple(vector) for vector in vectors}) == 130
            assert handle.known_dimension == await handle.dimension() == DIMENSION
            alone = await handle.embeddings.aembed_documents([texts[99]])
            assert vectors[99] == pytest.approx(alone[0])
        first = next(request for request in openai.requests if request.path.endswith("/embeddings"))
        assert first.body["model"] == "multilingual-e5-small"
        assert first.body["input"][0] == "passage: passage number 0"
        await (await registry_with(**given)).embeddings().embeddings.aembed_query("who?")
        assert openai.requests[-1].body["input"] == ["query: who?"]


async def test_complete_returns_the_whole_answer(openai: OpenAIServer, registry_with: Open) -> None:
    registry = await registry_with(openai_base_url=openai.url)
    history = [SystemMessage("s"), HumanMessage("one"), AIMessage("two"), HumanMessage(QUESTION)]
    answer = await registry.complete(history, source="openai")
    assert (answer.text, answer.end.finish_reason) == (EXPECTED, "stop")
    assert [message["role"] for message in openai.chats[0].body["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize("name", ["..", ".", "a b", "x\n", "n" * 201, ""])
async def test_names_that_are_no_names(hub: AIHubServer, registry_with: Open, name: str) -> None:
    registry = await registry_with(**hub_settings(hub))
    if name:
        with pytest.raises(ModelNotFound):
            await ask(registry, source="aihub", name=name)
        assert hub.requests == []
    else:
        assert (await registry.resolve("aihub", None)).model == "hub-chat"


async def test_fifty_users_get_a_full_providers_turns_in_fair_order(openai: OpenAIServer, registry_with: Open) -> None:
    openai.script(tokens=["a", "b"], delay=0.002)
    registry = await registry_with(openai_base_url=openai.url, provider_max_in_flight=2, provider_first_token_timeout=9)
    done: list[str] = []

    async def turn(user: str) -> None:
        await ask(registry, source="openai", user_id=user)
        done.append(user)

    async with asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(turn("greedy"))
        for number in range(50):
            group.create_task(turn(f"user{number}"))
    others = [place for place, user in enumerate(done) if user != "greedy"]
    assert len(done) == 110
    assert max(others) < 60


async def test_full_queue_is_a_clear_503(openai: OpenAIServer, registry_with: Open) -> None:
    openai.script(fault="hang_before")
    registry = await registry_with(openai_base_url=openai.url, provider_max_in_flight=1, provider_max_queue=1)
    turns = [asyncio.create_task(ask(registry, source="openai", user_id="u")) for _ in range(3)]
    await openai.asked.wait()
    load = registry.load()["openai"]
    assert (load.in_flight, load.waiting, load.circuit_open) == (1, 1, False)
    errors = await asyncio.gather(*turns, return_exceptions=True)
    assert registry.load()["openai"].in_flight == 0
    assert {getattr(error, "code", "") for error in errors} == {"provider_busy", "provider_timeout"}


@pytest.mark.parametrize("kind", ["openai", "ollama", "aihub"])
async def test_langchains_own_methods_read_the_same_stream(kind: str, registry_with: Open) -> None:
    async with OpenAIServer() as openai, OllamaServer() as ollama, AIHubServer() as hub:
        registry: ModelRegistry = await registry_with(
            openai_base_url=openai.url, embeddings_baseurl=ollama.url, **hub_settings(hub)
        )
        target = await registry.resolve(kind, None)  # type: ignore[arg-type]
        model = await registry.chat_model(target)
        assert await registry.chat_model(target) is model
        chunks = [chunk async for chunk in model.astream(PROMPT)]
        assert "".join(chunk.text for chunk in chunks) == EXPECTED
        told = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
        assert sum(usage["output_tokens"] for usage in told) == 13
        assert (await model.ainvoke(PROMPT)).text == EXPECTED


async def test_the_rest_of_an_answer_may_be_nothing(ollama: OllamaServer, registry_with: Open) -> None:
    """A worker died when it had sent the last word: the model, asked to go on behind it, has nothing to add."""
    ollama.script(reply="All of it.")
    registry = await registry_with(embeddings_baseurl=ollama.url)
    prompt = [*PROMPT, AIMessage("All of it.")]
    start, text, end = await ask(registry, prompt, source="ollama", may_be_empty=True)
    assert (start.source, text, end.finish_reason) == ("ollama", "", "stop")
    with pytest.raises(ProviderBadAnswer, match="without a word"):
        await ask(registry, prompt, source="ollama")


async def test_tools_are_refused_where_the_wire_has_none(hub: AIHubServer, registry_with: Open) -> None:
    registry = await registry_with(**hub_settings(hub))
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(ModelCannot):
        await ask(registry, source="aihub", params=ModelParams(tools=[tool]))
    assert hub.chats == []
