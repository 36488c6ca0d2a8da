"""A follow-up question ("and in 2023?") made whole, so that it can be searched for."""

import re
from collections.abc import Sequence

from chains.prompts import Said

_READ = 300  # characters of each earlier message
_POINTERS = re.compile(
    r"\b(it|its|they|them|their|this|that|these|those|he|she|his|her|there|then|same|also|else|previous|above"
    r"|он|она|оно|они|его|её|ее|их|ему|ей|им|этот|эта|это|эти|этого|этой|этому|том|тот|та|те|там|тогда|такой"
    r"|также|тоже|ещё|еще|выше)\b",
    re.IGNORECASE,
)
_SHORT = 5  # words


def needs_context(question: str, history: Sequence[Said]) -> bool:
    """Whether a question leans on the talk before it: it is short, begins with "and", or points back."""
    if not any(said.role == "user" for said in history):
        return False
    words = question.split()
    begins = words[0].lower().strip(",") if words else ""
    return len(words) <= _SHORT or begins in {"and", "but", "so", "а", "и", "но"} or bool(_POINTERS.search(question))


def with_context(question: str, history: Sequence[Said]) -> str:
    """Return a query that needs no model: the question with the user's previous one before it."""
    asked = [said.content for said in history if said.role == "user"]
    return f"{asked[-1][:_READ]}\n{question}" if asked else question
