"""A server whose files are read by the embedding model that the service ships with, and people who use it."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pydantic import SecretStr

from llama_service.runtime.embeddings import EmbeddedEmbedder
from llama_service.settings import Settings
from tests.providers import OpenAIServer
from tests.support import Person, Server, migrated_database, serving


@pytest.fixture(scope="module")
async def embedder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedEmbedder]:
    """The shipped embeddings, as `up` starts them."""
    folder = tmp_path_factory.mktemp("models")
    made = EmbeddedEmbedder(folder / "models", folder / "logs", api_key="key-of-the-embeddings")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="module")
async def own_database(postgres: str) -> str:
    """A database without other servers: their workers would read the files with another embedding model."""
    return await migrated_database(postgres, "shipped")


@pytest.fixture(scope="module")
async def reading_server(settings: Settings, own_database: str, embedder: EmbeddedEmbedder) -> AsyncIterator[Server]:
    """The application, answering by the double of OpenAI's wire from what the shipped embeddings find."""
    own = {
        "database_url": SecretStr(own_database),
        "embeddings_source": "embedded",
        "embedded_embeddings_url": embedder.url,
        "embedded_api_key": SecretStr("key-of-the-embeddings"),
        "collection_name": "shipped",
    }
    async with serving(settings.model_copy(update=own)) as running:
        yield running


@pytest.fixture
async def reader(reading_server: Server, openai: OpenAIServer) -> AsyncIterator[Person]:
    """Somebody without files."""
    openai.script()
    person = await Person.join(reading_server.url)
    yield person
    await person.close()


def unique(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix} {uuid4().hex[:6]}"
