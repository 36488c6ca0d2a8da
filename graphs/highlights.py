"""The sentence of a source that an answer rests on: what its reader is shown first."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphs.citations import CITATION
from persistence.lexical import query_weights, terms
from persistence.search import Found

_SENTENCE = re.compile(r"[^\n]+?(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”）]*|(?=\n)|\Z)")  # noqa: RUF001
_END = re.compile(r"(?<=[.!?…])\s+|[。！？]|\n+")  # noqa: RUF001
_LEAST = 0.34  # of what a statement says, by weight, has to stand in a sentence
_NUMBER = 2.0  # a number counts like two words: it is seldom there by chance
_LONGEST = 600  # characters of a sentence; a longer one is a table or a list without ends


@dataclass(frozen=True, slots=True)
class Highlight:
    """A range of a file's text, with its page and its words."""

    start: int
    end: int
    page: int | None
    text: str


def highlights(answer: str, sources: Mapping[int, Found]) -> dict[int, Highlight]:
    """Return for each source that an answer cites the sentence that says most of what is said there.

    None where no sentence says enough of it: the answer is in another language, or in its own words.
    """
    statements: dict[int, list[str]] = {}
    for mark in CITATION.finditer(answer):
        said = _before(answer[: mark.start()])
        for number in {int(n) for n in mark[1].split(",")} & sources.keys():
            statements.setdefault(number, []).append(said)
    found = ((number, _best(said, sources[number])) for number, said in statements.items())
    return {number: highlight for number, highlight in found if highlight is not None}


def _before(text: str) -> str:
    """Return the statement that a citation at the end of `text` stands behind, within its sentence or after it."""
    bare = CITATION.sub("", text[-_LONGEST:]).rstrip().rstrip(".!?…。！？")  # noqa: RUF001
    return _END.split(bare)[-1].strip()


def _best(statements: list[str], source: Found) -> Highlight | None:
    sentences = list(_sentences(source.text))
    known = [set(terms(source.text[start:end])) for start, end in sentences]
    holders = Counter(term for words in known for term in words)
    best: tuple[float, int] | None = None
    for statement in statements:
        # A word that every sentence has tells none from another.
        weights = {
            term: factor * (_NUMBER if term[0].isdigit() else 1.0) / (1 + holders[term])
            for term, factor in query_weights(statement).items()
        }
        total = sum(weights.values())
        for index, words in enumerate(known):
            share = sum(weight for term, weight in weights.items() if term in words) / total if total else 0.0
            if share >= _LEAST and (best is None or share > best[0]):
                best = share, index
    if best is None:
        return None
    start, end = sentences[best[1]]
    first = source.start + start
    return Highlight(first, source.start + end, source.page_at(first), source.text[start:end])


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    for found in _SENTENCE.finditer(text):
        lead = len(found[0]) - len(found[0].lstrip())
        words = found[0].strip()
        if words and len(words) <= _LONGEST:
            yield found.start() + lead, found.start() + lead + len(words)
