"""What must hold after the workers' deaths: every file as if nothing had happened, in Postgres and in Chroma."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from llama_service.runtime.chroma import EmbeddedChroma
from persistence.vectors.chroma import connect

_PAGE = 5000
_LEFT = {
    "files that have not ended": "SELECT count(*) FROM files WHERE status IN ('pending', 'processing')",
    "files that wait for vectors": "SELECT count(*) FROM files WHERE status = 'partial_success'",
    "jobs that wait or run": "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
}
# A file as its owner sees it, and a sum over everything that a search uses of it.
_STATE = """
    SELECT f.status, f.error ->> 'code', f.chunks_total, f.chunks_indexed, f.searchable, length(f.text),
      (SELECT md5(string_agg(concat_ws('|', p.position, p.start_char, p.end_char, p.context_start, p.context_end,
          p.page, p.heading, p.searched, p.gap, p.text, encode(p.vector, 'hex')), chr(10) ORDER BY p.position))
       FROM passages p WHERE p.file_id = f.id),
      (SELECT md5(string_agg(concat_ws('|', t.term, t.positions, t.frequencies), chr(10) ORDER BY t.term COLLATE "C"))
       FROM postings t WHERE t.file_id = f.id),
      (SELECT count(*) - count(DISTINCT p.position) FROM passages p WHERE p.file_id = f.id)
    FROM files f WHERE f.id = %s
"""
_TRACES = {
    "files": "SELECT count(*) FROM files WHERE id = ANY(%s)",
    "passages": "SELECT count(*) FROM passages WHERE file_id = ANY(%s)",
    "postings": "SELECT count(*) FROM postings WHERE file_id = ANY(%s)",
}

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that was not deleted, and where its bytes are."""

    id: str
    name: str
    path: Path


def busy(dsn: str) -> list[str]:
    """Return what has not come to its end."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        counts = {what: connection.execute(query).fetchone() for what, query in _LEFT.items()}
    return [f"{row[0]} {what}" for what, row in counts.items() if row and row[0]]


def _indexed(chroma: EmbeddedChroma) -> dict[str, str]:
    """Return the file of every passage that Chroma holds."""
    client = connect(chroma.url, SecretStr(chroma.token))
    found: dict[str, str] = {}
    for collection in client.list_collections():
        offset = 0
        while (rows := collection.get(include=["metadatas"], limit=_PAGE, offset=offset))["ids"]:
            metadatas = rows["metadatas"] or []
            found |= {id_: str(row["file_id"]) for id_, row in zip(rows["ids"], metadatas, strict=True)}
            offset += len(rows["ids"])
    return found


def index_differs(dsn: str, chroma: EmbeddedChroma) -> list[str]:
    """Return how the index differs from Postgres's passages."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT p.id::text FROM passages p JOIN files f ON f.id = p.file_id WHERE f.searchable"
        ).fetchall()
    wanted, there = {row[0] for row in rows}, set(_indexed(chroma))
    missing, extra = len(wanted - there), len(there - wanted)
    return [f"{missing} passages missing in the index, {extra} too many"] if missing or extra else []


def audit(
    dsn: str, chroma: EmbeddedChroma, control: Mapping[str, str], kept: Sequence[Kept], deleted: Sequence[str]
) -> list[str]:
    """Compare each file with the same one that nobody disturbed; look for traces of deleted ones."""
    found: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for file in kept:
            found += _judge(connection, file, control[file.id])
        for what, query in _TRACES.items():
            row = connection.execute(query, (list(deleted),)).fetchone()
            if row and row[0]:
                found.append(f"{row[0]} {what} of deleted files are in Postgres")
    if left := sum(file in set(deleted) for file in _indexed(chroma).values()):
        found.append(f"{left} passages of deleted files are in Chroma")
    return found


def _judge(connection: Connection, file: Kept, control: str) -> list[str]:
    state = connection.execute(_STATE, (file.id,)).fetchone()
    wanted = connection.execute(_STATE, (control,)).fetchone()
    if state is None or wanted is None:
        return [f"{file.name} is gone"]
    status, code, total, indexed = state[:4]
    if status not in ("completed", "failed") or (status == "failed") != bool(code):
        return [f"{file.name} ended as {status} ({code})"]
    if status == "completed" and not 0 < total == indexed:
        return [f"{file.name} has {indexed} of {total} vectors"]
    if state[-1]:
        return [f"{file.name} has {state[-1]} passages twice"]
    return [] if state == wanted else [f"{file.name} differs: {state} instead of {wanted}"]
