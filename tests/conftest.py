"""Real parts for every test: one Postgres, one Chroma, and provider doubles that speak the real wire."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from llama_service.logging import configure_logging
from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.settings import Settings, load_settings
from persistence.migrate import migrate
from tests.providers import AIHubServer, OidcServer, OllamaServer, OpenAIServer
from tests.providers.aihub import STREAM_PATH
from tests.support import Person, Server, serving

Database = psycopg.Connection[Any]

# A test that would reach a real provider, or an operator's own settings, has to fail.
for name in list(os.environ):
    if name.upper().partition("__")[0] in {field.upper() for field in Settings.model_fields} - {"HOST"}:
        del os.environ[name]
os.environ["ANONYMIZED_TELEMETRY"] = "False"


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Address of a Postgres server with the migrated database `llama` in it."""
    folder = tmp_path_factory.mktemp("pg")
    async with EmbeddedPostgres(folder, folder, fsync=False) as server:
        await asyncio.to_thread(
            migrate, load_settings(jwt_secret_key="k" * 40, database_url=server.dsn, _env_file=None)
        )
        yield server.dsn


@pytest.fixture(scope="session")
async def chroma(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedChroma]:
    """A Chroma server, as `up` starts it."""
    folder = tmp_path_factory.mktemp("chroma")
    async with EmbeddedChroma(folder / "index", folder) as server:
        yield server


@pytest.fixture(scope="session")
async def openai() -> AsyncIterator[OpenAIServer]:
    """A server of OpenAI's wire."""
    async with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
async def ollama() -> AsyncIterator[OllamaServer]:
    """A server of Ollama's wire."""
    async with OllamaServer() as server:
        yield server


@pytest.fixture(scope="session")
async def aihub() -> AsyncIterator[AIHubServer]:
    """A server of the AI HUB's wire, with its Keycloak."""
    async with AIHubServer() as server:
        yield server


@pytest.fixture(scope="session")
async def company() -> AsyncIterator[OidcServer]:
    """A company's sign-in provider."""
    async with OidcServer() as server:
        yield server


@pytest.fixture(scope="session")
def settings(
    postgres: str,
    chroma: EmbeddedChroma,
    openai: OpenAIServer,
    ollama: OllamaServer,
    aihub: AIHubServer,
    company: OidcServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """Settings of a server on the real stores and the provider doubles."""
    made = load_settings(
        _env_file=None,
        jwt_secret_key="test-secret-" + uuid4().hex,
        database_url=postgres,
        chroma_url=chroma.url,
        chroma_token=chroma.token,
        collection_name="tests",
        data_dir=tmp_path_factory.mktemp("data"),
        default_model_source="openai",
        embeddings_source="openai",
        model_fallback_sources="",
        openai_api_key="sk-test",
        openai_base_url=openai.url,
        embeddings_baseurl=ollama.url,
        **aihub_settings(aihub),
        oidc={"company": company.settings()},
        login_attempts_per_minute=5,
        retrieval_wait_seconds=5,
        provider_max_retries=0,
        provider_first_token_timeout=5,
        provider_between_tokens_timeout=5,
        shutdown_grace_seconds=2,
        max_filesize_mb=8,
    )
    configure_logging(made)
    return made


def aihub_settings(server: AIHubServer) -> dict[str, Any]:
    """Return the settings that point at a hub."""
    return {
        "aihub_url": server.url,
        "aihub_keycloak_host": server.token_url,
        "aihub_client_id": server.client_id,
        "aihub_client_secret": server.client_secret,
        "aihub_username": server.username,
        "aihub_password": server.password,
        "aihub_model": "hub-chat",
        "aihub_embed_model": "hub-embed",
        "aihub_chat_stream_path": STREAM_PATH,
    }


@pytest.fixture(scope="session")
async def server(settings: Settings) -> AsyncIterator[Server]:
    """The application under uvicorn, as it is served."""
    async with serving(settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _good_days(request: pytest.FixtureRequest) -> None:
    """Let every test begin with providers that behave."""
    for name in ("openai", "ollama", "aihub"):
        if name in request.fixturenames or "server" in request.fixturenames:
            request.getfixturevalue(name).script()


# Most of what these do is to wait: for processes that start, die, are missed and replaced.
_WAITING = ("recovery", "runtime", "deploy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that wait evenly among those that compute, so that no core is idle while several run at once."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    kinds: dict[bool, list[Path]] = {True: [], False: []}
    for path in files:
        kinds[path.parent.name in _WAITING].append(path)
    place = {path: (at + 0.5) / len(kind) for kind in kinds.values() for at, path in enumerate(kind)}
    items[:] = [item for path in sorted(files, key=place.__getitem__) for item in files[path]]


# What an administrator sets for everybody: left behind, it changes what other tests see on the server they share.
_FOR_EVERYBODY = (
    "announcements",
    "budgets",
    "legal_holds",
    "mcp_servers",
    "model_prices",
    "model_rules",
    "retention_limits",
)


@pytest.fixture(autouse=True)
def _nothing_is_left_for_everybody(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where a test leaves an instance-wide setting on the shared server."""
    address = request.getfixturevalue("postgres") if "server" in request.fixturenames else None
    yield
    if address is None:
        return
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in _FOR_EVERYBODY)
    with psycopg.connect(address, autocommit=True) as connection:
        left = connection.execute(f"SELECT {counts}").fetchone()
    assert left is not None
    assert {table: count for table, count in zip(_FOR_EVERYBODY, left, strict=True) if count} == {}


Join = Callable[..., Awaitable[Person]]


@pytest.fixture
async def join(server: Server) -> AsyncIterator[Join]:
    """Make an account on the server and sign in; call it again for another one."""
    people: list[Person] = []

    async def make(**extra: str) -> Person:
        person = await Person.join(server.url, **extra)
        people.append(person)
        return person

    yield make
    for person in people:
        await person.close()


@pytest.fixture
async def anna(join: Join) -> Person:
    """Somebody who is signed in."""
    return await join()


@pytest.fixture
async def boris(join: Join) -> Person:
    """Somebody else."""
    return await join()


@pytest.fixture
def database(postgres: str) -> Iterator[Database]:
    """A connection of the test's own, to look at what really is in the database."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return Path(__file__).resolve().parent.parent
