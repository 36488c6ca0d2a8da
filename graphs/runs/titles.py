"""Titles of new conversations, made after the answer, when nobody waits any more."""

import structlog

from chains.models import ModelRegistry
from chains.title import clean_title, title_prompt
from chains.types import ModelParams
from graphs.runs.run import COMPLETED, Run
from llama_service.errors import AppError
from persistence import conversations
from persistence.session import Database

log = structlog.get_logger(__name__)


class Titles:
    """Asks the model that answered for a title; where it gives none, the question's first words stay."""

    def __init__(self, database: Database, models: ModelRegistry) -> None:
        self._database = database
        self._models = models

    async def after_run(self, run: Run) -> None:
        """Make a title after a first exchange that went well."""
        start = run.record.start
        if not run.place.is_first or run.decided is not COMPLETED or start is None:
            return
        try:
            completion = await self._models.complete(
                title_prompt(run.place.question, run.text),
                source=start.source,
                name=start.model,
                params=ModelParams(temperature=0.2, max_tokens=24),
                user_id=str(run.user_id),
                request_id=run.request_id,
            )
        except AppError as error:
            log.info("title_not_made", code=error.code)
            return
        title = clean_title(completion.text)
        if title is not None:
            async with self._database.transaction() as session:
                await conversations.set_made_title(session, run.conversation_id, title)
