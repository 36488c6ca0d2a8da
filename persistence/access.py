"""Who may read a file: its owner, and whoever sees a library that it is in. One predicate for every door.

A library is seen by its members, who are people and groups. What is taken away is gone from the next query, since each
asks for the rights as they are at that moment.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CompoundSelect, Select, and_, any_, case, exists, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from llama_service.errors import NotFound
from persistence.tables import (
    Assistant,
    AssistantFile,
    Conversation,
    ConversationFile,
    File,
    GroupMember,
    LibraryFile,
    LibraryMember,
    Project,
    ProjectFile,
)

HAS_LIBRARIES: Final = """
    EXISTS (
        SELECT FROM library_members lm
        WHERE lm.user_id = {user} OR lm.group_id IN (SELECT group_id FROM group_members gm WHERE gm.user_id = {user})
    )
"""
"""SQL for whether a person sees any library; `{user}` is SQL of our own for their id."""


def groups_of(user_id: UUID) -> Select[Any]:
    """Return the ids of a person's groups."""
    return select(GroupMember.group_id).where(GroupMember.user_id == user_id)


def is_member(user_id: UUID) -> ColumnElement[bool]:
    """Return whether a library's member (a row of `library_members`) is this person, or a group of theirs."""
    return or_(LibraryMember.user_id == user_id, LibraryMember.group_id.in_(groups_of(user_id)))


def visible_libraries(user_id: UUID) -> Select[Any]:
    """Return the ids of the libraries that a person may see now."""
    return select(LibraryMember.library_id).where(is_member(user_id))


def editable_libraries(user_id: UUID) -> Select[Any]:
    """Return the ids of the libraries that a person may change now."""
    return visible_libraries(user_id).where(LibraryMember.role == "editor")


def readable(user_id: UUID, file: Any = File) -> ColumnElement[bool]:
    """Return whether a person may read a file now; `file` is the table or an alias of it."""
    through = (
        exists()
        .where(LibraryFile.file_id == file.id, LibraryMember.library_id == LibraryFile.library_id, is_member(user_id))
        .correlate(file)
    )
    return or_(file.user_id == user_id, through)


def is_shared(user_id: UUID) -> Any:
    """Return whether a file is somebody else's, as the column `shared`."""
    return (File.user_id != user_id).label("shared")


async def readable_ids(session: AsyncSession, user_id: UUID, file_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of these files that a person may read now."""
    if not file_ids:
        return frozenset()
    query = select(File.id).where(File.id.in_(file_ids), readable(user_id))
    return frozenset((await session.execute(query)).scalars())


async def check_files(session: AsyncSession, user_id: UUID, file_ids: Collection[UUID]) -> None:
    """Raise NotFound unless a person may read each of these files now."""
    if len(await readable_ids(session, user_id, file_ids)) < len(set(file_ids)):
        raise NotFound


async def check_named(
    session: AsyncSession, user_id: UUID, file_ids: Collection[UUID] | None, library_ids: Collection[UUID] | None
) -> None:
    """Raise NotFound unless a person may search each of the files and libraries that they name."""
    await check_files(session, user_id, file_ids or ())
    await check_libraries(session, user_id, library_ids or ())


async def check_libraries(session: AsyncSession, user_id: UUID, library_ids: Collection[UUID]) -> None:
    """Raise NotFound unless a person may see each of these libraries now."""
    if len(await visible_ids(session, user_id, library_ids)) < len(set(library_ids)):
        raise NotFound


async def visible_ids(session: AsyncSession, user_id: UUID, library_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of these libraries that a person may see now."""
    if not library_ids:
        return frozenset()
    query = visible_libraries(user_id).where(LibraryMember.library_id.in_(library_ids))
    return frozenset((await session.execute(query)).scalars())


# What an assistant brings to a conversation counts as long as the conversation's owner may chat with it.
_HAS_ASSISTANT = and_(
    Assistant.id == Conversation.assistant_id, or_(Assistant.user_id == Conversation.user_id, Assistant.shared)
)


def at_hand(conversation_id: UUID) -> CompoundSelect[Any]:
    """Return the files that belong to a conversation: its own, its project's and its assistant's, whoever may read."""
    of_project = (
        select(ProjectFile.file_id)
        .join(Conversation, Conversation.project_id == ProjectFile.project_id)
        .where(Conversation.id == conversation_id)
    )
    of_assistant = (
        select(AssistantFile.file_id)
        .join(Assistant, Assistant.id == AssistantFile.assistant_id)
        .join(Conversation, _HAS_ASSISTANT)
        .where(Conversation.id == conversation_id)
    )
    attached = select(ConversationFile.file_id).where(ConversationFile.conversation_id == conversation_id)
    return union_all(attached, of_project, of_assistant)


def libraries_of(user_id: UUID, conversation_id: UUID) -> Select[Any]:
    """Return the libraries that a conversation of a person searches, as far as they see them now.

    Those that it names; where it names none itself, the person's default ones, its project's and its assistant's.
    """
    brought = or_(
        LibraryMember.is_default,
        LibraryMember.library_id == any_(Project.library_ids),
        LibraryMember.library_id == any_(Assistant.library_ids),
    )
    named = LibraryMember.library_id == any_(Conversation.library_ids)
    return (
        select(LibraryMember.library_id)
        .select_from(Conversation)
        .outerjoin(Project, Project.id == Conversation.project_id)
        .outerjoin(Assistant, _HAS_ASSISTANT)
        .join(LibraryMember, is_member(user_id))
        .where(Conversation.id == conversation_id, Conversation.user_id == user_id)
        .where(case((Conversation.library_ids.is_(None), brought), else_=named))
    )


def default_libraries(user_id: UUID) -> Select[Any]:
    """Return the libraries that are part of a person's every conversation."""
    return visible_libraries(user_id).where(LibraryMember.is_default)


def in_reach(
    user_id: UUID,
    conversation_id: UUID | None,
    file_ids: Sequence[UUID] | None,
    library_ids: Sequence[UUID] | None,
    *,
    own: bool,
) -> list[ColumnElement[bool]]:
    """Return conditions on files, any of which puts one into a search's reach; its user may read all of them now.

    Files and libraries that are named are searched alone. Else those at hand in the conversation with its libraries
    and, with `own`, the user's own; without a conversation all of the user's own and their default libraries.
    """
    # Apart, so that each can go by an index of its own: joined by OR they would read the files of everybody.
    if file_ids or library_ids:
        chosen = visible_libraries(user_id).where(LibraryMember.library_id.in_(library_ids or ()))
        named = and_(File.id.in_(file_ids or ()), readable(user_id))
        return [*([named] if file_ids else ()), *([_in_libraries(chosen)] if library_ids else ())]
    mine = File.user_id == user_id
    if conversation_id is None:
        return [mine, _in_libraries(default_libraries(user_id))]
    here = and_(File.id.in_(at_hand(conversation_id)), readable(user_id))
    shared = _in_libraries(libraries_of(user_id, conversation_id))
    return [here, shared, *([and_(mine, File.in_library)] if own else ())]


def _in_libraries(libraries: Select[Any]) -> ColumnElement[bool]:
    return File.id.in_(select(LibraryFile.file_id).where(LibraryFile.library_id.in_(libraries)))
