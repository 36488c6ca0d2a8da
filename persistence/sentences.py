"""How near the sentences of passages are to a question, where its words do not tell: it is in another language.

The vector of a passage is the middle of all that it says. Where words match, they find the sentence that answers inside
of it; across languages nothing does. The sentences' vectors are made when they are asked for, as few questions need
them, and kept in memory. See docs/decisions/0017.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from persistence.relevance import Relevance, unit
from persistence.tables import Passage

Floats = NDArray[np.float32]

_CACHED_BYTES = 16 * 1024 * 1024  # some four thousand passages
_TOGETHER = 4  # passages whose sentences are embedded in one call: what was done stays when time runs out
_SHORTEST = 40  # characters; a shorter sentence says too little and joins the next
_END = re.compile(r"(?<=[.!?…。！？])[\"'”’»)\]]*\s+|(?<=[。！？])(?=\S)|\n+")  # noqa: RUF001


class PassageEmbeddings(Protocol):
    """Turns texts into vectors as passages are."""

    async def of_passages(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return the vector of each text, in order. Raises an AppError."""
        ...


class SentenceVectors:
    """Compares a question with the sentences of passages. Those of passages that were asked lately stay in memory."""

    def __init__(self, embeddings: PassageEmbeddings, *, cached_bytes: int = _CACHED_BYTES) -> None:
        self._embeddings = embeddings
        self._room = cached_bytes
        self._kept: OrderedDict[UUID, Floats] = OrderedDict()
        self._used = 0

    async def nearest(
        self, fitted: Relevance, sought: Floats, passages: Sequence[Passage], *, patience: float
    ) -> list[float]:
        """Return for the first of the passages the cosine of their sentence nearest to `sought` (`Relevance.sought`).

        All of them in `patience` seconds, else as many as were done by then: the next question goes on from there.
        Raises an AppError where sentences can't be embedded.
        """
        found = {passage.id: self._kept[passage.id] for passage in passages if passage.id in self._kept}
        for passage_id in found:
            self._kept.move_to_end(passage_id)
        missing = [passage for passage in passages if passage.id not in found]
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                for first in range(0, len(missing), _TOGETHER):
                    for passage_id, vectors in await self._embedded(fitted, missing[first : first + _TOGETHER]):
                        found[passage_id] = vectors
                        self._keep(passage_id, vectors)
        wanted = unit(sought)
        done = takewhile(lambda passage: passage.id in found, passages)
        return [float((found[passage.id] @ wanted).max()) for passage in done]

    async def _embedded(self, fitted: Relevance, passages: Sequence[Passage]) -> list[tuple[UUID, Floats]]:
        texts = [sentences(passage.text) for passage in passages]
        vectors = await self._embeddings.of_passages([text for each in texts for text in each])
        rows = iter(fitted.neutral(np.asarray(vectors, np.float32)))
        return [
            (passage.id, np.stack([next(rows) for _ in each])) for passage, each in zip(passages, texts, strict=True)
        ]

    def _keep(self, passage_id: UUID, vectors: Floats) -> None:
        if passage_id in self._kept:  # by another question, meanwhile
            return
        self._kept[passage_id] = vectors
        self._used += vectors.nbytes
        while self._used > self._room:
            _, oldest = self._kept.popitem(last=False)
            self._used -= oldest.nbytes


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text, short ones joined with the next; the text itself where it has none."""
    found: list[str] = []
    start = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        sentence = text[start:end].strip()
        if len(sentence) >= _SHORTEST or (sentence and end == len(text)):
            found.append(sentence)
            start = end
    if len(found) > 1 and len(found[-1]) < _SHORTEST:
        found[-2:] = [f"{found[-2]} {found[-1]}"]
    return found or [text]
