"""Invitations: links by which people make accounts, until they expire or are used up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict, NotFound
from persistence.changes import change_or_not_found
from persistence.secret_tokens import hash_of, new_token
from persistence.tables import Group, GroupMember, Invitation

MOST: Final = 1_000


async def create(
    session: AsyncSession, by: UUID, *, note: str | None, group_ids: Sequence[UUID], uses: int, expires_at: datetime
) -> tuple[Invitation, str]:
    """Make an invitation; return it, and its link's token.

    Raises NotFound for a group, Conflict where there are very many.
    """
    wanted = list(dict.fromkeys(group_ids))
    known = await session.scalar(select(func.count()).select_from(Group).where(Group.id.in_(wanted)))
    if int(known or 0) < len(wanted):
        raise NotFound("There is no such group.")
    if int(await session.scalar(select(func.count()).select_from(Invitation)) or 0) >= MOST:
        raise Conflict.because("too_many_invitations", f"There are {MOST} invitations; delete some.", limit=MOST)
    token = new_token()
    row = Invitation(
        token_hash=hash_of(token), created_by=by, note=note, group_ids=wanted, uses_left=uses, expires_at=expires_at
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row, token


async def list_all(session: AsyncSession) -> Sequence[Invitation]:
    """Return all invitations, newest first; those that are used up or have expired are among them."""
    return (await session.execute(select(Invitation).order_by(Invitation.id.desc()))).scalars().all()


async def remove(session: AsyncSession, invitation_id: UUID) -> None:
    """Withdraw an invitation. Raises NotFound."""
    await change_or_not_found(session, delete(Invitation).where(Invitation.id == invitation_id))


async def is_good(session: AsyncSession, token: str) -> bool:
    """Whether a link still makes an account."""
    return await session.scalar(select(Invitation.id).where(*_good(token))) is not None


async def spend(session: AsyncSession, token: str) -> Invitation:
    """Use an invitation once. Raises NotFound where it is unknown, used up or has expired."""
    query = update(Invitation).where(*_good(token)).values(uses_left=Invitation.uses_left - 1).returning(Invitation)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound.because("invitation_over", "This invitation has expired or was used already; ask for a new one.")
    return row


async def welcome(session: AsyncSession, user_id: UUID, invitation: Invitation) -> None:
    """Take somebody into the invitation's groups, those that are still there."""
    there = select(Group.id).where(Group.id.in_(invitation.group_ids))
    rows = [{"group_id": group_id, "user_id": user_id} for group_id in (await session.execute(there)).scalars()]
    if rows:
        await session.execute(insert(GroupMember).values(rows).on_conflict_do_nothing())


def _good(token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Invitation.token_hash == hash_of(token),
        Invitation.uses_left > 0,
        Invitation.expires_at > func.clock_timestamp(),
    )
