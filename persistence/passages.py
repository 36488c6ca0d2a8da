"""Passages by reference: what a checkpoint names is read again, as far as the caller may still see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from persistence.access import is_shared, readable
from persistence.search import Found, Scope, within
from persistence.session import Database
from persistence.tables import File, Passage

_READ_AT_ONCE = 200  # passages
_OF_CHUNK = (Passage.position, Passage.page, Passage.heading)


async def load_passages(database: Database, user_id: UUID, references: Sequence[Mapping[str, Any]]) -> list[Found]:
    """Return the texts behind references (`file_id`, `chunk_id`, `start`, `end`, `score`), in their order.

    A passage whose file is gone, or that the user may not read any more, is left out.
    """
    found: list[Found] = []
    async with database.reading() as session:
        for reference in references:
            start, end = reference["start"], reference["end"]
            text = func.substr(File.text, start + 1, end - start)
            query = (
                select(File.name, *_OF_CHUNK, text.label("text"), Passage.text.label("matched"), is_shared(user_id))
                .join(Passage, Passage.file_id == File.id)
                .where(readable(user_id), File.id == UUID(reference["file_id"]))
                .where(Passage.id == UUID(reference["chunk_id"]))
            )
            row = (await session.execute(query)).one_or_none()
            if row is not None:
                found.append(_found(reference, row))
    return found


def _found(reference: Mapping[str, Any], row: Any) -> Found:
    return Found(
        UUID(reference["file_id"]),
        row.name,
        UUID(reference["chunk_id"]),
        row.position,
        row.page,
        row.heading,
        reference["start"],
        reference["end"],
        row.text,
        reference["score"],
        row.matched,
        reference.get("confidence"),
        shared=row.shared,
    )


@dataclass(frozen=True, slots=True)
class FilePart:
    """Passages of a file in their order, how many fit, and the position behind them where there are more."""

    passages: list[Found]
    following: int | None


async def read_part(
    database: Database,
    scope: Scope,
    file_id: UUID,
    *,
    page: int | None = None,
    heading: str | None = None,
    position: int = 0,
    budget: int,
) -> FilePart:
    """Return a file's passages from `position` on, `budget` characters of them: of a page or under a heading, if named.

    A file outside of the scope has none.
    """
    text = func.substr(File.text, Passage.start_char + 1, Passage.end_char - Passage.start_char)
    columns = (Passage.id, Passage.position, Passage.page, Passage.heading, Passage.start_char, Passage.end_char)
    query = (
        select(File.name, *columns, text.label("text"), Passage.text.label("matched"), is_shared(scope.user_id))
        .join(Passage, Passage.file_id == File.id)
        .where(*within(scope), File.id == file_id, Passage.position >= position)
        .order_by(Passage.position)
        .limit(_READ_AT_ONCE)
    )
    if page is not None:
        query = query.where(Passage.page == page)
    if heading is not None:
        query = query.where(Passage.heading.icontains(heading, autoescape=True))
    found: list[Found] = []
    async with database.reading() as session:
        rows = (await session.execute(query)).all()
    for row in rows:
        budget -= len(row.text)
        if found and budget < 0:
            return FilePart(found, row.position)
        place = (row.position, row.page, row.heading, row.start_char, row.end_char)
        found.append(Found(file_id, row.name, row.id, *place, row.text, 1.0, row.matched, shared=row.shared))
    return FilePart(found, rows[-1].position + 1 if len(rows) == _READ_AT_ONCE else None)
