"""Files and their passages: read by whoever may (`access.readable`), changed by their owner.

Workers, who act for the owner, name the file alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound
from persistence import leftovers
from persistence.access import readable, visible_libraries
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import Conversation, ConversationFile, File, LibraryFile, Passage, Posting, User

VIEWABLE: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""Media types of pictures that models are shown and the page draws."""


@dataclass(frozen=True, slots=True)
class FileView:
    """A file as somebody sees it: which of their conversations and libraries it is in, and whose it is."""

    file: File
    conversation_ids: list[UUID]
    library_ids: list[UUID]
    owner: str
    is_owner: bool


async def _views(session: AsyncSession, user_id: UUID, rows: Sequence[File]) -> list[FileView]:
    ids = [row.id for row in rows]
    attached: dict[UUID, list[UUID]] = {id_: [] for id_ in ids}
    links = (
        select(ConversationFile.file_id, Conversation.id)
        .join(Conversation, Conversation.id == ConversationFile.conversation_id)
        .where(ConversationFile.file_id.in_(ids), Conversation.user_id == user_id)
    )
    for file_id, conversation_id in await session.execute(links):
        attached[file_id].append(conversation_id)
    shelved: dict[UUID, list[UUID]] = {id_: [] for id_ in ids}
    shelves = select(LibraryFile.file_id, LibraryFile.library_id).where(
        LibraryFile.file_id.in_(ids), LibraryFile.library_id.in_(visible_libraries(user_id))
    )
    for file_id, library_id in await session.execute(shelves):
        shelved[file_id].append(library_id)
    names = select(User.id, User.username).where(User.id.in_({row.user_id for row in rows}))
    owners: dict[UUID, str] = {row.id: row.username for row in await session.execute(names)}
    return [
        FileView(row, attached[row.id], shelved[row.id], owners[row.user_id], row.user_id == user_id) for row in rows
    ]


async def get(session: AsyncSession, user_id: UUID, file_id: UUID) -> FileView:
    """Return a file that the user may read. Raises NotFound."""
    query = select(File).where(File.id == file_id, readable(user_id))
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound
    return (await _views(session, user_id, [row]))[0]


async def get_own(session: AsyncSession, user_id: UUID, file_id: UUID) -> FileView:
    """Return a file of the user's own, which they may change. Raises NotFound."""
    found = await get(session, user_id, file_id)
    if not found.is_owner:
        raise NotFound
    return found


async def list_page(
    session: AsyncSession,
    user_id: UUID,
    *,
    limit: int,
    cursor: str | None,
    conversation_id: UUID | None,
    library_id: UUID | None = None,
    status: str | None,
    unasked: bool = False,
) -> tuple[list[FileView], str | None]:
    """Return the user's own files, or those of a conversation or a library, newest first; the cursor of the next page.

    With `unasked`, only those of the conversation that no question has been asked with.
    """
    query = select(File)
    if library_id is not None:
        seen = LibraryFile.library_id.in_(visible_libraries(user_id))
        query = query.join(LibraryFile).where(LibraryFile.library_id == library_id, seen)
    elif conversation_id is None:
        query = query.where(File.user_id == user_id)
    if conversation_id is not None:
        query = query.join(ConversationFile).where(
            ConversationFile.conversation_id == conversation_id, readable(user_id)
        )
        if unasked:
            query = query.where(ConversationFile.message_id.is_(None))
    if status is not None:
        query = query.where(File.status == status)
    if cursor:
        query = query.where(File.id < decode_cursor(cursor, (UUID,))[0])
    rows = list((await session.execute(query.order_by(File.id.desc()).limit(limit + 1))).scalars())
    following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return await _views(session, user_id, rows[:limit]), following


async def same(session: AsyncSession, user_id: UUID, sha256: str, name: str) -> FileView | None:
    """Return the user's file with the same bytes, if there is one; the same name is preferred."""
    query = (
        select(File)
        .where(File.user_id == user_id, File.sha256 == sha256)
        .order_by((File.name == name).desc(), File.id)
        .limit(1)
    )
    row = (await session.execute(query)).scalar_one_or_none()
    return (await _views(session, user_id, [row]))[0] if row is not None else None


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
    """Put a file that the user may read at hand in a conversation of theirs. Raises NotFound."""
    await get(session, user_id, file_id)
    await _check_conversation(session, user_id, conversation_id)
    await session.execute(
        upsert(ConversationFile).values(conversation_id=conversation_id, file_id=file_id).on_conflict_do_nothing()
    )


async def detach(session: AsyncSession, user_id: UUID, file_id: UUID, conversation_id: UUID) -> FileView:
    """Take a file out of a conversation of the user's; return it.

    Out of the last one, an own file goes to the library. Raises NotFound.
    """
    await get(session, user_id, file_id)
    await _check_conversation(session, user_id, conversation_id)
    await session.execute(
        delete(ConversationFile).where(
            ConversationFile.file_id == file_id, ConversationFile.conversation_id == conversation_id
        )
    )
    await keep_homeless(session, [file_id])
    return await get(session, user_id, file_id)


async def _check_conversation(session: AsyncSession, user_id: UUID, conversation_id: UUID) -> None:
    own = select(Conversation.id).where(Conversation.id == conversation_id, Conversation.user_id == user_id)
    if await session.scalar(own) is None:
        raise NotFound


async def keep_homeless(session: AsyncSession, file_ids: Sequence[UUID]) -> None:
    """Put those of these files that no conversation of their owner's and no library holds into their own library."""
    left = update(File).where(File.id.in_(file_ids), ~_in_conversation(), ~_in_shared_library())
    await session.execute(left.values(in_library=True))


def _in_conversation(*but_not: UUID) -> ColumnElement[bool]:
    """Return whether a file is in a conversation of its owner; in another's it does not outlive its library."""
    return (
        select(ConversationFile.file_id)
        .join(Conversation, Conversation.id == ConversationFile.conversation_id)
        .where(
            ConversationFile.file_id == File.id,
            Conversation.user_id == File.user_id,
            Conversation.id.not_in(but_not),
        )
        .correlate(File)
        .exists()
    )


def _in_shared_library() -> ColumnElement[bool]:
    return select(LibraryFile.file_id).where(LibraryFile.file_id == File.id).correlate(File).exists()


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
    """Return the files that belong to this conversation alone: not to a library, nor to another one."""
    here = select(ConversationFile.file_id).where(ConversationFile.conversation_id == conversation_id)
    query = select(File.id).where(
        File.id.in_(here),
        File.user_id == user_id,
        File.in_library.is_(False),
        ~_in_conversation(conversation_id),
        ~_in_shared_library(),
    )
    return list((await session.execute(query)).scalars())


async def text_of(session: AsyncSession, user_id: UUID, file_id: UUID) -> tuple[str, list[dict[str, Any]]]:
    """Return the extracted text and its marks (pages, headings). Raises NotFound also where nothing is extracted."""
    query = select(File.text, File.blocks).where(File.id == file_id, readable(user_id))
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


async def note(session: AsyncSession, file_id: UUID, *, of_model: str | None = None, **values: Any) -> bool:
    """Write down how far a file is; return False where it has been deleted meanwhile.

    With `of_model`, also where its vectors are to be another embedding model's.
    """
    change = update(File).where(File.id == file_id)
    if of_model is not None:
        change = change.where(File.embedding_model == of_model)
    changed = await session.execute(change.values(**values, updated_at=func.clock_timestamp()).returning(File.id))
    return changed.first() is not None


async def note_failure(session: AsyncSession, file_id: UUID, error: Mapping[str, str]) -> None:
    """End a file that could not be read. One that was read before stays searchable as it was, with the error."""
    status = case((File.searchable, "partial_success"), else_="failed")
    await note(session, file_id, status=status, stage="finalized", error=error)


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
            "passages", records=(tuple(row[name] for name in columns) for row in rows), columns=columns
        )
    await connection.copy_records_to_table(
        "postings",
        records=((file_id, term, positions, counts) for term, (positions, counts) in postings.items()),
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


async def without_vectors(session: AsyncSession, model: str) -> list[UUID]:
    """Return finished files of an embedding model that have passages without a vector."""
    query = select(File.id).where(
        File.searchable,
        File.embedding_model == model,
        File.chunks_indexed < File.chunks_total,
        File.status.in_(("completed", "partial_success")),
    )
    return list((await session.execute(query)).scalars())


async def forget_vectors(session: AsyncSession, keep_model: str, length: int | None) -> int:
    """Drop the vectors of other embedding models; return how many files have to be embedded anew.

    A vector of another `length` than the model's is another's too, whatever its file says.
    """
    others = File.embedding_model != keep_model
    if length is not None:
        others |= File.id.in_(select(Passage.file_id).where(func.octet_length(Passage.vector) != 4 * length))
    changed = await session.execute(
        update(File).where(others).values(embedding_model=keep_model, chunks_indexed=0).returning(File.id)
    )
    # Behind the files, as a deletion locks them.
    stale = list(changed.scalars())
    await session.execute(update(Passage).where(Passage.file_id.in_(stale)).values(vector=None))
    return len(stale)


async def other_models(session: AsyncSession, model: str) -> int:
    """Return how many files were embedded by another model than this one."""
    query = select(func.count()).where(File.searchable, File.embedding_model != model)
    return int(await session.scalar(query) or 0)


async def texts_of(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> dict[UUID, str | None] | None:
    """Return the texts of those of these files that the user may read; None while one of them is still being read."""
    query = select(File.id, File.text, File.status).where(File.id.in_(file_ids), readable(user_id))
    rows = (await session.execute(query)).all()
    if any(row.status in ("pending", "processing") for row in rows):
        return None
    return {row.id: row.text for row in rows}


async def of_ids(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> Sequence[File]:
    """Return those of these files that the user may read."""
    query = select(File).where(File.id.in_(file_ids), readable(user_id))
    return (await session.execute(query)).scalars().all()
