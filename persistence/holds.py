"""Legal holds: of a person or a conversation that is held, nothing can be deleted until the hold is released.

Triggers in Postgres refuse it, so no door is forgotten: what they refuse is raised as `LegalHold`. The functions here
let queries leave out what is held, and tell callers before anything else is stopped or removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict, LegalHold, NotFound
from persistence.leftovers import lock_exclusively
from persistence.tables import Conversation, File, User
from persistence.tables import LegalHold as Hold


def is_held_conversation(conversation: Any = Conversation) -> ColumnElement[bool]:
    """Return whether a conversation, or its owner, is held."""
    held: ColumnElement[bool] = func.held_conversation(conversation.id, conversation.user_id)
    return held


def is_held_file(file: Any = File) -> ColumnElement[bool]:
    """Return whether a file is held: with its owner, or with a conversation that it is attached to or that names it.

    For queries: all that are held are found once, however many files are asked about. Triggers use `held_file`.
    """
    held: ColumnElement[bool] = file.id.in_(select(func.held_files()))
    return held


async def check_conversation(session: AsyncSession, conversation_id: UUID) -> None:
    """Raise LegalHold where a conversation is held."""
    await _refuse(session, select(Conversation.id).where(Conversation.id == conversation_id, is_held_conversation()))


async def check_files(session: AsyncSession, file_ids: Sequence[UUID]) -> None:
    """Raise LegalHold where one of these files is held."""
    await _refuse(session, select(File.id).where(File.id.in_(file_ids), is_held_file()))


async def check_user(session: AsyncSession, user_id: UUID) -> None:
    """Raise LegalHold where a person is held."""
    await _refuse(session, select(Hold.id).where(Hold.user_id == user_id))


async def check_all_of_user(session: AsyncSession, user_id: UUID) -> None:
    """Raise LegalHold where a person, or anything that is theirs, is held."""
    await check_user(session, user_id)
    await _refuse(session, select(Conversation.id).where(Conversation.user_id == user_id, is_held_conversation()))
    await _refuse(session, select(File.id).where(File.user_id == user_id, is_held_file()))


async def _refuse(session: AsyncSession, held: Any) -> None:
    if await session.scalar(held.limit(1)) is not None:
        raise LegalHold


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold, with the names of whom it is on (of a conversation: its owner's) and of who placed it."""

    hold: Hold
    name: str | None
    placed_by: str | None


async def list_all(session: AsyncSession) -> Sequence[HoldView]:
    """Return all holds, newest first. For administrators."""
    placer = User.__table__.alias("placer")
    owner = func.coalesce(Hold.user_id, Conversation.user_id)
    query = (
        select(Hold, User.username, placer.c.username)
        .outerjoin(Conversation, Conversation.id == Hold.conversation_id)
        .outerjoin(User, User.id == owner)
        .outerjoin(placer, placer.c.id == Hold.created_by)
        .order_by(Hold.id.desc())
    )
    return [HoldView(hold, name, placed_by) for hold, name, placed_by in await session.execute(query)]


async def place(
    session: AsyncSession, admin_id: UUID, *, user_id: UUID | None, conversation_id: UUID | None, reason: str
) -> Hold:
    """Hold a person or a conversation. Raises NotFound, and Conflict where it is held already. For administrators."""
    subject: Any = User if user_id is not None else Conversation
    wanted = user_id or conversation_id
    await lock_exclusively(session, "legal holds")
    # Locked against deletions that are on their way: either they see the hold, or they are done before it is placed.
    there = select(subject.id).where(subject.id == wanted).with_for_update(read=True, key_share=True)
    if await session.scalar(there) is None:
        raise NotFound
    if user_id is not None:
        for kind in (Conversation, File):
            rows = select(kind.id).where(kind.user_id == user_id).with_for_update(read=True, key_share=True)
            await session.execute(rows)
    column = Hold.user_id if user_id is not None else Hold.conversation_id
    if await session.scalar(select(Hold.id).where(column == wanted)) is not None:
        raise Conflict.because("held_already", "This is held already.")
    row = Hold(user_id=user_id, conversation_id=conversation_id, reason=reason, created_by=admin_id)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def release(session: AsyncSession, hold_id: UUID) -> tuple[str, UUID]:
    """Release a hold; return what it was on, and its id. Raises NotFound. For administrators."""
    gone = delete(Hold).where(Hold.id == hold_id).returning(Hold.user_id, Hold.conversation_id)
    row = (await session.execute(gone)).one_or_none()
    if row is None:
        raise NotFound
    return ("user", row.user_id) if row.user_id is not None else ("conversation", row.conversation_id)
