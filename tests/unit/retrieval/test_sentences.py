"""Sentences lose nothing of a text; what is kept of them stays within its bytes."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from persistence.ranking import SENTENCE_WEIGHT, Ranked, by_sentences
from persistence.relevance import load
from persistence.sentences import SentenceVectors, sentences


@given(st.text(alphabet="ab .!?\n。」", max_size=300))
def test_sentences_hold_all_of_a_text(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(len(sentence) >= 40 for sentence in found) or len(found) == 1


def test_sentences_end_where_people_end_them() -> None:
    text = (
        'He said "The pump must be drained before the frost." Its warranty runs for 7.5 years from delivery! Ask.\n'
        "冬天到来之前必须排空水泵里的水,否则壳体会开裂,保修也随之失效,请务必注意这一点和其他说明。保修期为七年,从交货之日起计算,但密封圈和其他磨损的零件除外,这些零件的保修期只有六个月。"
    )
    first, second, third, last = sentences(text)
    assert first == 'He said "The pump must be drained before the frost."'
    assert second == "Its warranty runs for 7.5 years from delivery!"
    assert third.startswith("Ask.\n冬天")
    assert third.endswith("说明。")
    assert last.startswith("保修期")


def test_the_best_sentence_raises_its_passage_and_the_worst_gains_nothing() -> None:
    ranked = [Ranked((0, at), score, 0.0, score) for at, score in enumerate((1.0, 0.8, 0.3))]
    found = by_sentences(ranked, [0.5, 0.9, 0.7])
    assert [(item.key[1], round(item.score, 3)) for item in found] == [
        (1, 0.8 + SENTENCE_WEIGHT),
        (0, 1.0),
        (2, round(0.3 + SENTENCE_WEIGHT / 2, 3)),
    ]
    assert by_sentences([], []) == []
    assert by_sentences(ranked, [0.7, 0.7, 0.7]) == ranked
    # What was not compared keeps its place.
    assert [item.key[1] for item in by_sentences(ranked, [0.5, 0.9])] == [1, 0, 2]


class _Embeddings:
    def __init__(self) -> None:
        self.texts = 0

    async def of_passages(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.texts += len(texts)
        return [np.eye(384)[len(text) % 384].tolist() for text in texts]


async def test_what_was_asked_longest_ago_is_forgotten() -> None:
    embeddings = _Embeddings()
    vectors = SentenceVectors(embeddings, cached_bytes=3 * 384 * 4)
    passages = [cast(Any, SimpleNamespace(id=uuid4(), text="x" * (50 + n))) for n in range(4)]
    sought = np.ones(384, np.float32)
    for wanted, embedded in (((0, 1, 2), 3), ((0,), 3), ((3,), 4), ((0, 2, 3), 4), ((1,), 5)):
        found = await vectors.nearest(load(), sought, [passages[at] for at in wanted], patience=10)
        assert len(found) == len(wanted)
        assert embeddings.texts == embedded, wanted
