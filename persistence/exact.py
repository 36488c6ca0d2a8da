"""Vector search by comparing with every passage of a narrow scope.

An index of all users' passages answers a filtered question the more slowly the less the filter lets through: it has to
walk past what is not meant. Where a scope is a small part of everything, looking at each of its vectors is faster,
exact, and takes the same time whatever others keep.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from persistence.session import Database, Statement
from persistence.vectors import VectorHit

Floats = NDArray[np.float32]
Kept = tuple[NDArray[np.int64], Floats]
"""Positions, ascending, and vectors of unit length, one row for each."""

_MOST = 10_000  # passages of a scope: some 3 ms of multiplication
_NARROW = 4  # times as many passages as the scope's have to be there
_LEAST = 5_000  # passages in all; the index is quick where there are fewer
_CACHED_BYTES = 64 * 1024 * 1024
_COUNTED_FOR = 30.0  # seconds
# What the planner knows, without counting: autovacuum keeps it near the truth, -1 is "not yet known".
_TOTAL = Statement("SELECT reltuples::bigint AS passages FROM pg_class WHERE oid = 'passages'::regclass")
_VECTORS = Statement(
    "SELECT file_id, position, vector FROM passages"
    " WHERE file_id = ANY(CAST(:files AS uuid[])) AND vector IS NOT NULL ORDER BY file_id, position"
)


class ExactVectors:
    """Compares a question with the vectors in Postgres. Those of files that were searched lately stay in memory."""

    def __init__(self, database: Database, *, cached_bytes: int = _CACHED_BYTES, least: int = _LEAST) -> None:
        self._database = database
        self._least = least
        self._room = cached_bytes
        self._kept: OrderedDict[tuple[UUID, datetime], Kept] = OrderedDict()
        self._used = 0
        self._total, self._counted = 0, -_COUNTED_FOR

    async def suits(self, passages: int) -> bool:
        """Whether a scope of so many passages is small, and a small part of everything that is not small itself."""
        if passages > _MOST:
            return False
        if time.monotonic() - self._counted > _COUNTED_FOR:
            self._counted = time.monotonic()
            async with self._database.raw(transaction=False) as connection:
                row = await connection.row(_TOTAL, {})
            self._total = row["passages"] if row else 0
        return self._total >= max(self._least, _NARROW * passages)

    async def near(self, model: str, vector: Sequence[float], files: Sequence[Any], count: int) -> list[VectorHit]:
        """Return the passages nearest to `vector`, best first.

        `files` are rows with `id`, `status`, `updated_at` and `embedding_model`; those of another model are left out.
        """
        own = [file for file in files if file.embedding_model == model]
        found = await self._load(own)
        return await asyncio.to_thread(_nearest, found, np.asarray(vector, np.float32), count) if found else []

    async def _load(self, files: Sequence[Any]) -> list[tuple[UUID, Kept]]:
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
                rows = await connection.rows(_VECTORS, {"files": list(missing)})
            read = await asyncio.to_thread(_by_file, rows)
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


def _by_file(rows: Sequence[Any]) -> dict[UUID, Kept]:
    """Group rows, which come by file and position."""
    grouped: dict[UUID, tuple[list[int], list[bytes]]] = {}
    for file_id, position, vector in rows:
        positions, vectors = grouped.setdefault(UUID(bytes=file_id.bytes), ([], []))
        positions.append(position)
        vectors.append(vector)
    return {file_id: (np.array(at, np.int64), _unit(vectors)) for file_id, (at, vectors) in grouped.items()}


def _unit(vectors: Sequence[bytes]) -> Floats:
    raw = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1)
    unit: Floats = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
    return unit


def _nearest(found: Sequence[tuple[UUID, Kept]], vector: Floats, count: int) -> list[VectorHit]:
    vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
    cosines = np.concatenate([vectors @ vector for _, (_, vectors) in found])
    places = np.concatenate([positions for _, (positions, _) in found])
    owners = np.repeat(np.arange(len(found)), [len(positions) for _, (positions, _) in found])
    best = np.argsort(-cosines, kind="stable")[:count]
    return [VectorHit(found[owners[at]][0], int(places[at]), float(cosines[at])) for at in best]
