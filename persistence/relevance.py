"""How near passages are to a question whatever their languages, how likely they answer it, and what a message asks for.

A cosine says little by itself: those of e5 lie between .7 and .9 whatever the texts, are lower where question and
passage differ in language, and higher for passages that are near to everything. So both are compared without the
directions in which one text's translations differ, and what lies in the middle of all texts counts less. The same
numbers, with a few others, give the probability that passages answer. All of it was fitted by
`python -m bench.relevance` and holds for one embedding model; see docs/decisions/0017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Confidence = Literal["likely", "possible", "weak"]

MODEL = "multilingual-e5-small"
"""The embedding model whose vectors can be judged."""
PARAMETERS = Path(__file__).with_name("relevance.npz")
_MIDDLE_SHARE = 0.2  # of a passage's nearness to the middle is taken off; between .2 and .4 all languages gain
_ORDER: Sequence[Confidence | None] = (None, "weak", "possible", "likely")
_KNOWN = 4
_SAME_LANGUAGE = 0.5  # of the question's small words are known in the scope; else it is held to be in another language
_LIKELY = 0.7  # what is called so holds the answer in more than nine of ten cases: see docs/decisions/0017
_POSSIBLE = 0.2
_LIKELY_SOURCE = 0.7
_POSSIBLE_SOURCE = 0.15


@dataclass(frozen=True, slots=True)
class Passages:
    """A source: the vectors of its passages, the share of the question's words in them, its length in characters."""

    vectors: Floats
    coverage: float
    length: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What was searched: how many passages, and what is known there of the question's words (see `LexicalHits`)."""

    passages: int
    coverage: float
    known: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the sources hold the answer, and which of them do."""

    confidence: Confidence
    probability: float
    sources: Sequence[Confidence]


@dataclass(frozen=True, slots=True)
class MessageKind:
    """What a message is, as probabilities that add up to 1.

    `files` asks for something to look up, `rework` for another form of what was said just before, `chat` for neither:
    a greeting, a poem, arithmetic.
    """

    chat: float
    rework: float
    files: float


class Relevance:
    """Judges passages and messages by their vectors. Stateless; a few products of small matrices."""

    def __init__(self, parameters: Mapping[str, NDArray[Any]]) -> None:
        self._languages: Floats = parameters["languages"].astype(np.float32)
        self._middle = self.neutral(parameters["middle"].astype(np.float32)[None])[0]
        self._answer = parameters["answer"]  # a row for questions in the scope's language, one for the others
        self._source = parameters["source"]
        self._kinds = parameters["kinds"].astype(np.float32)

    def neutral(self, vectors: Floats) -> Floats:
        """Return vectors (rows) of unit length without what tells one language from another."""
        return unit(np.subtract(vectors, vectors @ self._languages.T @ self._languages))

    def sought(self, question: Sequence[float]) -> Floats:
        """Return the vector that neutral passages are compared with to find those nearest to a question."""
        sought: Floats = self.neutral(np.asarray(question, np.float32)[None])[0] - _MIDDLE_SHARE * self._middle
        return sought

    def judge(self, question: Sequence[float], sources: Sequence[Passages], scope: Scope) -> Judgement:
        """Return how likely these sources, at least one and the best first, hold the answer to a question.

        `question` is its vector as the model gives it; those of the passages may be neutral already.
        """
        answer, each = self.features(question, sources, scope)
        return self.levels(answer, each)

    def levels(self, answer: NDArray[np.float64], each: NDArray[np.float64]) -> Judgement:
        """Return the judgement of what `features` gives."""
        probability = float(_probability(self._answer[language_row(answer)], answer[None])[0])
        confidence = _level(probability, _LIKELY, _POSSIBLE)
        shares = _probability(self._source, each)
        levels = [_level(share, _LIKELY_SOURCE, _POSSIBLE_SOURCE) for share in shares]
        return Judgement(confidence, probability, [_at_most(level, confidence) for level in levels])

    def features(
        self, question: Sequence[float], sources: Sequence[Passages], scope: Scope
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what is known of a question's sources together, and of each of them (a row each)."""
        asked = self.neutral(np.asarray(question, np.float32)[None])[0]
        near, middling = [], []
        for source in sources:
            passages = self.neutral(source.vectors)
            cosines = passages @ asked
            best = int(cosines.argmax())
            near.append(float(cosines[best]))
            middling.append(float(passages[best] @ self._middle))
        order = sorted(near, reverse=True)
        common, size = float(asked @ self._middle), float(np.log(scope.passages))
        nearest = near.index(order[0])
        answer = [order[0], common, middling[nearest], scope.coverage, scope.known, size]  # `known` at _KNOWN
        each = []
        for cosine, middle, source in zip(near, middling, sources, strict=True):
            other = order[1] if cosine == order[0] and len(order) > 1 else order[0] if len(order) > 1 else cosine
            lead = float(np.clip(cosine - other, -0.1, 0.05))
            lag, length = order[0] - cosine, source.length / 1000
            each.append([cosine, common, middle, source.coverage, size, lag, length, lead])
        return np.array(answer), np.array(each)

    def kind(self, message: Sequence[float]) -> MessageKind:
        """Return what a message is, by its vector."""
        logits = self._kinds[:, :-1] @ unit(np.asarray(message, np.float32)) + self._kinds[:, -1]
        weights = np.exp(logits - logits.max())
        return MessageKind(*(float(share) for share in weights / weights.sum()))


def unit(vectors: Floats) -> Floats:
    """Return a vector, or each row of several, with length 1; one without length stays as it is."""
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def of_model(model: str) -> Relevance | None:
    """Return what was fitted for an embedding model, None for one that was not measured."""
    return load() if model == MODEL else None


@cache
def load() -> Relevance:
    """Return what was fitted."""
    with np.load(PARAMETERS) as parameters:
        return Relevance(dict(parameters))


def language_row(answer: NDArray[np.float64]) -> int:
    """Return the row of weights for what `features` gives: across languages words say less."""
    return 0 if answer[_KNOWN] >= _SAME_LANGUAGE else 1


def _probability(weights: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a logistic model's answers; its last weight is the constant."""
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-(rows @ weights[:-1] + weights[-1])))
    return probabilities


def _level(probability: float, likely: float, possible: float) -> Confidence:
    return "likely" if probability >= likely else "possible" if probability >= possible else "weak"


def _at_most(level: Confidence, limit: Confidence) -> Confidence:
    """No source is surer than all of them together."""
    return min(level, limit, key=_ORDER.index)


def best_confidence(one: Confidence | None, other: Confidence | None) -> Confidence | None:
    """Return how likely two lots of sources hold an answer together: as the better of them does."""
    return max(one, other, key=_ORDER.index)
