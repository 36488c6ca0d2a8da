"""The engines of the vector index side by side: what they find and how fast, how fast they are filled, bytes on disk.

The same vectors go into Chroma, pgvector and Milvus (a real server where `BENCH_MILVUS` names one, else the package
milvus-lite). They lie in clusters within clusters, as texts do, in the dimension of the embeddings that `up` brings.
What is found is compared with the nearest of the scope, computed from all of its vectors.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
from numpy.typing import NDArray
from pydantic import SecretStr

from bench.load import percentile
from bench.report import Row
from bench.stage import Stage
from llama_service.dsn import PostgresDsn
from llama_service.settings import load_settings
from persistence.search import CANDIDATES
from persistence.session import Database
from persistence.vectors import IndexedPassage, VectorIndex
from persistence.vectors.chroma import ChromaIndex
from persistence.vectors.milvus import MilvusIndex
from persistence.vectors.pgvector import SCHEMA, PgvectorIndex, set_up
from tests.milvus import milvus_server

Floats = NDArray[np.float32]

_DIMENSION = 384
_OF_FILE = 100  # passages
_BATCH = 500
_MODEL = "bench"
_ANY_SIZE = 1_000_000_000  # for which pgvector takes its graph
_SECONDS, _LEAST_ROUNDS = 20, 10  # of one scope
_LATENT = 48  # dimensions in which meanings differ


class _Texts:
    """Files of passages: domains hold topics, a file is of a topic, and its passages differ a little."""

    def __init__(self, files: int) -> None:
        self._chance = np.random.default_rng(5)
        self._spread = self._chance.standard_normal((_LATENT, _DIMENSION)) / np.sqrt(_LATENT)
        domains = self._chance.standard_normal((40, _LATENT))
        self._topics = domains.repeat(25, axis=0) + 0.8 * self._chance.standard_normal((1000, _LATENT))
        self.ids = [uuid4() for _ in range(files)]
        of_file = self._chance.integers(len(self._topics), size=files)
        self.vectors = np.concatenate([self._near(self._topics[topic], _OF_FILE) for topic in of_file])

    def _near(self, center: NDArray[np.float64], count: int) -> Floats:
        latent = center + 0.8 * self._chance.standard_normal((count, _LATENT))
        rows = latent @ self._spread + 0.1 * self._chance.standard_normal((count, _DIMENSION))
        unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f4")
        return unit

    def question(self) -> Floats:
        """Return a vector like those of the passages."""
        row: Floats = self._near(self._topics[self._chance.integers(len(self._topics))], 1)[0]
        return row

    def scope(self, files: int) -> list[int]:
        """Return the numbers of some files."""
        return [int(number) for number in self._chance.choice(len(self.ids), files, replace=False)]

    def nearest(self, scope: Sequence[int], question: Floats) -> set[tuple[UUID, int]]:
        """Return the passages of a scope that are nearest to a question."""
        rows = (np.asarray(scope)[:, None] * _OF_FILE + np.arange(_OF_FILE)).ravel()
        best = rows[np.argsort(-(self.vectors[rows] @ question))[:CANDIDATES]]
        return {(self.ids[row // _OF_FILE], int(row % _OF_FILE)) for row in best}

    def passages(self) -> list[IndexedPassage]:
        owner = uuid4()
        return [
            IndexedPassage(uuid4(), self.ids[row // _OF_FILE], owner, row % _OF_FILE, vector.tolist())
            for row, vector in enumerate(self.vectors)
        ]


@dataclass(frozen=True, slots=True)
class _Engine:
    """An engine under its name, and where it keeps its bytes."""

    name: str
    index: VectorIndex
    place: Path | str

    def bytes(self) -> int:
        """Return how many bytes it keeps: of its folder, or of its schema in the database of that address."""
        if isinstance(self.place, Path):
            return int(subprocess.check_output(["du", "-sb", str(self.place)]).split()[0])
        with psycopg.connect(self.place) as connection:
            row = connection.execute(
                "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = to_regnamespace(%s)",
                (SCHEMA,),
            ).fetchone()
        return int(row[0]) if row else 0


async def run(made: Stage, quick: bool) -> list[Row]:
    """Fill each engine with the same, then search small and large scopes."""
    rows: list[Row] = []
    for passages in (5_000,) if quick else (10_000, 100_000):
        texts = _Texts(passages // _OF_FILE)
        async with AsyncExitStack() as stack:
            for engine in await _engines(made, stack, passages):
                rows += await _measure(engine, texts, 20 if quick else 60)
                await engine.index.drop()
    return rows


async def _engines(made: Stage, stack: AsyncExitStack, passages: int) -> list[_Engine]:
    database = Database(PostgresDsn.of(made.postgres.dsn), 4)
    stack.push_async_callback(database.close)
    settings = load_settings(jwt_secret_key="k" * 40, database_url=made.postgres.dsn, vector_store="pgvector")
    with psycopg.connect(made.postgres.dsn, autocommit=True) as connection:
        set_up(connection, settings)
    folder = made.folder / f"milvus-{passages}"
    named = os.environ.get("BENCH_MILVUS", "")
    milvus = MilvusIndex(named or await stack.enter_async_context(milvus_server(folder)), "bench")
    stack.push_async_callback(milvus.close)
    return [
        _Engine("pgvector", PgvectorIndex(database), made.postgres.dsn),
        _Engine("Chroma", ChromaIndex(made.chroma.url, f"bench{passages}", _token(made)), made.folder / "chroma"),
        _Engine("Milvus" if named else "milvus-lite", milvus, folder),
    ]


def _token(made: Stage) -> SecretStr:
    return SecretStr(made.chroma.token)


async def _measure(engine: _Engine, texts: _Texts, rounds: int) -> list[Row]:
    every = texts.passages()
    before = engine.bytes()
    began = time.perf_counter()
    for begin in range(0, len(every), _BATCH):
        await engine.index.add(_MODEL, every[begin : begin + _BATCH])
    rate = len(every) / (time.perf_counter() - began)
    what = f"{engine.name}, {len(every):,}"
    kept = (await asyncio.to_thread(engine.bytes) - before) / len(every)
    rows = [
        Row("vectors", f"{what}: written", rate, "/s", better="more"),
        Row("vectors", f"{what}: on disk", kept, "B/passage", note=f"{4 * _DIMENSION} B are the vector's"),
    ]
    for share in (0.01, 0.1, 0.5, 1.0):
        files = max(1, round(len(texts.ids) * share))
        rows.append(await _search(engine, texts, files, files * _OF_FILE, what, rounds))
        if engine.name == "pgvector":
            rows.append(await _search(engine, texts, files, _ANY_SIZE, f"{what} by its graph", rounds))
    return rows


async def _search(engine: _Engine, texts: _Texts, files: int, size: int, what: str, rounds: int) -> Row:
    times: list[float] = []
    found: list[float] = []
    until = time.monotonic() + _SECONDS
    for number in range(rounds + rounds // 10):
        if time.monotonic() > until and len(times) >= _LEAST_ROUNDS:
            break
        scope, question = texts.scope(files), texts.question()
        wanted: dict[str, Any] = {"file_ids": [texts.ids[file] for file in scope], "size": size}
        began = time.perf_counter()
        hits = await engine.index.near(_MODEL, question.tolist(), count=CANDIDATES, **wanted)
        if number >= rounds // 10:
            times.append((time.perf_counter() - began) * 1000)
            nearest = texts.nearest(scope, question)
            found.append(len(nearest & {(hit.file_id, hit.position) for hit in hits}) / len(nearest))
    recall = sum(found) / len(found)
    note = f"{len(times)} searches; p95 {percentile(times, 0.95):.1f} ms; recall {recall:.3f}, worst {min(found):.2f}"
    return Row("vectors", f"{what}: scope of {files * _OF_FILE:,}, p50", percentile(times, 0.5), "ms", note=note)
