"""Titles of new conversations, made after an answer, when nobody waits any more."""

from chains.models import ModelRegistry
from chains.title import clean_title, title_prompt
from chains.types import ModelParams
from graphs.runs.after_run import ask_again
from graphs.runs.run import COMPLETED, Run
from persistence import conversations
from persistence.session import Database

# A title that a process did not live to make is made after the next answer; who gives none is not asked for ever.
_EXCHANGES = 3


class Titles:
    """Asks the model that answered for a title; where it gives none, the question's first words stay."""

    def __init__(self, database: Database, models: ModelRegistry) -> None:
        self._database = database
        self._models = models

    async def after_run(self, run: Run) -> None:
        """Make a title after the first exchange that went well, or one of the next where it has none yet."""
        if run.place.conversation.title_source != "none" or run.decided is not COMPLETED:
            return
        async with self._database.reading() as session:
            if not await conversations.lacks_title(session, run.conversation_id, answers=_EXCHANGES):
                return
        prompt = title_prompt(run.place.question, run.text)
        raw = await ask_again(
            self._models, run, prompt, ModelParams(temperature=0.2, max_tokens=24), failure="title_not_made"
        )
        title = clean_title(raw) if raw is not None else None
        if title is not None:
            async with self._database.transaction() as session:
                await conversations.set_made_title(session, run.conversation_id, title)
