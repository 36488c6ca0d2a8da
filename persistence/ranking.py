"""Rank passages for a question: fusion of words, vectors and file names, and the character budget.

Pure functions over numbers; the retriever fetches them. A passage's key is (file index, position in the
file).
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from persistence.bm25 import FilePostings, Key, LexicalHits, lexical_hits

__all__ = [
    "FilePostings",
    "Key",
    "LexicalHits",
    "Place",
    "Ranked",
    "Span",
    "by_sentences",
    "each_first",
    "fuse",
    "is_year",
    "lexical_hits",
    "named",
    "pack",
    "together",
]


# What a passage gets where the question names its file. With titles as names, XQuAD's hit@5 fell by .1 % at .5 and .3 %
# at .75 and 1; what it is for, a firm that its own report calls "we", needs .75.
NAME_WEIGHT = 0.75
_YEAR = re.compile(r"(?:19|20)\d\d")
# The cosines of a hundred candidates lie .06 apart at least, in 19 of 20 questions; those of two passages a hundredth,
# which must not weigh as much as all of that.
LEAST_RANGE = 0.05
# What a passage gets of its better neighbour's cosine; shares from .15 to .3 measured alike, each above none.
NEIGHBOUR_SHARE = 0.2
# Where no passage holds that share of the question's weight, its words don't tell: nine in ten questions in another
# language, one in ten others. Then the sentences of the first passages are compared (see docs/decisions/0017).
WORDS_TELL = 0.5
BY_SENTENCES = 12
# What a passage gets for its best sentence; with 1, less of the answer is among the first 3,000 characters.
SENTENCE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage with its final score and the two normalised parts of it, each between 0 and 1."""

    key: Key
    score: float
    lexical: float
    vector: float


def fuse(
    lexical: Mapping[Key, float],
    vector: Mapping[Key, float],
    *,
    trust: float = 1.0,
    names: Sequence[float] = (),
) -> list[Ranked]:
    """Order passages by the sum of their normalised scores, best first.

    Lexical scores are divided by the best one and multiplied by `trust` (the coverage of the best passage: a
    question in another language matches a number or a name, and must not drown the vectors). Cosines are
    stretched between the worst and the best candidate (`LEAST_RANGE` apart), as those of e5 lie between .7 and .9
    whatever the text. `names` tells for each file how much of the question its name holds (see `named`).
    """
    top = max(lexical.values(), default=0.0)
    near = _stretched(vector)
    ranked = []
    for key in lexical.keys() | near.keys():
        words = trust * lexical.get(key, 0.0) / top if top > 0 else 0.0
        meaning = near.get(key, 0.0)
        name = NAME_WEIGHT * names[key[0]] if names else 0.0
        ranked.append(Ranked(key, words + meaning + name, words, meaning))
    return sorted(ranked, key=lambda r: (-r.score, r.key))


def by_sentences(ranked: Sequence[Ranked], nearest: Sequence[float]) -> list[Ranked]:
    """Order passages anew by their best sentences, whose cosines are those of as many of the first passages.

    They are stretched between the worst and the best, as those of passages are.
    """
    low, high = min(nearest, default=0.0), max(nearest, default=0.0)
    gains = [SENTENCE_WEIGHT * (cosine - low) / max(high - low, 1e-9) for cosine in nearest]
    raised = [replace(item, score=item.score + gain) for item, gain in zip(ranked, gains, strict=False)]
    return sorted([*raised, *ranked[len(raised) :]], key=lambda item: (-item.score, item.key))


def each_first(ranked: Sequence[Ranked], files: Collection[int]) -> list[Ranked]:
    """Put the best passage of each of these files first, as a question about all of them needs it.

    None of them has less than the best score of all then, so that the order stays that of the scores.
    """
    firsts: dict[int, Ranked] = {}
    for item in ranked:
        if item.key[0] in files:
            firsts.setdefault(item.key[0], replace(item, score=ranked[0].score))
    first = {item.key for item in firsts.values()}
    return [*firsts.values(), *(item for item in ranked if item.key not in first)]


def together(
    names: Sequence[Collection[str]], sure: Sequence[int], asked: Collection[str], *, several: bool, most: int
) -> Sequence[int]:
    """Return the files, two to `most`, that a question names each and so asks about at once; else none.

    `names` are the terms of the files' names, `asked` those of the question that name something, `sure` the files that
    `named` is surest of. With `several` the question says that it is about more than one: then a file is named by what
    no other name holds, whoever else speaks of it ("compare Walnut's margin with Acorn's", whose reports do).
    """
    by_name = [at for at, is_apart in enumerate(_apart(names, asked)) if is_apart]
    each_named = all(_apart([names[at] for at in sure], asked))
    for found, is_meant in ((by_name, several), (sure, several or each_named)):
        if is_meant and 1 < len(found) <= most:
            return found
    return []


def _apart(names: Sequence[Collection[str]], asked: Collection[str]) -> list[bool]:
    """Return for each name whether the question has a term of it that no other one holds."""
    terms = [set(asked).intersection(name) for name in names]
    holders = Counter(term for each in terms for term in each)
    return [any(holders[term] == 1 for term in each) for each in terms]


def named(
    names: Sequence[Collection[str]],
    texts: Sequence[Collection[str]],
    asked: Collection[str],
    *,
    newest: bool = False,
) -> list[float]:
    """Return for each file how surely the question names it, from 0 to 1.

    `names` are the terms of the files' names, `texts` those of the question's terms that stand in their texts, `asked`
    the terms of the question that name something. A term counts the more the fewer files know it, by name or text:
    what only one file is called tells it from all others, what all talk about tells nothing. A year counts by the names
    alone: the reports of other years speak of it, too. `newest` asks for the last year of the files named best.
    """
    if newest and not any(map(is_year, asked)):
        asked = {*asked, *_last_year(names, named(names, texts, asked))}
    weights = {}
    for term in set(asked) & set().union(*names):
        known = sum(
            term in name or (term in text and not is_year(term)) for name, text in zip(names, texts, strict=True)
        )
        weights[term] = math.log(len(names) / known) / math.log(max(len(names), 2))
    return [min(1.0, sum(weights[term] for term in weights.keys() & set(name))) for name in names]


def is_year(term: str) -> bool:
    """Whether a term may be a year."""
    return _YEAR.fullmatch(term) is not None


def _last_year(names: Sequence[Collection[str]], sure: Sequence[float]) -> set[str]:
    best = max(sure, default=0.0)
    years = {term for name, each in zip(names, sure, strict=True) if each == best for term in name if is_year(term)}
    return {max(years)} if years else set()


def _stretched(cosines: Mapping[Key, float]) -> dict[Key, float]:
    """Map cosines to 0..1 between the worst and the best candidate; a passage gains from a good neighbour."""
    if not cosines:
        return {}
    high = max(cosines.values())
    low = min(high - LEAST_RANGE, *cosines.values())
    above = {key: cosine - low for key, cosine in cosines.items()}
    raised = {
        (file, at): own + NEIGHBOUR_SHARE * max(above.get((file, at - 1), 0.0), above.get((file, at + 1), 0.0))
        for (file, at), own in above.items()
    }
    best = max(raised.values())
    return {key: value / best for key, value in raised.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands in its file's text, as character offsets."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring passages of one file as one range of its text; `score` is that of the best passage, at `best`."""

    file: int
    first_position: int
    last_position: int
    start: int
    end: int
    score: float
    best: int

    @property
    def keys(self) -> list[Key]:
        """The passages in it, in their order."""
        return [(self.file, position) for position in range(self.first_position, self.last_position + 1)]


LONGEST = 2_000
"""Characters of a span: a citation of it has to point at a place, not at a whole document."""


def pack(
    ranked: Sequence[Ranked], places: Mapping[Key, Place], budget: int, *, gap: int = 1, longest: int = LONGEST
) -> list[Span]:
    """Fill a budget of characters with whole passages, best first, neighbours merged into spans of some length.

    Passages of one file with at most `gap` passages between them become one span, where `places` knows what
    lies between and the budget allows it. No passage stands in two spans; the best passage is given even
    where it alone exceeds the budget. Spans come in the order of their best passage.
    """
    taken: dict[Key, float] = {}
    left = budget
    for item in ranked:
        if item.key in taken or item.key not in places:
            continue
        additions = [item.key, *_between(item.key, taken, places, gap)]
        cost = sum(places[key].end - places[key].start for key in additions)
        if cost > left and len(additions) > 1:
            additions, cost = [item.key], places[item.key].end - places[item.key].start
        if cost > left and taken:
            continue
        left -= cost
        for key in additions:
            taken[key] = item.score
    return _merged(taken, places, longest)


def _between(key: Key, taken: Mapping[Key, float], places: Mapping[Key, Place], gap: int) -> list[Key]:
    """Return the passages that close a short gap between `key` and passages that are taken already."""
    file, position = key
    bridge: list[Key] = []
    for step in (-1, 1):
        for distance in range(1, gap + 2):
            if (file, position + step * distance) in taken:
                bridge += [(file, position + step * between) for between in range(1, distance)]
                break
    return bridge if all(item in places for item in bridge) else []


def _merged(taken: Mapping[Key, float], places: Mapping[Key, Place], longest: int) -> list[Span]:
    order = {key: index for index, key in enumerate(taken)}
    spans: list[Span] = []
    for key in sorted(taken):
        place = places[key]
        last = spans[-1] if spans else None
        joins = last is not None and (last.file, last.last_position + 1) == key
        if last is not None and joins and place.end - last.start <= longest:
            best = min(last.best, key[1], key=lambda position: order[key[0], position])
            score = max(last.score, taken[key])
            spans[-1] = Span(last.file, last.first_position, key[1], last.start, max(last.end, place.end), score, best)
        else:
            spans.append(Span(*key, key[1], place.start, place.end, taken[key], key[1]))
    return sorted(spans, key=lambda span: order[span.file, span.best])
