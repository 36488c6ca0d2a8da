"""What AI HUB takes: at most 10 messages, 2,000 characters for one of the history, 50,000 for the whole prompt.

The rules, in the order in which they are applied: the system message and the newest message always stay whole;
older messages are cut to their length; the oldest are left out until count and sum fit. What was done is told.
"""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, SystemMessage

from llama_service.errors import BadRequest, ContextTooLong

MAX_MESSAGES = 10
MAX_HISTORY_CHARS = 2_000
MAX_PROMPT_CHARS = 50_000

WireMessage = dict[str, str]


def _role(message: BaseMessage) -> str:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, AIMessage):
        return "assistant"
    return message.role if isinstance(message, ChatMessage) else "user"


def _cut(message: WireMessage) -> WireMessage:
    text = message["text"]
    if len(text) <= MAX_HISTORY_CHARS:
        return message
    return {**message, "text": text[: MAX_HISTORY_CHARS - 1] + "…"}


def fit(messages: Sequence[BaseMessage]) -> tuple[list[WireMessage], list[str]]:
    """Return the messages as AI HUB takes them, and sentences about what was cut.

    Raises ContextTooLong where the system message and the newest one alone are too long, BadRequest where there is
    nothing to ask.
    """
    told = [{"role": _role(message), "text": str(message.text)} for message in messages]
    system = "\n\n".join(message["text"] for message in told if message["role"] == "system")
    talk = [message for message in told if message["role"] != "system" and message["text"]]
    if not talk:
        raise BadRequest("There is no message to answer.")
    head = [{"role": "system", "text": system}] if system else []
    newest = talk[-1]
    room = MAX_PROMPT_CHARS - len(system) - len(newest["text"])
    if room < 0:
        raise ContextTooLong
    history, notices = _history(talk[:-1], MAX_MESSAGES - len(head) - 1, room)
    return [*head, *history, newest], notices


def _history(older: list[WireMessage], places: int, room: int) -> tuple[list[WireMessage], list[str]]:
    kept: list[WireMessage] = []
    shortened = 0
    for message in reversed(older[-places:] if places else []):
        cut = _cut(message)
        room -= len(cut["text"])
        if room < 0:
            break
        shortened += cut is not message
        kept.append(cut)
    notices = []
    if left_out := len(older) - len(kept):
        notices.append(
            f"{left_out} older messages were left out: AI HUB takes {MAX_MESSAGES} messages"
            f" and {MAX_PROMPT_CHARS:,} characters."
        )
    if shortened:
        notices.append(f"{shortened} older messages were cut to {MAX_HISTORY_CHARS:,} characters for AI HUB.")
    return kept[::-1], notices
