"""What the service asks of a vector index, whatever engine keeps it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

_SLUG_CHARS = 40


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """A passage as the index knows it."""

    passage_id: UUID
    file_id: UUID
    owner: UUID
    position: int
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class VectorHit:
    """A near passage; `similarity` is the cosine."""

    file_id: UUID
    position: int
    similarity: float


class VectorIndex(Protocol):
    """Finds the passages whose vectors are nearest to a question's.

    What an index holds is derived: Postgres keeps each passage with its vector, so that an index may be lost at any
    time and is written anew (`ingestion.index`). The vectors of each embedding model and dimension are kept apart, and
    a search sees those of its own alone. What was written or removed is so for each search, of any process, that begins
    after the call has returned. All methods may be called at the same time, from many processes.

    Every method raises DependencyUnavailable where the engine can't be asked, or refuses.
    """

    engine: str
    """The engine's name, for operators."""

    async def add(self, model: str, passages: Sequence[IndexedPassage]) -> None:
        """Write passages, each once, with vectors of one dimension; those that are there already are replaced."""

    async def near(
        self, model: str, vector: Sequence[float], *, file_ids: Sequence[UUID], size: int, count: int
    ) -> list[VectorHit]:
        """Return the `count` passages of these files that are nearest to `vector`, best first.

        The files are all that the caller may read, and nothing of any other is returned; `size` is how many passages
        they have, by which an engine may choose its way. The search may be approximate. A model whose vectors nobody
        has written finds nothing.
        """
        ...

    async def remove(self, file_ids: Sequence[UUID]) -> None:
        """Delete the passages of these files, of every model; files that are not there are no error."""

    async def counts(self) -> dict[str, int]:
        """Return how many passages are kept for each model and dimension, by the name that the engine knows it by."""
        ...

    async def file_count(self, file_id: UUID) -> int:
        """Return how many passages of a file are kept, of all models."""
        ...

    async def file_counts(self) -> dict[UUID, int]:
        """Return how many passages of each file are kept, of all models."""
        ...

    async def drop(self) -> None:
        """Delete everything; the next write begins anew."""

    async def ping(self) -> None:
        """Return where the engine answers and could be written to."""

    async def close(self) -> None:
        """Close connections that are the index's own."""


def slug(model: str) -> str:
    """Return a model's name in lower-case letters, digits and hyphens, short.

    Names that differ in case or punctuation alone give the same.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if plain and model.isascii() and len(plain) <= _SLUG_CHARS:
        return plain
    return f"{plain[: _SLUG_CHARS - 9].rstrip('-')}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
