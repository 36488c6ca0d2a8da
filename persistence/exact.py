"""Vector search by comparing with every passage of the scope.

A graph index (HNSW) over all users' passages answers a filtered question the more slowly the less the filter lets
through, and it misses passages: some are reached from nowhere, the more so where texts come twice or were deleted.
Up to a size that only large libraries exceed, looking at each vector of the scope is faster, misses nothing, and takes
the same time whatever others keep. See docs/decisions/0009.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from persistence import relevance
from persistence.session import Database, Statement
from persistence.vectors import VectorHit

Floats = NDArray[np.float32]
Kept = tuple[NDArray[np.int64], Floats]
"""Positions, ascending, and vectors of unit length, one row for each."""

WIDEST = 10_000
"""Passages of a scope that are compared one by one, with some 3 ms of multiplication."""
_CACHED_BYTES = 64 * 1024 * 1024
# A vector of another length is another model's, whatever its file says: it can't be compared.
_SOME = Statement(
    "SELECT p.file_id, p.position, p.vector FROM passages p"
    " JOIN unnest(CAST(:files AS uuid[]), CAST(:positions AS int[])) AS wanted(file_id, position)"
    " USING (file_id, position) WHERE octet_length(p.vector) = :bytes ORDER BY p.file_id, p.position"
)
_VECTORS = Statement(
    "SELECT file_id, position, vector FROM passages"
    " WHERE file_id = ANY(CAST(:files AS uuid[])) AND octet_length(vector) = :bytes ORDER BY file_id, position"
)


class ExactVectors:
    """Compares a question with the vectors in Postgres. Those of files that were searched lately stay in memory."""

    def __init__(self, database: Database, *, cached_bytes: int = _CACHED_BYTES) -> None:
        self._database = database
        self._room = cached_bytes
        self._kept: OrderedDict[tuple[UUID, datetime], Kept] = OrderedDict()
        self._used = 0

    async def near(self, model: str, vector: Floats, files: Sequence[Any], count: int) -> list[VectorHit]:
        """Return the passages nearest to a question's `vector` (see `sought_vector`), best first.

        `files` are rows with `id`, `status`, `updated_at` and `embedding_model`; those of another model are left out.
        """
        own = [file for file in files if file.embedding_model == model]
        found = await self._load(model, own, len(vector))
        return await asyncio.to_thread(_nearest, found, vector, count) if found else []

    async def of(self, model: str, vector: Floats, places: Sequence[tuple[Any, int]]) -> list[VectorHit]:
        """Return how near the passages at `places` (a file's row as in `near`, a position) are, in no order."""
        sought = relevance.unit(vector)
        found = await self.vectors(model, places, len(vector))
        return [VectorHit(file_id, at, float(row @ sought)) for (file_id, at), row in found.items()]

    async def vectors(
        self, model: str, places: Sequence[tuple[Any, int]], length: int
    ) -> dict[tuple[UUID, int], Floats]:
        """Return the vectors, as they are compared, of passages at `places` (as in `of`) that have one this long."""
        found: dict[tuple[UUID, int], Floats] = {}
        missing: list[tuple[UUID, int]] = []
        for file, position in places:
            kept = self._kept.get((file.id, file.updated_at))
            if file.embedding_model != model:
                continue
            if kept is None:
                missing.append((file.id, position))
                continue
            at = int(np.searchsorted(kept[0], position))
            if at < len(kept[0]) and kept[0][at] == position:
                found[file.id, position] = kept[1][at]
        if missing:
            async with self._database.raw(transaction=False) as connection:
                wanted = {"files": [file_id for file_id, _ in missing], "positions": [at for _, at in missing]}
                rows = await connection.rows(_SOME, wanted | {"bytes": 4 * length})
            for file_id, (positions, vectors) in _by_file(model, rows).items():
                found |= {(file_id, int(at)): row for at, row in zip(positions, vectors, strict=True)}
        return found

    async def _load(self, model: str, files: Sequence[Any], length: int) -> list[tuple[UUID, Kept]]:
        found: dict[UUID, Kept] = {}
        missing: dict[UUID, Any] = {}
        for file in files:
            kept = self._kept.get((file.id, file.updated_at))
            if kept is None:
                missing[file.id] = file
            else:
                self._kept.move_to_end((file.id, file.updated_at))
                found[file.id] = kept
        if missing:
            async with self._database.raw(transaction=False) as connection:
                rows = await connection.rows(_VECTORS, {"files": list(missing), "bytes": 4 * length})
            read = await asyncio.to_thread(_by_file, model, rows)
            for file_id, entry in read.items():
                if missing[file_id].status == "completed":
                    self._keep((file_id, missing[file_id].updated_at), entry)
            found |= read
        return list(found.items())

    def _keep(self, key: tuple[UUID, datetime], entry: Kept) -> None:
        if key in self._kept:
            return
        self._kept[key] = entry
        self._used += entry[0].nbytes + entry[1].nbytes
        while self._used > self._room:
            _, (positions, vectors) = self._kept.popitem(last=False)
            self._used -= positions.nbytes + vectors.nbytes


def sought_vector(model: str, question: Sequence[float]) -> Floats:
    """Return the vector with which passages are compared to find those nearest to a question."""
    fitted = relevance.of_model(model)
    return fitted.sought(question) if fitted else np.asarray(question, np.float32)


def _by_file(model: str, rows: Sequence[Any]) -> dict[UUID, Kept]:
    """Group rows, which come by file and position, and make their vectors comparable across languages."""
    grouped: dict[UUID, tuple[list[int], list[bytes]]] = {}
    for file_id, position, vector in rows:
        positions, vectors = grouped.setdefault(UUID(bytes=file_id.bytes), ([], []))
        positions.append(position)
        vectors.append(vector)
    return {
        file_id: (np.array(at, np.int64), _comparable(model, vectors)) for file_id, (at, vectors) in grouped.items()
    }


def _comparable(model: str, vectors: Sequence[bytes]) -> Floats:
    raw = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1)
    fitted = relevance.of_model(model)
    return fitted.neutral(raw) if fitted else relevance.unit(raw)


def _nearest(found: Sequence[tuple[UUID, Kept]], vector: Floats, count: int) -> list[VectorHit]:
    vector = relevance.unit(vector)
    cosines = np.concatenate([vectors @ vector for _, (_, vectors) in found])
    places = np.concatenate([positions for _, (positions, _) in found])
    owners = np.repeat(np.arange(len(found)), [len(positions) for _, (positions, _) in found])
    best = np.argsort(-cosines, kind="stable")[:count]
    return [VectorHit(found[owners[at]][0], int(places[at]), float(cosines[at])) for at in best]
