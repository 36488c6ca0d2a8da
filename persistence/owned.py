"""What people save for themselves and may share: assistants, prompts, projects.

The owner is in every query. What is shared is read by everybody who is signed in, and changed by its owner alone; an
administrator may delete it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict, NotFound
from persistence.access import check_files, check_libraries, readable, visible_ids
from persistence.changes import change_or_not_found
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import Assistant, AssistantFile, File, Project, ProjectFile, SavedPrompt, User

MOST: Final = 200  # of one kind, of one person

LINKS: Final[Mapping[Any, Any]] = {
    Assistant: (AssistantFile, AssistantFile.assistant_id),
    Project: (ProjectFile, ProjectFile.project_id),
}
"""The tables that tie files to what is saved, and their columns that name it."""

Row = TypeVar("Row", Assistant, SavedPrompt, Project)


@dataclass(frozen=True, slots=True)
class Owned(Generic[Row]):
    """A row with its owner's name, and those of its files and libraries that the caller may see."""

    row: Row
    owner: str
    file_ids: list[UUID]
    library_ids: list[UUID]


def _visible(kind: type[Row], user_id: UUID) -> ColumnElement[bool]:
    own = kind.user_id == user_id
    shared = getattr(kind, "shared", None)  # a project is nobody else's
    return own if shared is None else or_(own, shared)


async def get(session: AsyncSession, kind: type[Row], user_id: UUID, row_id: UUID) -> Owned[Row]:
    """Return what is the user's, or shared with everybody. Raises NotFound."""
    query = select(kind, User.username).join(User, User.id == kind.user_id)
    found = (await session.execute(query.where(kind.id == row_id, _visible(kind, user_id)))).one_or_none()
    if found is None:
        raise NotFound
    return (await _with_files(session, kind, user_id, [(found[0], found[1])]))[0]


async def list_page(
    session: AsyncSession, kind: type[Row], user_id: UUID, *, limit: int, cursor: str | None
) -> tuple[list[Owned[Row]], str | None]:
    """Return what is the user's or shared with everybody, newest first, and the cursor of the next page."""
    query = select(kind, User.username).join(User, User.id == kind.user_id).where(_visible(kind, user_id))
    if cursor:
        query = query.where(kind.id < decode_cursor(cursor, (UUID,))[0])
    rows = [(row, owner) for row, owner in await session.execute(query.order_by(kind.id.desc()).limit(limit + 1))]
    following = encode_cursor(rows[limit - 1][0].id) if len(rows) > limit else None
    return await _with_files(session, kind, user_id, rows[:limit]), following


async def create(session: AsyncSession, kind: type[Row], user_id: UUID, values: Mapping[str, Any]) -> Owned[Row]:
    """Save something new.

    Raises NotFound for files and libraries that the user may not see, Conflict where there are very many.
    """
    given = dict(values)
    file_ids = given.pop("file_ids", [])
    await check_libraries(session, user_id, given.get("library_ids") or ())
    count = await session.scalar(select(func.count()).where(kind.user_id == user_id))
    if int(count or 0) >= MOST:
        raise Conflict.because(
            "too_many_saved", f"You have {MOST} of these; delete one that you don't need.", limit=MOST
        )
    row = kind(user_id=user_id, **given)
    session.add(row)
    await session.flush()
    await _set_files(session, kind, user_id, row.id, file_ids)
    return await get(session, kind, user_id, row.id)


async def change(
    session: AsyncSession, kind: type[Row], user_id: UUID, row_id: UUID, values: Mapping[str, Any]
) -> Owned[Row]:
    """Change what is in `values`. Raises NotFound where it is not the user's, or names what they may not see."""
    await check_libraries(session, user_id, values.get("library_ids") or ())
    query = select(kind).where(kind.id == row_id, kind.user_id == user_id).with_for_update()
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound
    for key, value in values.items():
        if key != "file_ids":
            setattr(row, key, value)
    row.updated_at = func.clock_timestamp()
    await session.flush()
    if "file_ids" in values:
        await _set_files(session, kind, user_id, row_id, values["file_ids"])
    await session.refresh(row)
    return await get(session, kind, user_id, row_id)


async def remove(
    session: AsyncSession, kind: type[Row], user_id: UUID, row_id: UUID, *, is_admin: bool = False
) -> None:
    """Delete what is the user's; an administrator may delete what is shared. Raises NotFound."""
    mine = _visible(kind, user_id) if is_admin else kind.user_id == user_id
    await change_or_not_found(session, delete(kind).where(kind.id == row_id, mine))


async def _set_files(
    session: AsyncSession, kind: type[Row], user_id: UUID, row_id: UUID, file_ids: Sequence[UUID]
) -> None:
    links = LINKS.get(kind)
    if links is None:
        return
    table, column = links
    wanted = list(dict.fromkeys(file_ids))
    await check_files(session, user_id, wanted)
    await session.execute(delete(table).where(column == row_id))
    if wanted:
        await session.execute(insert(table), [{column.key: row_id, "file_id": file_id} for file_id in wanted])
        # A file of one conversation would die with it.
        own = update(File).where(File.id.in_(wanted), File.user_id == user_id)
        await session.execute(own.values(in_library=True))


async def _with_files(
    session: AsyncSession, kind: type[Row], user_id: UUID, rows: Sequence[tuple[Row, str]]
) -> list[Owned[Row]]:
    found: dict[UUID, list[UUID]] = {row.id: [] for row, _ in rows}
    links = LINKS.get(kind)
    if links is not None and rows:
        table, column = links
        query = (
            select(column, File.id)
            .join(File, File.id == table.file_id)
            .where(column.in_(list(found)), readable(user_id))
            .order_by(File.id)
        )
        for row_id, file_id in await session.execute(query):
            found[row_id].append(file_id)
    libraries: dict[UUID, list[UUID]] = {row.id: getattr(row, "library_ids", []) for row, _ in rows}
    seen = await visible_ids(session, user_id, {id_ for named in libraries.values() for id_ in named})
    return [Owned(row, owner, found[row.id], [id_ for id_ in libraries[row.id] if id_ in seen]) for row, owner in rows]
