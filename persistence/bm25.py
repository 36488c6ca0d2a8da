"""Exact BM25 over a scope of passages, at several scales: the passage itself and windows of its neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

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
    """What one file of the scope contributes: its passages' lengths in terms, and the question's postings.

    The two may be of different readings of the file; a posting of a passage that has no length is passed over.
    """

    lengths: Sequence[int] | Ints
    postings: Mapping[str, tuple[Sequence[int] | Ints, Sequence[int] | Ints]]


@dataclass(frozen=True, slots=True)
class LexicalHits:
    """Passages that hold a term of the question in or near them, by file and position, as parallel arrays.

    `coverage` is the share of the question's weight (idf) that stands in the passage or right beside it; `known`
    the share of the question's small words (weights below 1; all of its terms where it has none) that occur
    anywhere in the scope: next to none do where the question is in another language.
    """

    files: Ints
    positions: Ints
    scores: Floats
    coverage: Floats
    known: float = 0.0

    @property
    def trust(self) -> float:
        """The highest coverage of any passage: how much of the question the scope's words can answer."""
        return float(self.coverage.max()) if len(self.coverage) else 0.0

    def best(self, count: int, files: Sequence[int] | None = None) -> dict[Key, float]:
        """Return the `count` highest scores (of these files) by key, best first; ties by file and position."""
        order = np.lexsort((self.positions, self.files, -self.scores))
        if files is not None:
            order = order[np.isin(self.files[order], files)]
        order = order[:count]
        rows = zip(self.files[order], self.positions[order], self.scores[order], strict=True)
        return {(int(f), int(p)): float(s) for f, p, s in rows}

    def covered(self, key: Key) -> float:
        """Return the coverage of one passage; 0 where no term reaches it."""
        first, last = np.searchsorted(self.files, [key[0], key[0] + 1])
        at = first + np.searchsorted(self.positions[first:last], key[1])
        return float(self.coverage[at]) if at < last and self.positions[at] == key[1] else 0.0


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
    small = [term for term, factor in weights.items() if factor < 1] or list(weights)
    known = sum(1 for term in small if len(scope.occurrences(term)[0])) / len(small)
    return LexicalHits(scope.file_of[found], scope.position_of[found], scores[found], coverage[found], known)


class _Scope:
    """All passages that a question may see, laid end to end."""

    def __init__(self, files: Sequence[FilePostings]) -> None:
        self.files = files
        sizes = np.array([len(file.lengths) for file in files], dtype=np.int64)
        self.count = int(sizes.sum())
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self.file_of = np.repeat(np.arange(len(files)), sizes)
        self.position_of = np.arange(self.count) - self.starts[self.file_of]
        lengths = np.fromiter(chain.from_iterable(file.lengths for file in files), np.int64, self.count)
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
            entries = [
                (start, end, entry)
                for start, end, file in zip(self.starts, self.starts[1:], self.files, strict=False)
                if (entry := file.postings.get(term)) is not None
            ]
            # One array from many short lists: an array for each file would cost more than the ranking.
            sizes = [len(positions) for *_, (positions, _) in entries]
            bounds = np.array([(start, end) for start, end, _ in entries], dtype=np.int64).reshape(-1, 2)
            shifts, ends = np.repeat(bounds, sizes, axis=0).T
            places = shifts + np.fromiter(chain.from_iterable(entry[0] for *_, entry in entries), np.int64, sum(sizes))
            counts = np.fromiter(chain.from_iterable(entry[1] for *_, entry in entries), np.int64, sum(sizes))
            # A file that was read again after its lengths were: what is behind them would count for the next file.
            inside = places < ends
            self._found[term] = places[inside], counts[inside]
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
