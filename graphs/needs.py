"""Whether a message needs the files: a greeting, a poem, arithmetic or another form of the last answer does not."""

from graphs.context import ChatContext, TurnServices
from graphs.state import ChatState, asked_message, question_of
from persistence.lexical import mentions_files
from persistence.relevance import MessageKind
from persistence.search import Retrieval

# A message needs no files where it is so likely to need none: a poem about what hardly anything in the files is about,
# a greeting whatever they hold. See docs/decisions/0017 for how many questions lie above.
_AWAY_FROM_WEAK = 0.4
_AWAY_FROM_ALL = 0.9
_AWAY_UNSEARCHED = 0.6


async def needs_files(found: Retrieval, state: ChatState, context: ChatContext, services: TurnServices) -> bool:
    """Whether a message needs the files, by what it is and by how well they fit.

    In doubt they are needed: where the message names them or came with them, or what was found may answer it.
    """
    return fits_message(found, question_of(state)) or await _is_about_files(state, context, services)


def fits_message(found: Retrieval, message: str) -> bool:
    """Whether a message by itself needs what was found for it."""
    limit = _AWAY_FROM_WEAK if found.confidence == "weak" else _AWAY_FROM_ALL
    return _away(found.kind) < limit or bool(found.named) or mentions_files(message)


async def answers_itself(
    kind: MessageKind | None, state: ChatState, context: ChatContext, services: TurnServices
) -> bool:
    """Whether a follow-up needs nothing but what was said before, by what it is alone."""
    return _away(kind) >= _AWAY_UNSEARCHED and not await _is_about_files(state, context, services)


def _away(kind: MessageKind | None) -> float:
    return kind.chat + kind.rework if kind else 0.0


async def _is_about_files(state: ChatState, context: ChatContext, services: TurnServices) -> bool:
    """Whether the request names files or libraries, the question speaks of them, or some were attached with it."""
    if context.file_ids or context.library_ids or mentions_files(question_of(state)):
        return True
    asked = asked_message(state)
    return asked is not None and await services.files.came_with(asked.id)
