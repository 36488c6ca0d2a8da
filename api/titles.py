"""Titles of new conversations, made after the answer, when nobody waits any more."""

import structlog

from api.turn import TurnServices
from chains.models import ModelRegistry
from chains.title import clean_title, title_prompt
from chains.types import ModelParams
from llama_service.errors import AppError
from persistence import conversations
from persistence.session import Database

log = structlog.get_logger(__name__)


class Titles:
    """Asks the model that answered for a title; where it gives none, the question's first words stay."""

    def __init__(self, database: Database, registry: ModelRegistry) -> None:
        self._database = database
        self._registry = registry

    async def after_turn(self, services: TurnServices) -> None:
        """Make a title after a first exchange that went well."""
        begun, record = services.begun, services.record
        if not begun.first or begun.conversation.title_source != "none" or record.start is None or record.end is None:
            return
        try:
            completion = await self._registry.complete(
                title_prompt(begun.question, record.text),
                source=record.start.source,
                name=record.start.model,
                params=ModelParams(temperature=0.2, max_tokens=24),
                user_id=str(services.user_id),
                request_id=services.request_id,
            )
        except AppError as error:
            log.info("title_not_made", code=error.code)
            return
        title = clean_title(completion.text)
        if title is not None:
            async with self._database.transaction() as session:
                await conversations.set_made_title(session, begun.conversation_id, title)
