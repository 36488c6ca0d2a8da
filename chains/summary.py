"""A short account of a conversation's earlier messages, for a model that does not read them any more."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

MAX_SUMMARY = 4_000  # characters
_READ = 2_000  # characters of each message, half of them from its end

_RULES = (
    "Write down what has to be remembered of a conversation, for an assistant that will go on with it and can't read "
    "its beginning any more: who the user is and what they want, facts, names, numbers, decisions, what is still open. "
    "If there is an earlier summary, keep what still matters of it. At most 250 words, in the conversation's language, "
    "as plain sentences without an introduction."
)
_NAMES = {"human": "User", "ai": "Assistant"}


def summary_prompt(earlier: str | None, messages: Sequence[BaseMessage], *, limit: int) -> list[BaseMessage]:
    """Return the messages that ask for a summary of `earlier`, a summary too, and of `messages`, oldest first.

    Of more than `limit` characters the oldest messages are left out.
    """
    lines: list[str] = []
    left = limit - len(earlier or "")
    for message in reversed(messages):
        if message.type not in _NAMES:
            continue
        line = f"{_NAMES[message.type]}: {_shortened(' '.join(str(message.text).split()))}"
        left -= len(line)
        if left < 0 and lines:
            break
        lines.append(line)
    talk = "\n".join(reversed(lines))
    before = f"Earlier summary:\n{earlier}\n\n" if earlier else ""
    return [SystemMessage(_RULES), HumanMessage(f"{before}Conversation:\n{talk}\n\nWhat has to be remembered:")]


def _shortened(text: str) -> str:
    return text if len(text) <= _READ else f"{text[: _READ // 2]} … {text[-_READ // 2 :]}"


def clean_summary(raw: str) -> str | None:
    """Return a model's summary, or None where it wrote none."""
    text = raw.strip()
    if len(text) > MAX_SUMMARY:
        text = text[:MAX_SUMMARY].rsplit(" ", 1)[0] + " …"
    return text or None
