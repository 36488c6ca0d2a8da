"""A server that keeps the bytes of files in S3, beside the one that keeps them in a folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from llama_service.settings import Settings
from tests.e2e.relay import Relay
from tests.s3 import BUCKET, KEY_ID, SECRET, s3_server
from tests.support import Person, Server, migrated_database, serving


@pytest.fixture(scope="session")
async def s3_port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """The port of a server of S3's wire."""
    async with s3_server(tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture(scope="session")
async def s3_line(s3_port: int) -> AsyncIterator[Relay]:
    """The network between the service and S3, to be cut."""
    async with Relay(s3_port) as relay:
        yield relay


@pytest.fixture(scope="session")
async def s3_settings(
    settings: Settings, postgres: str, s3_line: Relay, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings of a service with a database of its own: its files are not for other services' workers."""
    dsn = await migrated_database(postgres, "in_s3")
    return settings.model_copy(
        update={
            "database_url": SecretStr(dsn),
            "collection_name": "in-s3",
            "data_dir": tmp_path_factory.mktemp("s3-data"),
            "blob_url": f"s3://{BUCKET}/some/prefix",
            "aws_endpoint_url": s3_line.url,
            "aws_access_key_id": KEY_ID,
            "aws_secret_access_key": SecretStr(SECRET),
        }
    )


@pytest.fixture(scope="session")
async def s3_service(s3_settings: Settings) -> AsyncIterator[Server]:
    """The application, with its files in S3."""
    async with serving(s3_settings) as running:
        yield running


@pytest.fixture
async def vera(s3_service: Server) -> AsyncIterator[Person]:
    """Somebody whose files are in S3."""
    person = await Person.join(s3_service.url)
    yield person
    await person.close()


@asynccontextmanager
async def away(line: Relay) -> AsyncIterator[None]:
    """Let S3 be out of reach while the block runs."""
    await line.cut()
    try:
        yield
    finally:
        await line.mend()


def spooled(settings: Settings) -> list[Path]:
    """Return what lies in the folder for bytes on their way."""
    return list((settings.blobs_dir / "incoming").glob("*"))
