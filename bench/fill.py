"""Fills a service's stores with passages without uploading them: through the repositories, as a worker writes them."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.words import prose
from ingestion.documents import Extracted
from ingestion.split import split
from llama_service.ids import new_id
from persistence import files
from persistence.lexical import Postings, postings
from persistence.session import Database
from persistence.vectors import IndexedPassage, VectorIndex

Floats = NDArray[np.float32]

DIMENSION = 384
MODEL = "text-embedding-3-small"
_DISTINCT = 80  # texts; more files than that share them, which changes no posting list of any one scope
_PARAGRAPH_CHARS = 560
_BATCH = 2000


@dataclass(frozen=True, slots=True)
class _Text:
    """A file's passages, ready to be copied."""

    passages: list[str]
    postings: Postings
    lengths: list[int]


class Filler:
    """Makes files of `size` passages each, in English and Russian by turns."""

    def __init__(self, database: Database, index: VectorIndex, size: int = 100) -> None:
        self._database = database
        self._index = index
        self.size = size
        self._texts: dict[int, _Text] = {}
        self._chance = np.random.default_rng(1)
        self._made = 0
        self._waiting: list[IndexedPassage] = []
        self._writing: asyncio.Future[None] = asyncio.ensure_future(asyncio.sleep(0))

    def vector(self) -> list[float]:
        """Return a random vector of unit length."""
        return [float(number) for number in _unit(self._chance.standard_normal((1, DIMENSION)))[0]]

    def _text(self, number: int) -> _Text:
        if number not in self._texts:
            text = prose(number, self.size * _PARAGRAPH_CHARS, "ru" if number % 2 else "en")
            found = [p.text for p in split(Extracted(text, (), "text/plain"), 2000, 400)][: self.size]
            self._texts[number] = _Text(found, *postings(found))
        return self._texts[number]

    def words(self, file: int, length: int = 6) -> str:
        """Return some words that stand together in a file, by its number in the order of making."""
        text = self._text(file % _DISTINCT)
        words = text.passages[int(self._chance.integers(len(text.passages)))].split()
        at = int(self._chance.integers(max(1, len(words) - length)))
        return " ".join(words[at : at + length])

    async def give(self, user_id: str, count: int) -> range:
        """Give a user so many files; return their numbers."""
        begin = self._made
        for _ in range(count):
            self._waiting += await self._file(UUID(user_id))
            if len(self._waiting) >= _BATCH:
                await self.flush()
        return range(begin, self._made)

    async def make(self, user_id: str, count: int) -> None:
        """Give a user so many files in the database alone."""
        for _ in range(count):
            await self._file(UUID(user_id))

    async def flush(self, *, wait: bool = False) -> None:
        """Write what waits into the index, while more is made; with `wait`, to its end."""
        await self._writing
        waiting, self._waiting = self._waiting, []
        self._writing = asyncio.ensure_future(self._index.add(MODEL, waiting))
        if wait:
            await self._writing

    async def _file(self, owner: UUID) -> list[IndexedPassage]:
        text = await asyncio.to_thread(self._text, self._made % _DISTINCT)
        self._made += 1
        count = len(text.passages)
        vectors = _unit(self._chance.standard_normal((count, DIMENSION)))
        ids = [new_id() for _ in range(count)]
        async with self._database.transaction() as session:
            file = await files.create(
                session,
                owner,
                name=f"file {self._made}.txt",
                mime="text/plain",
                size=sum(map(len, text.passages)),
                sha256=f"{self._made:064x}",
                in_library=True,
            )
            rows = _rows(file.id, ids, text.passages, vectors)
            await files.replace_passages(session, file.id, rows, text.postings)
            await files.note(
                session,
                file.id,
                status="completed",
                stage="finalized",
                progress=1.0,
                searchable=True,
                chunks_total=count,
                chunks_indexed=count,
                passage_lengths=text.lengths,
                embedding_model=MODEL,
            )
        return [
            IndexedPassage(id_, file.id, owner, at, vector.tolist())
            for at, (id_, vector) in enumerate(zip(ids, vectors, strict=True))
        ]


def _unit(
    rows: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f4")
    return unit


def _rows(file_id: UUID, ids: list[UUID], passages: list[str], vectors: Floats) -> list[dict[str, object]]:
    start, rows = 0, []
    for position, (id_, text, vector) in enumerate(zip(ids, passages, vectors, strict=True)):
        end = start + len(text)
        rows.append(
            {
                "id": id_,
                "file_id": file_id,
                "position": position,
                "text": text,
                "start_char": start,
                "end_char": end,
                "context_start": start,
                "context_end": end,
                "gap": " ",
                "vector": vector.tobytes(),
            }
        )
        start = end + 1
    return rows


def crowd(dsn: str, count: int, name: str = "crowd") -> list[str]:
    """Make so many users, who never sign in; return their ids."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "INSERT INTO users (id, username, email, hashed_password, is_active, is_superuser, is_verified)"
            " SELECT gen_random_uuid(), %s || n, %s || n || '@example.com', '!', true, false, false"
            " FROM generate_series(1, %s) n"
            " RETURNING id::text",
            (name, name, count),
        ).fetchall()
    return [row[0] for row in rows]


def share(dsn: str, owner: str, members: list[str]) -> str:
    """Put all files of an owner into a library that is every member's default one; return one of these."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("INSERT INTO libraries (id, name) VALUES (gen_random_uuid(), 'All') RETURNING id")
        (library,) = row.fetchone() or ("",)
        connection.execute(
            "INSERT INTO library_members (id, library_id, user_id, role, is_default)"
            " SELECT gen_random_uuid(), %s, m::uuid, 'viewer', true FROM unnest(%s::text[]) m",
            (library, members),
        )
        connection.execute(
            "INSERT INTO library_files (library_id, file_id) SELECT %s, id FROM files WHERE user_id = %s::uuid",
            (library, owner),
        )
    return members[len(members) // 2]


def analyze(dsn: str) -> None:
    """Do what autovacuum does some time after so many rows were written."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in ("files", "passages", "postings", "users", "library_files", "library_members"):
            connection.execute(f"VACUUM ANALYZE {table}")
