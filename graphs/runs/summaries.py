"""Summaries of what a conversation's window is about to drop, made after an answer, when nobody waits any more."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage

from chains.models import ModelRegistry
from chains.summary import clean_summary, summary_prompt
from chains.types import ModelParams
from graphs.chat import Graph
from graphs.runs.after_run import ask_again
from graphs.runs.branch import ConversationBranch
from graphs.runs.run import COMPLETED, Run
from graphs.state import WINDOW_CHARACTERS, WINDOW_MESSAGES, Summary
from persistence import messages
from persistence.session import Database

# Three quarters of the window: the summary is there before anything is dropped.
_DUE_MESSAGES, _DUE_CHARACTERS = WINDOW_MESSAGES * 3 // 4, WINDOW_CHARACTERS * 3 // 4
_LEFT_MESSAGES, _LEFT_CHARACTERS = 10, WINDOW_CHARACTERS // 4  # the newest, which the next summary covers
_SUMMARY_TOKENS = 600
_READ_AT_FIRST = 200  # messages of a long conversation that has no summary yet: an imported one, an older version's
_CHARACTERS_A_TOKEN = 2  # at least, in any language


class Summaries:
    """Asks the model that answered; the summary goes into a state behind the answer's, which the next turn begins from.

    Where the next question came before it, or the model gives none, it is made after a later answer.
    """

    def __init__(self, database: Database, models: ModelRegistry, graph: Graph) -> None:
        self._database = database
        self._models = models
        self._graph = graph

    async def after_run(self, run: Run) -> None:
        """Make a summary where enough was said since the last one."""
        start, checkpoint_id = run.record.start, run.record.checkpoint_id
        if run.decided is not COMPLETED or start is None or checkpoint_id is None or run.plan.is_demo_model:
            return
        earlier = run.record.summary
        recent = _behind([*run.record.window, AIMessage(run.text, id=str(run.place.answer_id))], earlier)
        covered = to_cover(recent)
        if not covered:
            return
        if earlier is None and len(recent) >= _DUE_MESSAGES:
            branch = ConversationBranch(self._database, run.conversation_id)
            covered = await branch.recent(str(covered[-1].id), _READ_AT_FIRST)
        window = self._models.context_window(start.source, start.model)
        limit = max(1_000, (window - _SUMMARY_TOKENS) * _CHARACTERS_A_TOKEN)
        prompt = summary_prompt(earlier["text"] if earlier else None, covered, limit=limit)
        params = ModelParams(temperature=0.2, max_tokens=_SUMMARY_TOKENS)
        raw = await ask_again(self._models, run, prompt, params, failure="summary_not_made")
        text = clean_summary(raw) if raw is not None else None
        if text is None:
            return
        configurable = {"thread_id": str(run.conversation_id), "checkpoint_ns": "", "checkpoint_id": checkpoint_id}
        config: Any = {"configurable": configurable}
        summary = Summary(text=text, until=str(covered[-1].id))
        written = await self._graph.aupdate_state(config, {"summary": summary}, as_node="persist")
        made = str(written["configurable"]["checkpoint_id"])
        async with self._database.transaction() as session:
            await messages.set_checkpoint(session, run.place.answer_id, made, instead_of=checkpoint_id)


def _behind(recent: Sequence[AnyMessage], summary: Summary | None) -> list[AnyMessage]:
    """Return the messages that come after those of a summary."""
    at = next((n for n, message in enumerate(recent) if summary and message.id == summary["until"]), -1)
    return list(recent[at + 1 :])


def to_cover(recent: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages that a new summary covers, none where it is not due yet; the newest ones stay out of it."""
    if len(recent) < _DUE_MESSAGES and sum(len(str(message.content)) for message in recent) < _DUE_CHARACTERS:
        return []
    left, characters = 0, 0
    for message in reversed(recent):
        characters += len(str(message.content))
        if left == _LEFT_MESSAGES or (left >= 2 and characters > _LEFT_CHARACTERS):
            break
        left += 1
    return list(recent[: len(recent) - left])
