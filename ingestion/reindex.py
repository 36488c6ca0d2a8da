"""`llama-service reindex`: rebuild the vector index from Postgres while the service runs."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from ingestion.worker import open_ingestion
from llama_service.errors import AppError
from llama_service.settings import Settings
from persistence import files
from persistence.session import Database

log = structlog.get_logger(__name__)


def reindex(settings: Settings, progress: Callable[[int, int], None]) -> int:
    """Write every vector anew, embedding first what another model has embedded; return the passages written.

    `progress` hears (done, of). Raises DependencyUnavailable where the index can't be reached, a provider's error
    where the embeddings can't.
    """
    return asyncio.run(_reindex(settings, progress))


async def _reindex(settings: Settings, progress: Callable[[int, int], None]) -> int:
    async with AsyncExitStack() as stack:
        ingestion = await open_ingestion(settings, stack)
        database = Database(settings.postgres, 2)
        stack.push_async_callback(database.close)
        model, length = ingestion.embeddings.model, None
        try:
            length = await ingestion.embeddings.dimension()
        except AppError as error:
            # What has its vectors can be written without.
            log.warning("embeddings_not_asked", code=error.code)
        async with database.transaction() as session:
            await files.forget_vectors(session, model, length)
            waiting = await files.without_vectors(session, model)
        for done, file_id in enumerate(waiting):
            progress(done, len(waiting))
            await ingestion.pipeline.embed(file_id)
        return await ingestion.keeper.rebuild(progress)
