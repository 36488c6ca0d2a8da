"""What a person has said once for all: instructions, what is remembered of them, and how a project is to be treated.

A turn reads it with the statement that writes its question, so it costs no way to the database of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict
from persistence.changes import change_or_not_found
from persistence.tables import Memory, Profile, User

MAX_MEMORIES: Final = 100


@dataclass(frozen=True, slots=True)
class Personal:
    """What every prompt of a turn says besides its conversation; `memories` newest first."""

    instructions: str | None = None
    project_instructions: str | None = None
    memories: Sequence[str] = ()

    @classmethod
    def of(cls, row: Any) -> "Personal":
        """Return what the columns of `personal_columns` hold."""
        return cls(row["instructions"], row["project_instructions"], row["memories"] or ())


NOTHING_SAID: Final = Personal()


def personal_columns(conversation: str, user: str) -> str:
    """Return SQL for the columns that `Personal.of` reads; both names are SQL of our own.

    A temporary conversation uses no memory.
    """
    return f"""
        (SELECT f.instructions FROM profiles f WHERE f.user_id = {user}) AS instructions,
        (SELECT p.instructions FROM projects p WHERE p.id = {conversation}.project_id AND p.user_id = {user})
            AS project_instructions,
        CASE WHEN NOT {conversation}.temporary THEN ARRAY(
            SELECT m.text FROM memories m
            WHERE m.user_id = {user}
              AND NOT EXISTS (SELECT FROM profiles f WHERE f.user_id = {user} AND NOT f.use_memory)
            ORDER BY m.id DESC LIMIT {MAX_MEMORIES}
        ) END AS memories
    """  # noqa: S608  (parts of our own)


async def profile(session: AsyncSession, user_id: UUID) -> Profile:
    """Return a person's profile; who never saved one has the empty one."""
    found = await session.get(Profile, user_id)
    return found or Profile(user_id=user_id, instructions=None, use_memory=True)


async def save_profile(session: AsyncSession, user_id: UUID, values: dict[str, Any]) -> Profile:
    """Change what is in `values` of a person's profile."""
    await session.execute(upsert(Profile).values(user_id=user_id).on_conflict_do_nothing())
    row = await session.get_one(Profile, user_id, with_for_update=True)
    for key, value in values.items():
        setattr(row, key, value)
    await session.flush()
    return row


async def memories(session: AsyncSession, user_id: UUID) -> Sequence[Memory]:
    """Return what is remembered of a person, newest first."""
    query = select(Memory).where(Memory.user_id == user_id).order_by(Memory.id.desc())
    return (await session.execute(query)).scalars().all()


async def remember(session: AsyncSession, user_id: UUID, text: str) -> Memory:
    """Remember a sentence; one that is known already is not kept twice. Raises Conflict where there are very many."""
    # Two at once would both be the hundredth.
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    same = select(Memory).where(Memory.user_id == user_id, func.lower(Memory.text) == text.lower())
    if (known := (await session.execute(same.limit(1))).scalar_one_or_none()) is not None:
        return known
    count = await session.scalar(select(func.count()).where(Memory.user_id == user_id))
    if int(count or 0) >= MAX_MEMORIES:
        raise Conflict.because(
            "too_many_memories",
            f"{MAX_MEMORIES} things are remembered already; delete one that is not needed.",
            limit=MAX_MEMORIES,
        )
    row = Memory(user_id=user_id, text=text)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def forget(session: AsyncSession, user_id: UUID, memory_id: UUID) -> None:
    """Forget one thing. Raises NotFound."""
    await change_or_not_found(session, delete(Memory).where(Memory.id == memory_id, Memory.user_id == user_id))


async def forget_all(session: AsyncSession, user_id: UUID) -> None:
    """Forget everything that is remembered of a person."""
    await session.execute(delete(Memory).where(Memory.user_id == user_id))
