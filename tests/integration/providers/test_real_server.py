"""The same registry against a real server of OpenAI's wire: llama.cpp with the demonstration model."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from chains.models import ModelRegistry
from chains.types import ModelParams
from llama_service.errors import ContextTooLong, ProviderAuthFailed
from llama_service.runtime.model import EmbeddedModel
from llama_service.runtime.weights import WeightsMissing
from llama_service.settings import ModelSource
from tests.providers.asking import Open, ask

KEY = "key-of-the-test"
PROMPT = [SystemMessage("Answer in one word."), HumanMessage("Say hello in French.")]
SHORT = ModelParams(temperature=0, max_tokens=8)
PATIENT = {"provider_first_token_timeout": 60, "provider_between_tokens_timeout": 30}
SOURCES: tuple[ModelSource, ...] = ("embedded", "openai")


@dataclass(frozen=True, slots=True)
class Real:
    """A running model server."""

    url: str


@pytest.fixture(scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    folder = tmp_path_factory.mktemp("model")
    model = EmbeddedModel(folder / "models", folder, model_path=None, context_tokens=512, api_key=KEY)
    try:
        weights = await model.prepare(lambda _done, _total: None)
    except WeightsMissing as missing:
        pytest.skip(f"the demonstration model is not installed: {missing}")
    await model.spawn(weights)
    try:
        await model.child.wait_ready()
        yield Real(model.url)
    finally:
        await model.stop()
        weights.unlink()


async def registry_of(real: Real, registry_with: Open, key: str = KEY) -> ModelRegistry:
    registry: ModelRegistry = await registry_with(
        embedded_chat_url=real.url, embedded_api_key=key, openai_base_url=real.url, openai_api_key=key, **PATIENT
    )
    return registry


@pytest.mark.parametrize("source", SOURCES)
async def test_turns_one_after_the_other(source: ModelSource, real: Real, registry_with: Open) -> None:
    registry = await registry_of(real, registry_with)
    for _ in range(3):
        start, text, end = await ask(registry, PROMPT, source=source, params=SHORT)
        assert text.strip()
        assert [attempt.outcome for attempt in start.attempts] == ["ok"]
        assert (end.usage.estimated, end.usage.output_tokens > 0, end.usage.input_tokens > 10) == (False, True, True)


async def test_it_tells_its_name_and_window(real: Real, registry_with: Open) -> None:
    registry = await registry_of(real, registry_with)
    (model,) = (await registry.list_models("embedded")).models
    assert (await registry.resolve("embedded", None)).model == model.name
    assert (await registry.status())["embedded"].available


async def test_limit_of_tokens_is_kept(real: Real, registry_with: Open) -> None:
    registry = await registry_of(real, registry_with)
    many = [HumanMessage("Count from one to fifty in words.")]
    _, _, end = await ask(registry, many, source="embedded", params=ModelParams(temperature=0, max_tokens=5))
    assert (end.finish_reason, end.usage.output_tokens) == ("length", 5)


async def test_its_errors_are_told_apart(real: Real, registry_with: Open) -> None:
    registry = await registry_of(real, registry_with)
    with pytest.raises(ContextTooLong):
        await ask(registry, [HumanMessage("word " * 3000)], source="embedded")
    stranger = await registry_of(real, registry_with, "wrong-key")
    with pytest.raises(ProviderAuthFailed):
        await ask(stranger, PROMPT, source="openai")


async def test_leaving_frees_its_place(real: Real, registry_with: Open) -> None:
    registry = await registry_of(real, registry_with)
    for _ in range(4):
        long = registry.stream([HumanMessage("Tell a very long story.")], source="embedded")
        async with aclosing(long) as items:
            async for item in items:
                if isinstance(item, str):
                    break
    assert (await ask(registry, PROMPT, source="embedded", params=SHORT))[1].strip()
