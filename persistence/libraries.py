"""Libraries: files that several people ask. Their viewers read, their editors change.

What a person may do is asked with each query, so that nothing outlives the right to it (see `access`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from llama_service.errors import Conflict, Forbidden, NotFound
from persistence import files
from persistence.access import is_member
from persistence.changes import change_or_not_found
from persistence.tables import File, Group, GroupMember, Library, LibraryFile, LibraryMember, User

LibraryRole = Literal["viewer", "editor"]
MOST_MEMBERS: Final = 1_000  # of one library; a group counts as one
_LAST_EDITOR = "A library needs somebody who may change it: make another member an editor first."


@dataclass(frozen=True, slots=True)
class LibraryView:
    """A library as one of its members sees it; `is_default` where all of their conversations search it."""

    library: Library
    role: str
    is_default: bool
    files: int
    members: int


@dataclass(frozen=True, slots=True)
class LibraryMemberView:
    """A member and their name: that of a person, or of a group."""

    member: LibraryMember
    name: str


async def list_libraries(session: AsyncSession, user_id: UUID) -> list[LibraryView]:
    """Return the libraries that a person sees, by name."""
    return await _views(session, user_id, None)


async def get(session: AsyncSession, user_id: UUID, library_id: UUID, *, edits: bool = False) -> LibraryView:
    """Return a library that a person sees. Raises NotFound, and Forbidden where they may not change it and have to."""
    found = await _views(session, user_id, Library.id == library_id)
    if not found:
        raise NotFound
    if edits and found[0].role != "editor":
        raise Forbidden("Only editors of this library may do this.")
    return found[0]


async def _views(session: AsyncSession, user_id: UUID, only: ColumnElement[bool] | None) -> list[LibraryView]:
    own = (
        select(
            LibraryMember.library_id,
            func.bool_or(LibraryMember.role == "editor").label("edits"),
            func.bool_or(LibraryMember.is_default).label("is_default"),
        )
        .where(is_member(user_id))
        .group_by(LibraryMember.library_id)
        .subquery()
    )
    count_files, count_members = _counts()
    query = (
        select(Library, own.c.edits, own.c.is_default, count_files, count_members)
        .join(own, own.c.library_id == Library.id)
        .order_by(func.lower(Library.name), Library.id)
    )
    if only is not None:
        query = query.where(only)
    return [
        LibraryView(row[0], "editor" if row.edits else "viewer", row.is_default, row[3], row[4])
        for row in await session.execute(query)
    ]


def _counts() -> tuple[Any, Any]:
    """Return subqueries for how many files and members a library has."""
    files_inside = select(func.count()).where(LibraryFile.library_id == Library.id).scalar_subquery()
    members = select(func.count()).where(LibraryMember.library_id == Library.id).scalar_subquery()
    return files_inside, members


async def create(session: AsyncSession, user_id: UUID, values: Mapping[str, Any]) -> LibraryView:
    """Make a library; who makes it is its first editor."""
    row = Library(**values)
    session.add(row)
    await session.flush()
    session.add(LibraryMember(library_id=row.id, user_id=user_id, role="editor"))
    await session.flush()
    return await get(session, user_id, row.id)


async def change(session: AsyncSession, user_id: UUID, library_id: UUID, values: Mapping[str, Any]) -> LibraryView:
    """Change a library's name or description. Raises NotFound, Forbidden."""
    row = (await get(session, user_id, library_id, edits=True)).library
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = func.clock_timestamp()
    await session.flush()
    await session.refresh(row)
    return await get(session, user_id, library_id)


async def remove(session: AsyncSession, user_id: UUID, library_id: UUID, *, is_admin: bool) -> None:
    """Delete a library; its files stay their owners'. Raises NotFound, Forbidden. An administrator may delete any."""
    if not is_admin:
        await get(session, user_id, library_id, edits=True)
    if not await _delete(session, library_id):
        raise NotFound


# --- files ----------------------------------------------------------------------------------------------------------


async def add_file(session: AsyncSession, user_id: UUID, library_id: UUID, file_id: UUID) -> None:
    """Put a file of the user's own into a library. Raises NotFound, Forbidden."""
    await get(session, user_id, library_id, edits=True)
    await files.get_own(session, user_id, file_id)
    await session.execute(upsert(LibraryFile).values(library_id=library_id, file_id=file_id).on_conflict_do_nothing())


async def remove_file(session: AsyncSession, user_id: UUID, library_id: UUID, file_id: UUID) -> None:
    """Take a file, whosever it is, out of a library. Raises NotFound, Forbidden."""
    await get(session, user_id, library_id, edits=True)
    await change_or_not_found(
        session, delete(LibraryFile).where(LibraryFile.library_id == library_id, LibraryFile.file_id == file_id)
    )
    await files.keep_homeless(session, [file_id])


# --- members --------------------------------------------------------------------------------------------------------


async def list_members(session: AsyncSession, user_id: UUID, library_id: UUID) -> list[LibraryMemberView]:
    """Return who may see a library, groups first. Raises NotFound."""
    await get(session, user_id, library_id)
    query = (
        select(LibraryMember, func.coalesce(Group.name, User.username))
        .outerjoin(Group, Group.id == LibraryMember.group_id)
        .outerjoin(User, User.id == LibraryMember.user_id)
        .where(LibraryMember.library_id == library_id)
        .order_by(LibraryMember.group_id.is_(None), LibraryMember.id)
    )
    return [LibraryMemberView(*row) for row in await session.execute(query)]


async def set_member(
    session: AsyncSession,
    user_id: UUID,
    library_id: UUID,
    *,
    person: UUID | None,
    group: UUID | None,
    role: LibraryRole,
    is_default: bool,
) -> LibraryMember:
    """Let a person or a group (one of both) see or change a library, or change how. Raises NotFound, Forbidden.

    Raises Conflict where nobody could change it any more, or where it has very many members.
    """
    await _lock(session, user_id, library_id)
    kind, member = (User, person) if person is not None else (Group, group)
    if await session.scalar(select(exists().where(kind.id == member))) is not True:
        raise NotFound
    values = {"role": role, "is_default": is_default}
    mine = LibraryMember.user_id == person if person is not None else LibraryMember.group_id == group
    query = select(LibraryMember).where(LibraryMember.library_id == library_id, mine)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        count = await session.scalar(select(func.count()).where(LibraryMember.library_id == library_id))
        if int(count or 0) >= MOST_MEMBERS:
            raise Conflict.because(
                "too_many_members",
                f"A library may have {MOST_MEMBERS} members; share it with a group instead.",
                limit=MOST_MEMBERS,
            )
        row = LibraryMember(library_id=library_id, user_id=person, group_id=group, **values)
        session.add(row)
    else:
        row.role, row.is_default = role, is_default
    await session.flush()
    await _check_editors(session, library_id)
    return row


async def remove_member(session: AsyncSession, user_id: UUID, library_id: UUID, member_id: UUID) -> None:
    """Take a library away from one of its members; anybody may leave it themselves.

    Raises NotFound, Forbidden, and Conflict where nobody could change it any more.
    """
    leaving = select(LibraryMember.id).where(
        LibraryMember.id == member_id, LibraryMember.library_id == library_id, LibraryMember.user_id == user_id
    )
    await _lock(session, user_id, library_id, edits=await session.scalar(leaving) is None)
    await change_or_not_found(
        session, delete(LibraryMember).where(LibraryMember.id == member_id, LibraryMember.library_id == library_id)
    )
    await _check_editors(session, library_id)


async def _lock(session: AsyncSession, user_id: UUID, library_id: UUID, *, edits: bool = True) -> None:
    """Let one change of the members follow the other: two editors could take the library from each other."""
    await session.execute(select(Library.id).where(Library.id == library_id).with_for_update())
    await get(session, user_id, library_id, edits=edits)


async def _check_editors(session: AsyncSession, library_id: UUID) -> None:
    left = select(LibraryMember.id).where(LibraryMember.library_id == library_id, LibraryMember.role == "editor")
    if await session.scalar(left.limit(1)) is None:
        raise Conflict.because("last_editor", _LAST_EDITOR)


# --- for administrators ---------------------------------------------------------------------------------------------


async def list_all(session: AsyncSession, user_id: UUID) -> list[LibraryView]:
    """Return every library, whoever sees it, by name; `role` is the asker's own, empty where they have none.

    For administrators, who learn from it that a library is there and nothing of what is in it.
    """
    own = {view.library.id: view for view in await _views(session, user_id, None)}
    count_files, count_members = _counts()
    query = select(Library, count_files, count_members).order_by(func.lower(Library.name), Library.id)
    rows = (await session.execute(query)).all()
    return [own.get(row[0].id) or LibraryView(row[0], "", False, row[1], row[2]) for row in rows]


async def take_over(session: AsyncSession, user_id: UUID, library_id: UUID) -> None:
    """Make an administrator an editor of a library: one whose editors have left. Raises NotFound."""
    if await session.scalar(select(Library.id).where(Library.id == library_id).with_for_update()) is None:
        raise NotFound
    seen = select(LibraryMember).where(LibraryMember.library_id == library_id, LibraryMember.user_id == user_id)
    row = (await session.execute(seen)).scalar_one_or_none()
    if row is None:
        session.add(LibraryMember(library_id=library_id, user_id=user_id, role="editor"))
    else:
        row.role = "editor"
    await session.flush()


async def hand_over(session: AsyncSession, user_id: UUID) -> int:
    """Give what a person leaves in libraries to those who stay, before their account is deleted; return how many files.

    Their files go to somebody who may edit the library, by themselves or through a group; a library that nobody else
    may edit becomes the oldest administrator's, and one that nobody else sees is deleted. Files without an heir stay
    theirs, and are deleted with the account.
    """
    edited = select(LibraryMember.library_id).where(LibraryMember.user_id == user_id, LibraryMember.role == "editor")
    for library_id in (await session.execute(edited)).scalars().all():
        others = select(LibraryMember.id).where(
            LibraryMember.library_id == library_id, LibraryMember.user_id.is_distinct_from(user_id)
        )
        if await session.scalar(others.limit(1)) is None:
            await _delete(session, library_id)
        elif await session.scalar(_editors(library_id, user_id)) is None:
            await _entrust(session, library_id, await session.scalar(_administrators(user_id)))
    handed = 0
    inside = select(LibraryFile.file_id, LibraryFile.library_id).join(File).where(File.user_id == user_id)
    for file_id, library_id in (await session.execute(inside)).all():
        heir = await session.scalar(_editors(library_id, user_id))
        if heir is not None:
            mine = update(File).where(File.id == file_id, File.user_id == user_id)
            moved = await session.execute(mine.values(user_id=heir, in_library=False).returning(File.id))
            handed += len(moved.all())
    return handed


async def given_by(session: AsyncSession, user_id: UUID) -> list[UUID]:
    """Return the files that `hand_over` would give to others: those in a library that somebody else sees.

    Changes nothing.
    """
    has_heir = _editors(LibraryFile.library_id, user_id).correlate(LibraryFile).exists()
    if await session.scalar(_administrators(user_id)) is not None:
        # Where nobody else may edit one that the person edited, an administrator does from then on.
        own, others = LibraryMember.user_id == user_id, LibraryMember.user_id.is_distinct_from(user_id)
        edited = select(LibraryMember.library_id).where(own, LibraryMember.role == "editor")
        seen = select(LibraryMember.library_id).where(others)
        has_heir = or_(has_heir, and_(LibraryFile.library_id.in_(edited), LibraryFile.library_id.in_(seen)))
    inside = select(LibraryFile.file_id).join(File).where(File.user_id == user_id, has_heir)
    return list((await session.execute(inside.distinct())).scalars())


async def entrust_of_group(session: AsyncSession, group_id: UUID, heir: UUID) -> list[UUID]:
    """Make somebody an editor of the libraries that this group alone may edit, before it is deleted; return them."""
    other = aliased(LibraryMember)
    elsewhere = (
        select(other.id)
        .where(
            other.library_id == LibraryMember.library_id,
            other.role == "editor",
            other.group_id.is_distinct_from(group_id),
        )
        .exists()
    )
    alone = select(LibraryMember.library_id).where(
        LibraryMember.group_id == group_id, LibraryMember.role == "editor", ~elsewhere
    )
    ids = list((await session.execute(alone)).scalars())
    for library_id in ids:
        await _entrust(session, library_id, heir)
    return ids


async def _entrust(session: AsyncSession, library_id: UUID, heir: UUID | None) -> None:
    if heir is not None:
        await take_over(session, heir, library_id)


async def _delete(session: AsyncSession, library_id: UUID) -> bool:
    """Delete a library; its files stay their owners', and are found among their own where they are in no other."""
    inside = select(LibraryFile.file_id).where(LibraryFile.library_id == library_id)
    held = list((await session.execute(inside)).scalars())
    gone = await session.execute(delete(Library).where(Library.id == library_id).returning(Library.id))
    if gone.first() is None:
        return False
    await files.keep_homeless(session, held)
    return True


def _editors(library_id: Any, without: UUID) -> Any:
    """Return a query for the first active person who may edit a library, by themselves or through a group."""
    through = select(GroupMember.user_id).where(GroupMember.group_id == LibraryMember.group_id)
    return (
        select(User.id)
        .join(LibraryMember, or_(LibraryMember.user_id == User.id, User.id.in_(through)))
        .where(
            LibraryMember.library_id == library_id,
            LibraryMember.role == "editor",
            User.is_active,
            User.id != without,
        )
        .order_by(LibraryMember.user_id.is_(None), LibraryMember.id, User.id)
        .limit(1)
    )


def _administrators(without: UUID) -> Any:
    query = select(User.id).where(User.is_superuser, User.is_active, User.id != without)
    return query.order_by(User.id).limit(1)
