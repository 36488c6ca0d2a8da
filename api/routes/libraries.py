"""Libraries: files that several people ask."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import CurrentUser, Cursor, IsAdmin, Limit, Session
from api.errors import responses
from api.schemas.common import Page
from api.schemas.files import FileRead
from api.schemas.groups import (
    LibrariesRead,
    LibraryChange,
    LibraryCreate,
    LibraryFileAdd,
    LibraryMemberRead,
    LibraryMemberSet,
    LibraryMembersRead,
    LibraryRead,
)
from llama_service import errors
from persistence import audit, files, groups, libraries

router = APIRouter(prefix="/libraries", tags=["libraries"])

_SIGNED_IN = responses(errors.NotAuthenticated)
_ONE = _SIGNED_IN | responses(errors.NotFound)
_EDIT = _ONE | responses(errors.Forbidden)
_WRITTEN = _EDIT | responses(errors.ValidationFailed)


@router.get("", responses=_SIGNED_IN)
async def list_libraries(user: CurrentUser, session: Session) -> LibrariesRead:
    """List the libraries that you see, by name."""
    views = await libraries.list_libraries(session, user.id)
    return LibrariesRead(items=[LibraryRead.of(view) for view in views])


@router.post("", status_code=201, responses=_SIGNED_IN | responses(errors.ValidationFailed))
async def create_library(body: LibraryCreate, user: CurrentUser, session: Session) -> LibraryRead:
    """Make a library; you are its first editor."""
    made = await libraries.create(session, user.id, body.model_dump())
    await audit.note(session, "library_created", user, ("library", made.library.id), name=body.name)
    return LibraryRead.of(made)


@router.get("/{library_id}", responses=_ONE)
async def get_library(library_id: UUID, user: CurrentUser, session: Session) -> LibraryRead:
    """Return one library."""
    return LibraryRead.of(await libraries.get(session, user.id, library_id))


@router.patch("/{library_id}", responses=_WRITTEN)
async def change_library(library_id: UUID, body: LibraryChange, user: CurrentUser, session: Session) -> LibraryRead:
    """Change what is present in the body."""
    changed = await libraries.change(session, user.id, library_id, body.changes())
    await audit.note(session, "library_changed", user, ("library", library_id), fields=sorted(body.changes()))
    return LibraryRead.of(changed)


@router.delete("/{library_id}", status_code=204, responses=_EDIT)
async def delete_library(library_id: UUID, user: CurrentUser, is_admin: IsAdmin, session: Session) -> None:
    """Delete a library; its files stay their owners'. For its editors, and for administrators."""
    await libraries.remove(session, user.id, library_id, is_admin=is_admin)
    await audit.note(session, "library_deleted", user, ("library", library_id))


@router.get("/{library_id}/files", responses=_ONE | responses(errors.BadRequest))
async def list_library_files(
    library_id: UUID, user: CurrentUser, session: Session, limit: Limit = 50, cursor: Cursor = None
) -> Page[FileRead]:
    """List a library's files, newest first."""
    await libraries.get(session, user.id, library_id)
    views, following = await files.list_page(
        session, user.id, limit=limit, cursor=cursor, conversation_id=None, library_id=library_id, status=None
    )
    return Page(items=[FileRead.of(view) for view in views], next_cursor=following)


@router.post("/{library_id}/files", status_code=201, responses=_WRITTEN)
async def add_library_file(library_id: UUID, body: LibraryFileAdd, user: CurrentUser, session: Session) -> FileRead:
    """Put a file of your own into a library. It stays yours: you alone may replace and delete it."""
    await libraries.add_file(session, user.id, library_id, body.file_id)
    shape = FileRead.of(await files.get(session, user.id, body.file_id))
    await audit.note(session, "library_file_added", user, ("library", library_id), file=body.file_id)
    return shape


@router.delete("/{library_id}/files/{file_id}", status_code=204, responses=_EDIT)
async def remove_library_file(library_id: UUID, file_id: UUID, user: CurrentUser, session: Session) -> None:
    """Take a file, whosever it is, out of a library."""
    await libraries.remove_file(session, user.id, library_id, file_id)
    await audit.note(session, "library_file_removed", user, ("library", library_id), file=file_id)


@router.get("/{library_id}/members", responses=_ONE)
async def list_library_members(library_id: UUID, user: CurrentUser, session: Session) -> LibraryMembersRead:
    """List who sees a library, groups first."""
    views = await libraries.list_members(session, user.id, library_id)
    return LibraryMembersRead(items=[LibraryMemberRead.of(view) for view in views])


@router.put("/{library_id}/members", responses=_WRITTEN | responses(errors.Conflict))
async def set_library_member(
    library_id: UUID, body: LibraryMemberSet, user: CurrentUser, session: Session
) -> LibraryMembersRead:
    """Let a person or a group see or change a library, or change how; return all of its members."""
    # Who may not edit learns nothing of who has an account here.
    await libraries.get(session, user.id, library_id, edits=True)
    person = body.user_id
    if body.username is not None:
        person = (await groups.find_person(session, body.username)).id
    await libraries.set_member(
        session,
        user.id,
        library_id,
        person=person,
        group=body.group_id,
        role=body.role,
        is_default=body.is_default,
    )
    views = await libraries.list_members(session, user.id, library_id)
    told = {"person": person, "group": body.group_id, "role": body.role, "is_default": body.is_default}
    await audit.note(session, "library_member_set", user, ("library", library_id), **told)
    return LibraryMembersRead(items=[LibraryMemberRead.of(view) for view in views])


@router.delete("/{library_id}/members/{member_id}", status_code=204, responses=_EDIT | responses(errors.Conflict))
async def remove_library_member(library_id: UUID, member_id: UUID, user: CurrentUser, session: Session) -> None:
    """Take a library away from a person or a group; anybody may leave one themselves."""
    await libraries.remove_member(session, user.id, library_id, member_id)
    await audit.note(session, "library_member_removed", user, ("library", library_id), member=member_id)
