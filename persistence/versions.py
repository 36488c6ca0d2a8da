"""Versions of files: a new one takes the place of an old one at the moment when it can be searched, not before.

A picture without text, which nothing is searched in, does so when it is read.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Uuid, cast, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound, ValidationFailed
from persistence import files, holds, owned
from persistence.access import editable_libraries
from persistence.files import Removed
from persistence.tables import ConversationFile, File, LibraryFile

_OFFERED = 10


async def same_name(session: AsyncSession, user_id: UUID, file: File, conversation_id: UUID | None) -> Sequence[File]:
    """Return the user's other files of this name with other bytes in the same place, newest first.

    The place is a conversation, or the library.
    """
    links = select(ConversationFile.file_id).where(ConversationFile.file_id == File.id)
    here = links.where(ConversationFile.conversation_id == conversation_id).exists()
    query = (
        select(File)
        .where(File.user_id == user_id, File.name == file.name, File.sha256 != file.sha256, File.id != file.id)
        .where(here if conversation_id is not None else File.in_library)
        .order_by(File.id.desc())
        .limit(_OFFERED)
    )
    return (await session.execute(query)).scalars().all()


async def replace(session: AsyncSession, user_id: UUID, *, new: UUID, old: UUID) -> Removed | None:
    """Let `new` take the place of `old` as soon as it can be searched; return what is to be cleaned up, if it can now.

    Raises NotFound where one of them is not the user's, ValidationFailed where they are one, LegalHold where `old` is
    held.
    """
    if new == old:
        message = "A file can't replace itself."
        raise ValidationFailed(details=[{"loc": ["body", "file_id"], "msg": message, "type": "same_file"}])
    # Locked against the worker that publishes it, and in its order: either it sees the wish, or we see that it is
    # ready.
    owned = select(or_(File.searchable, File.status == "completed")).where(File.user_id == user_id)
    ready = await session.scalar(owned.where(File.id == new).with_for_update())
    other = await session.scalar(owned.where(File.id == old).with_for_update(read=True, key_share=True))
    if ready is None or other is None:
        raise NotFound
    await holds.check_files(session, [old])
    # The newer wish counts: two files can't wait for each other.
    await session.execute(update(File).where(File.id == old, File.replaces_id == new).values(replaces_id=None))
    await session.execute(update(File).where(File.id == new).values(replaces_id=old))
    return await retire(session, new) if ready else None


async def retire(session: AsyncSession, file_id: UUID) -> Removed | None:
    """Delete what a file replaces, and what that was to replace; it takes their place in conversations, projects,
    assistants and libraries.

    For the transaction that makes the file ready: searches find either the old or the new one. Where the old one
    is held meanwhile, both stay.
    """
    ids: list[UUID] = []
    in_library = False
    owner, older = (await session.execute(select(File.user_id, File.replaces_id).where(File.id == file_id))).one()
    while older is not None and older not in (*ids, file_id):
        # From new to old, as every version locks that is published: so they wait for each other in one direction.
        query = (
            select(File.replaces_id, File.in_library)
            .where(File.id == older, File.user_id == owner, ~holds.is_held_file())
            .with_for_update()
        )
        row = (await session.execute(query)).one_or_none()
        if row is None:
            break
        ids.append(older)
        in_library |= row.in_library
        older = row.replaces_id
    if not ids:
        return None
    if in_library:
        # The new one is to be found there too, and no conversation's end may take it along.
        await session.execute(update(File).where(File.id == file_id).values(in_library=True))
    place = ConversationFile.conversation_id
    links = (
        select(place, cast(file_id, Uuid), ConversationFile.message_id)
        .where(ConversationFile.file_id.in_(ids))
        .distinct(place)
        .order_by(place, ConversationFile.message_id)
    )
    columns = ["conversation_id", "file_id", "message_id"]
    await session.execute(upsert(ConversationFile).from_select(columns, links).on_conflict_do_nothing())
    for table, user in (*owned.LINKS.values(), (LibraryFile, LibraryFile.library_id)):
        used = select(user, cast(file_id, Uuid)).where(table.file_id.in_(ids)).distinct()
        if table is LibraryFile:  # who may not edit a library any more puts nothing new into it
            used = used.where(LibraryFile.library_id.in_(editable_libraries(owner)))
        into = upsert(table).from_select([user.key, "file_id"], used)
        await session.execute(into.on_conflict_do_nothing())
    return await files.remove(session, owner, ids)
