"""Rank passages for a question: fusion of words with vectors, the relevance threshold, the character budget.

Pure functions over numbers; the retriever fetches them. A passage's key is (file index, position in the
file).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persistence.bm25 import FilePostings, Key, LexicalHits, lexical_hits

__all__ = [
    "E5_SMALL_THRESHOLD",
    "UNKNOWN_MODEL_THRESHOLD",
    "FilePostings",
    "Key",
    "LexicalHits",
    "Place",
    "Ranked",
    "RelevanceThreshold",
    "Span",
    "fuse",
    "lexical_hits",
    "pack",
    "relevant",
]


# What a passage gets of its better neighbour's cosine; shares from .15 to .3 measured alike, each above none.
NEIGHBOUR_SHARE = 0.2


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
    vector_weight: float = 1.0,
) -> list[Ranked]:
    """Order passages by the sum of their normalised scores, best first.

    Lexical scores are divided by the best one and multiplied by `trust` (the coverage of the best passage: a
    question in another language matches a number or a name, and must not drown the vectors). Cosines are
    stretched between the worst and the best candidate, as those of e5 lie between .7 and .9 whatever the
    text.
    """
    top = max(lexical.values(), default=0.0)
    near = _stretched(vector)
    ranked = []
    for key in lexical.keys() | near.keys():
        words = trust * lexical.get(key, 0.0) / top if top > 0 else 0.0
        meaning = near.get(key, 0.0)
        ranked.append(Ranked(key, words + vector_weight * meaning, words, meaning))
    return sorted(ranked, key=lambda r: (-r.score, r.key))


def _stretched(cosines: Mapping[Key, float]) -> dict[Key, float]:
    """Map cosines to 0..1 between the worst and the best candidate; a passage gains from a good neighbour."""
    high, low = max(cosines.values(), default=0.0), min(cosines.values(), default=0.0)
    if high - low < 1e-9:
        return dict.fromkeys(cosines, 1.0)
    above = {key: cosine - low for key, cosine in cosines.items()}
    raised = {
        (file, at): own + NEIGHBOUR_SHARE * max(above.get((file, at - 1), 0.0), above.get((file, at + 1), 0.0))
        for (file, at), own in above.items()
    }
    best = max(raised.values())
    return {key: value / best for key, value in raised.items()}


@dataclass(frozen=True, slots=True)
class RelevanceThreshold:
    """What tells that nothing in the scope fits a question; cosines depend on the embedding model.

    A question in the scope's language fits where `cosine + coverage_gain * coverage` of the best passage
    reaches `same`; one in another language (fewer than `foreign_known` of its small words occur in the scope)
    where the cosine reaches `foreign`. Without cosines the coverage alone has to reach `words`. A coverage of
    `enough` always fits: a file's passages are found by their words before they have vectors.
    """

    same: float
    coverage_gain: float
    foreign: float
    foreign_known: float = 0.2
    words: float = 0.03
    enough: float = 0.5


# Logistic fit on XQuAD, the question's own article in the scope or taken out of it (900 and 900 questions,
# scopes of 1, 5 and 47 articles), set where at most one answerable question in two hundred is turned away.
E5_SMALL_THRESHOLD = RelevanceThreshold(same=0.832, coverage_gain=0.088, foreign=0.73)
# Cosines of a model that nobody measured say nothing in absolute terms.
UNKNOWN_MODEL_THRESHOLD = RelevanceThreshold(same=-1.0, coverage_gain=0.0, foreign=-1.0)


def relevant(
    ranked: Sequence[Ranked],
    hits: LexicalHits,
    cosines: Mapping[Key, float],
    *,
    subjects: int,
    threshold: RelevanceThreshold = E5_SMALL_THRESHOLD,
) -> bool:
    """Tell whether anything in the scope may answer the question; in doubt, it may.

    `cosines` are those of the vector candidates (empty where there is no vector index), `subjects` is the
    number of the question's terms that name a subject (`lexical.subjects`): a question with fewer than two,
    such as "what is this about?", is never turned away.
    """
    if not ranked:
        return False
    if subjects < 2:
        return True
    covered = hits.covered(ranked[0].key)
    if covered >= threshold.enough:
        return True
    if not cosines:
        return covered >= threshold.words
    best = max(cosines.values())
    if hits.known < threshold.foreign_known:
        return best >= threshold.foreign
    return best + threshold.coverage_gain * covered >= threshold.same


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
