"""A server whose files are read by the embedding model that the service ships with, and people who use it."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from llama_service.runtime.embeddings import EmbeddedEmbedder
from llama_service.settings import Settings, load_settings
from persistence.migrate import migrate
from tests.providers import OpenAIServer
from tests.support import Person, Server, serving


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
    name = f"shipped_{uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address = urlsplit(postgres)._replace(path=f"/{name}").geturl()
    await asyncio.to_thread(migrate, load_settings(jwt_secret_key="k" * 40, database_url=address, _env_file=None))
    return address


@pytest.fixture(scope="module")
async def reading_server(settings: Settings, own_database: str, embedder: EmbeddedEmbedder) -> AsyncIterator[Server]:
    """The application, answering by the double of OpenAI's wire from what the shipped embeddings find."""
    own = {
        "database_url": load_settings(jwt_secret_key="k" * 40, database_url=own_database, _env_file=None).database_url,
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
