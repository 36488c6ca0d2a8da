"""Files and their passages. The owner is in every query; workers, who act for the owner, name the file alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CompoundSelect, delete, exists, func, or_, select, text, union_all, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from llama_service.errors import NotFound
from persistence import leftovers
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import AssistantFile, Conversation, ConversationFile, File, Passage, Posting, ProjectFile

VIEWABLE: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""Media types of pictures that models are shown and the page draws."""


@dataclass(frozen=True, slots=True)
class FileView:
    """A file and the conversations that it is attached to."""

    file: File
    conversation_ids: list[UUID]


async def _views(session: AsyncSession, rows: Sequence[File]) -> list[FileView]:
    attached: dict[UUID, list[UUID]] = {row.id: [] for row in rows}
    query = select(ConversationFile).where(ConversationFile.file_id.in_(list(attached)))
    for link in (await session.execute(query)).scalars():
        attached[link.file_id].append(link.conversation_id)
    return [FileView(row, attached[row.id]) for row in rows]


async def get(session: AsyncSession, user_id: UUID, file_id: UUID) -> FileView:
    """Return a file of the user. Raises NotFound."""
    query = select(File).where(File.id == file_id, File.user_id == user_id)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound
    return (await _views(session, [row]))[0]


async def all_owned(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> bool:
    """Whether every one of these files is the user's."""
    wanted = set(file_ids)
    query = select(func.count()).where(File.id.in_(wanted), File.user_id == user_id)
    return await session.scalar(query) == len(wanted)


async def still_there(session: AsyncSession, user_id: UUID, file_ids: Sequence[str]) -> list[UUID]:
    """Return those of these files that the user still has."""
    query = select(File.id).where(File.id.in_([UUID(file_id) for file_id in file_ids]), File.user_id == user_id)
    return list((await session.execute(query)).scalars())


async def list_page(
    session: AsyncSession,
    user_id: UUID,
    *,
    limit: int,
    cursor: str | None,
    conversation_id: UUID | None,
    status: str | None,
    unasked: bool = False,
) -> tuple[list[FileView], str | None]:
    """Return the user's files, newest first, and the cursor of the next page.

    With `unasked`, only those of the conversation that no question has been asked with.
    """
    query = select(File).where(File.user_id == user_id)
    if conversation_id is not None:
        query = query.join(ConversationFile).where(ConversationFile.conversation_id == conversation_id)
        if unasked:
            query = query.where(ConversationFile.message_id.is_(None))
    if status is not None:
        query = query.where(File.status == status)
    if cursor:
        query = query.where(File.id < decode_cursor(cursor, (UUID,))[0])
    rows = list((await session.execute(query.order_by(File.id.desc()).limit(limit + 1))).scalars())
    following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return await _views(session, rows[:limit]), following


async def same(session: AsyncSession, user_id: UUID, sha256: str, name: str) -> FileView | None:
    """Return the user's file with the same bytes, if there is one; the same name is preferred."""
    query = (
        select(File)
        .where(File.user_id == user_id, File.sha256 == sha256)
        .order_by((File.name == name).desc(), File.id)
        .limit(1)
    )
    row = (await session.execute(query)).scalar_one_or_none()
    return (await _views(session, [row]))[0] if row is not None else None


async def usage(session: AsyncSession, user_id: UUID, *, without: UUID | None = None) -> tuple[int, int]:
    """Return how many files the user has and their bytes, one of them left out."""
    query = select(func.count(), func.coalesce(func.sum(File.size), 0)).where(File.user_id == user_id)
    if without is not None:
        query = query.where(File.id != without)
    files, size = (await session.execute(query)).one()
    return int(files), int(size)


async def create(
    session: AsyncSession, user_id: UUID, *, name: str, mime: str, size: int, sha256: str, in_library: bool
) -> File:
    """Note an uploaded file. Its indexing is queued in the same transaction."""
    row = File(user_id=user_id, name=name, mime=mime, size=size, sha256=sha256, in_library=in_library)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def attach(session: AsyncSession, user_id: UUID, file_id: UUID, conversation_id: UUID) -> None:
    """Put a file of the user at hand in a conversation of the user. Raises NotFound where either is not theirs."""
    owned = await session.scalar(
        select(
            exists().where(File.id == file_id, File.user_id == user_id)
            & exists().where(Conversation.id == conversation_id, Conversation.user_id == user_id)
        )
    )
    if not owned:
        raise NotFound
    await session.execute(
        upsert(ConversationFile).values(conversation_id=conversation_id, file_id=file_id).on_conflict_do_nothing()
    )


async def detach(session: AsyncSession, user_id: UUID, file_id: UUID, conversation_id: UUID) -> None:
    """Take a file out of a conversation. Out of the last one, it goes to the library. Raises NotFound."""
    await get(session, user_id, file_id)
    await session.execute(
        delete(ConversationFile).where(
            ConversationFile.file_id == file_id, ConversationFile.conversation_id == conversation_id
        )
    )
    elsewhere = select(ConversationFile.file_id).where(ConversationFile.file_id == File.id).exists()
    await session.execute(update(File).where(File.id == file_id, ~elsewhere).values(in_library=True))


def at_hand(conversation_id: UUID) -> CompoundSelect[Any]:
    """Return the files of a conversation: its own, its project's and its assistant's."""
    of_project = (
        select(ProjectFile.file_id)
        .join(Conversation, Conversation.project_id == ProjectFile.project_id)
        .where(Conversation.id == conversation_id)
    )
    of_assistant = (
        select(AssistantFile.file_id)
        .join(Conversation, Conversation.assistant_id == AssistantFile.assistant_id)
        .where(Conversation.id == conversation_id)
    )
    attached = select(ConversationFile.file_id).where(ConversationFile.conversation_id == conversation_id)
    return union_all(attached, of_project, of_assistant)


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion leaves to be cleaned up outside the database; others may still refer to `hashes`."""

    file_ids: list[UUID]
    hashes: list[str]


async def remove(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> Removed:
    """Delete files of the user with their passages and postings. Raises NotFound where none of them is theirs."""
    gone = (
        await session.execute(
            delete(File).where(File.id.in_(file_ids), File.user_id == user_id).returning(File.id, File.sha256)
        )
    ).all()
    if not gone:
        raise NotFound
    hashes = sorted({row.sha256 for row in gone})
    await leftovers.note(session, hashes)
    return Removed([row.id for row in gone], hashes)


async def only_in(session: AsyncSession, user_id: UUID, conversation_id: UUID) -> list[UUID]:
    """Return the files that belong to this conversation alone: not to the library, nor to another one."""
    elsewhere = aliased(ConversationFile)
    other = (
        select(elsewhere.file_id)
        .where(elsewhere.file_id == File.id, elsewhere.conversation_id != conversation_id)
        .correlate(File)
        .exists()
    )
    query = (
        select(File.id)
        .join(ConversationFile)
        .where(
            File.user_id == user_id,
            ConversationFile.conversation_id == conversation_id,
            File.in_library.is_(False),
            ~other,
        )
    )
    return list((await session.execute(query)).scalars())


async def text_of(session: AsyncSession, user_id: UUID, file_id: UUID) -> tuple[str, list[dict[str, Any]]]:
    """Return the extracted text and its marks (pages, headings). Raises NotFound also where nothing is extracted."""
    query = select(File.text, File.blocks).where(File.id == file_id, File.user_id == user_id)
    row = (await session.execute(query)).one_or_none()
    if row is None or row.text is None:
        raise NotFound
    return row.text, row.blocks or []


async def chunks(
    session: AsyncSession, user_id: UUID, file_id: UUID, *, limit: int, cursor: str | None, position: int = 0
) -> tuple[list[Passage], str | None]:
    """Return a page of a file's passages in their order, the first page from `position` on."""
    await get(session, user_id, file_id)
    after = decode_cursor(cursor, (int,))[0] if cursor else position - 1
    query = (
        select(Passage)
        .where(Passage.file_id == file_id, Passage.position > after)
        .order_by(Passage.position)
        .limit(limit + 1)
    )
    rows = list((await session.execute(query)).scalars())
    following = encode_cursor(rows[limit - 1].position) if len(rows) > limit else None
    return rows[:limit], following


# --- for the worker -------------------------------------------------------------------------------------------------


async def take(session: AsyncSession, file_id: UUID) -> File | None:
    """Return a file for its worker, or None where it has been deleted."""
    return (await session.execute(select(File).where(File.id == file_id))).scalar_one_or_none()


async def note(session: AsyncSession, file_id: UUID, **values: Any) -> bool:
    """Write down how far a file is; return False where it has been deleted meanwhile."""
    changed = await session.execute(
        update(File).where(File.id == file_id).values(**values, updated_at=func.clock_timestamp()).returning(File.id)
    )
    return changed.first() is not None


async def replace_passages(
    session: AsyncSession,
    file_id: UUID,
    rows: Sequence[Mapping[str, Any]],
    postings: Mapping[str, tuple[Sequence[int], Sequence[int]]],
) -> None:
    """Put a file's passages and postings in the place of the ones it had; both become visible with the commit."""
    await session.execute(delete(Passage).where(Passage.file_id == file_id))
    await session.execute(delete(Posting).where(Posting.file_id == file_id))
    # COPY, in the session's transaction: some ten times faster than INSERT for these many small rows.
    raw = await (await session.connection()).get_raw_connection()
    connection = raw.driver_connection
    assert connection is not None  # noqa: S101  (the session is connected)
    if rows:
        columns = list(rows[0])
        await connection.copy_records_to_table(
            "passages", records=[tuple(row[name] for name in columns) for row in rows], columns=columns
        )
    await connection.copy_records_to_table(
        "postings",
        records=[(file_id, term, positions, counts) for term, (positions, counts) in postings.items()],
        columns=["file_id", "term", "positions", "frequencies"],
    )


async def without_vector(session: AsyncSession, file_id: UUID, limit: int) -> list[tuple[UUID, int, str]]:
    """Return passages that still wait for their vector: id, position, text to embed."""
    query = (
        select(Passage.id, Passage.position, func.coalesce(Passage.searched, Passage.text).label("searched"))
        .where(Passage.file_id == file_id, Passage.vector.is_(None))
        .order_by(Passage.position)
        .limit(limit)
    )
    return [(row.id, row.position, row.searched) for row in await session.execute(query)]


async def count_without_vector(session: AsyncSession, file_id: UUID) -> int:
    """Return how many passages of a file still wait for their vector."""
    query = select(func.count()).where(Passage.file_id == file_id, Passage.vector.is_(None))
    return int(await session.scalar(query) or 0)


async def set_vectors(session: AsyncSession, vectors: Mapping[UUID, bytes]) -> None:
    """Keep the vectors of passages; a passage that was deleted meanwhile is passed over."""
    await session.execute(
        text(
            "UPDATE passages SET vector = new.vector"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:vectors AS bytea[])) AS new (id, vector)"
            " WHERE passages.id = new.id"
        ),
        {"ids": list(vectors), "vectors": list(vectors.values())},
    )


async def vectors_after(
    session: AsyncSession, file_id: UUID, position: int, limit: int
) -> list[tuple[UUID, int, bytes]]:
    """Return passages of a file that have a vector, beyond `position`: id, position, vector."""
    query = (
        select(Passage.id, Passage.position, Passage.vector)
        .where(Passage.file_id == file_id, Passage.position > position, Passage.vector.is_not(None))
        .order_by(Passage.position)
        .limit(limit)
    )
    return [(row.id, row.position, row.vector) for row in await session.execute(query)]


async def unfinished(session: AsyncSession, older_than: float) -> list[tuple[UUID, str]]:
    """Return files that wait for a worker since some seconds, and the stage that they are in."""
    query = select(File.id, File.stage).where(
        or_(File.status == "pending", File.status == "processing"),
        File.updated_at < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, older_than),
    )
    return [(row.id, row.stage) for row in await session.execute(query)]


async def any_unfinished(session: AsyncSession) -> bool:
    """Whether any file is waiting or being worked on."""
    query = select(File.id).where(or_(File.status == "pending", File.status == "processing")).limit(1)
    return await session.scalar(query) is not None


async def all_files(session: AsyncSession, after: UUID | None, limit: int) -> list[File]:
    """Return searchable files of all owners by id, for rebuilding the index."""
    query = select(File).where(File.searchable).order_by(File.id).limit(limit)
    if after is not None:
        query = query.where(File.id > after)
    return list((await session.execute(query)).scalars())


async def vector_counts(session: AsyncSession) -> tuple[int, int]:
    """Return how many passages there are in searchable files, and how many of them have a vector."""
    # Each file keeps its own count, in the transaction that writes the vectors: nobody has to walk all passages.
    sums = (func.coalesce(func.sum(column), 0) for column in (File.chunks_total, File.chunks_indexed))
    row = (await session.execute(select(*sums).where(File.searchable))).one()
    return int(row[0]), int(row[1])


async def without_vectors(session: AsyncSession) -> list[UUID]:
    """Return finished files that have passages without a vector."""
    query = select(File.id).where(
        File.searchable, File.chunks_indexed < File.chunks_total, File.status.in_(("completed", "partial_success"))
    )
    return list((await session.execute(query)).scalars())


async def forget_vectors(session: AsyncSession, keep_model: str) -> int:
    """Drop the vectors of other embedding models; return how many files have to be embedded anew."""
    stale = select(File.id).where(File.embedding_model != keep_model)
    await session.execute(update(Passage).where(Passage.file_id.in_(stale)).values(vector=None))
    changed = await session.execute(
        update(File)
        .where(File.embedding_model != keep_model)
        .values(embedding_model=keep_model, chunks_indexed=0)
        .returning(File.id)
    )
    return len(changed.all())


async def other_models(session: AsyncSession, model: str) -> int:
    """Return how many files were embedded by another model than this one."""
    query = select(func.count()).where(File.searchable, File.embedding_model != model)
    return int(await session.scalar(query) or 0)


async def texts_of(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> dict[UUID, str | None] | None:
    """Return the texts of those of these files that are the user's; None while one of them is still being read."""
    query = select(File.id, File.text, File.status).where(File.id.in_(file_ids), File.user_id == user_id)
    rows = (await session.execute(query)).all()
    if any(row.status in ("pending", "processing") for row in rows):
        return None
    return {row.id: row.text for row in rows}


async def of_ids(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> Sequence[File]:
    """Return those of these files that are the user's."""
    query = select(File).where(File.id.in_(file_ids), File.user_id == user_id)
    return (await session.execute(query)).scalars().all()
