"""A follow-up question ("and in 2023?") made whole, so that it can be searched for."""

import re
from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

_READ = 300  # characters of each earlier message
_TALK = 6  # messages that a follow-up may lean on
MAX_QUERY = 500  # characters
_POINTERS = re.compile(
    r"\b(it|its|they|them|their|this|that|these|those|he|she|his|her|there|then|same|also|else|previous|above"
    r"|он|она|оно|они|его|её|ее|их|ему|ей|им|этот|эта|это|эти|этого|этой|этому|том|тот|та|те|там|тогда|такой"
    r"|также|тоже|ещё|еще|выше)\b",
    re.IGNORECASE,
)
_SHORT = 5  # words

_RULES = (
    "Rewrite the last question of a conversation so that it can be understood without the conversation: put names in "
    "place of pronouns and add what was left out. Keep its language, its names and its numbers. If it stands on its "
    "own, repeat it. Write the question alone, on one line; do not answer it."
)


def needs_context(question: str, history: Sequence[BaseMessage]) -> bool:
    """Whether a question depends on the history before it: it is short, begins with "and", or points back."""
    if not any(isinstance(message, HumanMessage) for message in history):
        return False
    words = question.split()
    begins = words[0].lower().strip(",") if words else ""
    return len(words) <= _SHORT or begins in {"and", "but", "so", "а", "и", "но"} or bool(_POINTERS.search(question))


def with_context(question: str, history: Sequence[BaseMessage]) -> str:
    """Return a query that needs no model: the question with the user's previous one before it."""
    asked = [str(message.text) for message in history if isinstance(message, HumanMessage)]
    return f"{asked[-1][:_READ]}\n{question}" if asked else question


def condense_prompt(question: str, history: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages that ask a model for the whole question."""
    names = {"human": "User", "ai": "Assistant"}
    talk = [
        f"{names[message.type]}: {' '.join(str(message.text).split())[:_READ]}"
        for message in history[-_TALK:]
        if message.type in names
    ]
    return [SystemMessage(_RULES), HumanMessage("\n".join([*talk, f"\nLast question: {question}"]))]


def clean_query(raw: str) -> str | None:
    """Return the question that a model wrote, or None where it is not usable as one."""
    # Some servers leave a model's reasoning in its answer.
    said = re.sub(r"<think>.*?</think>", "", raw, flags=re.DOTALL)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines or "<think>" in said:
        return None
    query = re.sub(r"^(last question|question|вопрос|последний вопрос)\s*:\s*", "", lines[0], flags=re.IGNORECASE)
    query = query.strip("\"'«»“”` ")
    return query if len(query) <= MAX_QUERY and re.search(r"[^\W_]", query) else None
