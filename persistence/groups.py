"""Groups of people. Administrators make them, their managers say who is in them, or a sign-in provider does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict, Forbidden, NotFound
from persistence.changes import change_or_not_found
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import Group, GroupMember, User

GroupRole = Literal["member", "manager"]


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group as somebody sees it: how many are in it, and their own role, None where they are not."""

    group: Group
    members: int
    role: str | None


@dataclass(frozen=True, slots=True)
class GroupMemberView:
    """A member with their name."""

    member: GroupMember
    username: str
    email: str


async def list_groups(session: AsyncSession, user_id: UUID) -> Sequence[GroupView]:
    """Return all groups by name: everybody may share with each, only their own people see who is in them."""
    query = select(Group).order_by(func.lower(Group.name))
    return await _views(session, user_id, list((await session.execute(query)).scalars()))


async def get(session: AsyncSession, user_id: UUID, group_id: UUID) -> GroupView:
    """Return a group. Raises NotFound."""
    row = await session.get(Group, group_id)
    if row is None:
        raise NotFound
    return (await _views(session, user_id, [row]))[0]


async def _views(session: AsyncSession, user_id: UUID, rows: Sequence[Group]) -> list[GroupView]:
    ids = [row.id for row in rows]
    counts = select(GroupMember.group_id, func.count().label("size")).where(GroupMember.group_id.in_(ids))
    sizes = {row.group_id: row.size for row in await session.execute(counts.group_by(GroupMember.group_id))}
    own = select(GroupMember.group_id, GroupMember.role).where(GroupMember.user_id == user_id)
    roles = {row.group_id: row.role for row in await session.execute(own)}
    return [GroupView(row, sizes.get(row.id, 0), roles.get(row.id)) for row in rows]


async def create(session: AsyncSession, user_id: UUID, values: Mapping[str, Any]) -> GroupView:
    """Make a group. Raises Conflict where the name is taken. The caller has checked that an administrator asks."""
    row = Group(**values)
    session.add(row)
    await _flush(session)
    await session.refresh(row)
    return await get(session, user_id, row.id)


async def change(session: AsyncSession, user_id: UUID, group_id: UUID, values: Mapping[str, Any]) -> GroupView:
    """Change a group. Raises NotFound, and Conflict where the name is taken. For administrators.

    Who was in it by another word of a provider is not any more, until they sign in with the new one.
    """
    row = (await get(session, user_id, group_id)).group
    before = (row.provider, row.claim)
    for name, value in values.items():
        setattr(row, name, value)
    await _flush(session)
    if (row.provider, row.claim) != before:
        ruled = delete(GroupMember).where(GroupMember.group_id == group_id, GroupMember.via.is_not(None))
        await session.execute(ruled)
    return await get(session, user_id, group_id)


async def _flush(session: AsyncSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_groups_name_lower" in str(error.orig):
            raise Conflict.because("group_taken", "There is a group of this name already.") from None
        raise


async def remove(session: AsyncSession, group_id: UUID) -> None:
    """Delete a group; its members lose what they had through it. Raises NotFound. For administrators."""
    await change_or_not_found(session, delete(Group).where(Group.id == group_id))


async def check_member(session: AsyncSession, user_id: UUID, group_id: UUID, *, manages: bool) -> None:
    """Raise NotFound unless this person is in the group, Forbidden where they do not manage it and have to."""
    mine = select(GroupMember.role).where(GroupMember.group_id == group_id, GroupMember.user_id == user_id)
    role = await session.scalar(mine)
    if role is None:
        raise NotFound
    if manages and role != "manager":
        raise Forbidden("Only managers of this group may do this.")


async def list_members(
    session: AsyncSession, group_id: UUID, *, limit: int, cursor: str | None
) -> tuple[list[GroupMemberView], str | None]:
    """Return a group's members, in the order of their accounts. The caller has checked who asks."""
    query = (
        select(GroupMember, User.username, User.email)
        .join(User, User.id == GroupMember.user_id)
        .where(GroupMember.group_id == group_id)
        .order_by(GroupMember.user_id)
    )
    if cursor:
        query = query.where(GroupMember.user_id > decode_cursor(cursor, (UUID,))[0])
    rows = [GroupMemberView(*row) for row in await session.execute(query.limit(limit + 1))]
    following = encode_cursor(rows[limit - 1].member.user_id) if len(rows) > limit else None
    return rows[:limit], following


async def set_member(session: AsyncSession, group_id: UUID, user_id: UUID, role: GroupRole) -> None:
    """Take a person into a group, or give them another role. Raises NotFound. The caller has checked who asks."""
    there = exists().where(Group.id == group_id), exists().where(User.id == user_id)
    if not await session.scalar(select(there[0] & there[1])):
        raise NotFound
    row = upsert(GroupMember).values(group_id=group_id, user_id=user_id, role=role)
    await session.execute(row.on_conflict_do_update(index_elements=["group_id", "user_id"], set_={"role": role}))


async def remove_member(session: AsyncSession, group_id: UUID, user_id: UUID) -> None:
    """Take a person out of a group. Raises NotFound. The caller has checked who asks."""
    await change_or_not_found(
        session, delete(GroupMember).where(GroupMember.group_id == group_id, GroupMember.user_id == user_id)
    )


async def follow_provider(
    session: AsyncSession, user_id: UUID, provider: str, claims: Collection[str]
) -> tuple[list[UUID], list[UUID]]:
    """Make a person a member of the groups that their sign-in provider names, and of no other that it rules.

    Return the groups that they have come into, and those that they have left.
    """
    named = select(Group.id).where(Group.provider == provider, Group.claim.in_(list(claims)))
    ids = list((await session.execute(named)).scalars())
    out = delete(GroupMember).where(GroupMember.user_id == user_id, GroupMember.via == provider)
    gone = await session.execute(out.where(GroupMember.group_id.not_in(ids)).returning(GroupMember.group_id))
    left = list(gone.scalars())
    if not ids:
        return [], left
    rows = [{"group_id": id_, "user_id": user_id, "via": provider} for id_ in ids]
    new = upsert(GroupMember).values(rows).on_conflict_do_nothing().returning(GroupMember.group_id)
    return list((await session.execute(new)).scalars()), left


async def find_person(session: AsyncSession, name: str) -> User:
    """Return the account with exactly this name or e-mail address: nobody is listed here. Raises NotFound."""
    wanted = name.strip().lower()
    query = select(User).where(or_(func.lower(User.username) == wanted, func.lower(User.email) == wanted))
    row = (await session.execute(query.limit(1))).scalar_one_or_none()
    if row is None or not row.is_active:
        raise NotFound.because("nobody", "Nobody has this name or address here.")
    return row
