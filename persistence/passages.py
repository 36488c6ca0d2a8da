"""Passages by reference: what a checkpoint names is read again, as far as the caller may still see it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from persistence.search import Found
from persistence.session import Database
from persistence.tables import File, Passage


async def load_passages(database: Database, user_id: UUID, references: Sequence[Mapping[str, Any]]) -> list[Found]:
    """Return the texts behind references (`file_id`, `chunk_id`, `start`, `end`, …), in their order.

    A passage whose file is gone, or is not the user's, is left out.
    """
    found: list[Found] = []
    async with database.reading() as session:
        for reference in references:
            start, end = reference["start"], reference["end"]
            text = func.substr(File.text, start + 1, end - start)
            query = (
                select(File.name, text.label("text"), Passage.text.label("matched"))
                .join(Passage, Passage.file_id == File.id)
                .where(File.user_id == user_id, File.id == UUID(reference["file_id"]))
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
        reference["position"],
        reference["page"],
        reference["heading"],
        reference["start"],
        reference["end"],
        row.text,
        reference["score"],
        row.matched,
    )
