"""Rank passages for a question: exact BM25 at several scales, fusion with vectors, the gate, the character
budget.

Pure functions over numbers; the retriever fetches them. A passage's key is (file index, position in the
file).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Key = tuple[int, int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Robertson and Zaragoza's usual range (2009); scales and weights measured on four public question sets.
K1, B = 1.2, 0.75
SCALES: tuple[tuple[int, float], ...] = ((0, 1.0), (1, 0.6), (3, 0.4))


@dataclass(frozen=True, slots=True)
class FilePostings:
    """What one file of the scope contributes: the length of each passage in terms, and the question's
    postings.
    """

    lengths: Sequence[int] | Ints
    postings: Mapping[str, tuple[Sequence[int] | Ints, Sequence[int] | Ints]]


@dataclass(frozen=True, slots=True)
class LexicalHits:
    """Passages that hold a term of the question in or near them, unordered, as parallel arrays.

    `coverage` is the share of the question's weight (idf) that stands in the passage or right beside it.
    """

    files: Ints
    positions: Ints
    scores: Floats
    coverage: Floats

    @property
    def trust(self) -> float:
        """The highest coverage of any passage: how much of the question the scope's words can answer."""
        return float(self.coverage.max()) if len(self.coverage) else 0.0

    def best(self, count: int) -> dict[Key, float]:
        """Return the `count` highest scores by key, best first; ties by file and position."""
        order = np.lexsort((self.positions, self.files, -self.scores))[:count]
        rows = zip(self.files[order], self.positions[order], self.scores[order], strict=True)
        return {(int(f), int(p)): float(s) for f, p, s in rows}

    def covered(self) -> dict[Key, float]:
        """Return the coverage of each passage by key."""
        rows = zip(self.files, self.positions, self.coverage, strict=True)
        return {(int(f), int(p)): float(c) for f, p, c in rows}


def lexical_hits(files: Sequence[FilePostings], weights: Mapping[str, float]) -> LexicalHits:
    """Score the passages of a scope by BM25 over the passage and over windows of its neighbours in the file.

    `weights` gives each term of the question its factor (see `lexical.query_weights`). The idf comes from the
    scope at passage scale. Only passages that a term reaches are computed.
    """
    scope = _Scope(files)
    empty = LexicalHits(*(np.empty(0, np.int64),) * 2, *(np.empty(0),) * 2)
    if not scope.count or not weights:
        return empty
    scores, coverage = np.zeros(scope.count), np.zeros(scope.count)
    idf = {term: factor * scope.idf(term) for term, factor in weights.items()}
    everything = sum(idf.values()) or 1.0
    for term, weight in idf.items():
        places, counts = scope.occurrences(term)
        if not len(places) or weight <= 0:
            continue
        for reach, share in SCALES:
            touched, frequency = scope.spread(places, counts, reach)
            length = scope.window_lengths(reach)
            norm = K1 * (1 - B + B * length[touched] / scope.mean_length(reach))
            scores[touched] += share * weight * frequency * (K1 + 1) / (frequency + norm)
            if reach == 1:
                coverage[touched] += weight / everything
    found = np.flatnonzero(scores)
    return LexicalHits(scope.file_of[found], scope.position_of[found], scores[found], coverage[found])


class _Scope:
    """All passages that a question may see, laid end to end."""

    def __init__(self, files: Sequence[FilePostings]) -> None:
        self.files = files
        sizes = np.array([len(file.lengths) for file in files], dtype=np.int64)
        self.count = int(sizes.sum())
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self.file_of = np.repeat(np.arange(len(files)), sizes)
        self.position_of = np.arange(self.count) - self.starts[self.file_of]
        parts = [np.asarray(file.lengths, dtype=np.int64) for file in files]
        lengths = np.concatenate(parts) if parts else np.empty(0, np.int64)
        self._until = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._windows: dict[int, tuple[Ints, float]] = {}
        self._found: dict[str, tuple[Ints, Ints]] = {}

    def idf(self, term: str) -> float:
        """Return the inverse document frequency of a term, positive also where every passage holds it."""
        holders = len(self.occurrences(term)[0])
        return float(np.log(1 + (self.count - holders + 0.5) / (holders + 0.5)))

    def occurrences(self, term: str) -> tuple[Ints, Ints]:
        """Return the places of a term in the scope and how often it stands there."""
        if term not in self._found:
            parts = [
                (
                    np.asarray(entry[0], dtype=np.int64) + self.starts[index],
                    np.asarray(entry[1], dtype=np.int64),
                )
                for index, file in enumerate(self.files)
                if (entry := file.postings.get(term)) is not None
            ]
            none = np.empty(0, np.int64)
            places = np.concatenate([part[0] for part in parts]) if parts else none
            counts = np.concatenate([part[1] for part in parts]) if parts else none
            self._found[term] = places, counts
        return self._found[term]

    def spread(self, places: Ints, counts: Ints, reach: int) -> tuple[Ints, Floats]:
        """Add up each occurrence in every window that holds it; returns the touched places and their sums."""
        if reach == 0:
            return places, counts.astype(np.float64)
        around = places[:, None] + np.arange(-reach, reach + 1)
        first = self.starts[self.file_of[places]][:, None]
        last = self.starts[self.file_of[places] + 1][:, None]
        inside = (around >= first) & (around < last)
        targets = around[inside]
        amounts = np.broadcast_to(counts[:, None], around.shape)[inside]
        if len(targets) * 4 > self.count:
            sums = np.bincount(targets, amounts, minlength=self.count)
            touched = np.flatnonzero(sums)
            return touched.astype(np.int64), sums[touched].astype(np.float64)
        touched, inverse = np.unique(targets, return_inverse=True)
        return touched, np.bincount(inverse, amounts).astype(np.float64)

    def window_lengths(self, reach: int) -> Ints:
        """Return the number of terms in the window around each passage."""
        return self._window(reach)[0]

    def mean_length(self, reach: int) -> float:
        """Return the mean number of terms in a window; 1 where the scope has none."""
        return self._window(reach)[1]

    def _window(self, reach: int) -> tuple[Ints, float]:
        if reach not in self._windows:
            here = np.arange(self.count)
            first = np.maximum(here - reach, self.starts[self.file_of])
            last = np.minimum(here + reach + 1, self.starts[self.file_of + 1])
            lengths = self._until[last] - self._until[first]
            self._windows[reach] = lengths, float(lengths.mean()) or 1.0
        return self._windows[reach]


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
    high, low = max(vector.values(), default=0.0), min(vector.values(), default=0.0)
    width = high - low
    ranked = []
    for key in lexical.keys() | vector.keys():
        words = trust * lexical.get(key, 0.0) / top if top > 0 else 0.0
        meaning = 0.0
        if key in vector:
            meaning = (vector[key] - low) / width if width > 1e-9 else 1.0
        ranked.append(Ranked(key, words + vector_weight * meaning, words, meaning))
    return sorted(ranked, key=lambda r: (-r.score, r.key))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands in its file's text, as character offsets."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring passages of one file as one range of its text; `score` is that of the best passage in it."""

    file: int
    first_position: int
    last_position: int
    start: int
    end: int
    score: float


def pack(ranked: Sequence[Ranked], places: Mapping[Key, Place], budget: int, *, gap: int = 1) -> list[Span]:
    """Fill a budget of characters with whole passages, best first, neighbours merged.

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
    return _merged(taken, places)


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


def _merged(taken: Mapping[Key, float], places: Mapping[Key, Place]) -> list[Span]:
    order = {key: index for index, key in enumerate(taken)}
    spans: list[tuple[int, Span]] = []
    for key in sorted(taken):
        place, score = places[key], taken[key]
        if spans and (spans[-1][1].file, spans[-1][1].last_position + 1) == key:
            rank, span = spans[-1]
            merged = Span(
                span.file,
                span.first_position,
                key[1],
                min(span.start, place.start),
                max(span.end, place.end),
                max(span.score, score),
            )
            spans[-1] = min(rank, order[key]), merged
        else:
            spans.append((order[key], Span(key[0], key[1], key[1], place.start, place.end, score)))
    return [span for _, span in sorted(spans, key=lambda item: item[0])]
