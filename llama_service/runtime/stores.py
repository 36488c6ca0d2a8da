"""The database of commands that are no service: the one that is set or runs, else the embedded one for the while."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.runtime.running import found_parts
from llama_service.settings import Settings


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Yield the settings that are lacking to reach the database.

    Where none is set and no `up` runs on the data folder, its embedded Postgres is started until the block ends, and
    made where there is none. Raises ChildFailed, FolderInUse.
    """
    parts = found_parts(settings)
    if settings.database_url is not None or "database_url" in parts:
        yield parts
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    async with EmbeddedPostgres(settings.data_dir, settings.data_dir / "logs") as server:
        yield {"database_url": server.dsn}
