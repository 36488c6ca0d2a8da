"""A conversation's title, from its first exchange and in its language."""

import re

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

MAX_TITLE = 80
_READ = 600  # characters of question and answer that the title is made from

_RULES = (
    "Write a title for this conversation: two to six words, in the language of the conversation, "
    "no quotation marks, no full stop, nothing else."
)


def title_prompt(question: str, answer: str) -> list[BaseMessage]:
    """Return the messages that ask for a title."""
    talk = f"User: {question[:_READ]}\nAssistant: {answer[:_READ]}\n\nTitle:"
    return [SystemMessage(_RULES), HumanMessage(talk)]


def clean_title(raw: str) -> str | None:
    """Return a model's title without the usual decoration, or None where it is not usable as one."""
    lines = [line.strip() for line in raw.strip().splitlines() if line.strip()]
    if not lines:
        return None
    title = re.sub(r"^(title|заголовок|название)\s*:\s*", "", lines[0], flags=re.IGNORECASE)
    title = re.sub(r"[*`#]|\s*\[\d+\]", "", title)
    title = title.strip("\"'«»“” ").rstrip(".")
    if not 2 <= len(title) <= MAX_TITLE or len(title.split()) > 12:
        return None
    return title


def first_words(question: str, limit: int = 60) -> str:
    """Return the question's beginning, cut between words: the title until a better one is made."""
    text = " ".join(question.split())
    if len(text) <= limit:
        return text
    cut = text[:limit].rsplit(" ", 1)[0]
    return f"{cut}…"
