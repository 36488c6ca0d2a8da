from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from chains.models import ModelRegistry
from tests.providers import AIHubServer, OllamaServer, OpenAIServer
from tests.providers.asking import Open, settings_for


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def ollama() -> AsyncIterator[OllamaServer]:
    async with OllamaServer() as server:
        yield server


@pytest.fixture
async def hub() -> AsyncIterator[AIHubServer]:
    async with AIHubServer() as server:
        yield server


@pytest.fixture
async def registry_with() -> AsyncIterator[Open]:
    """Make registries that are closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(**given: Any) -> ModelRegistry:
            registry = ModelRegistry(settings_for(**given))
            await registry.start()
            stack.push_async_callback(registry.close)
            return registry

        yield make
