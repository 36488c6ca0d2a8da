"""Groups: administrators make them, managers say who is in them."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, CurrentUser, Cursor, IsAdmin, Limit, Session
from api.errors import responses
from api.schemas.common import Page
from api.schemas.groups import GroupCreate, GroupMemberRead, GroupMemberSet, GroupRead, GroupsRead
from llama_service import errors
from persistence import audit, groups, libraries

router = APIRouter(prefix="/groups", tags=["groups"])

_SIGNED_IN = responses(errors.NotAuthenticated)
_ONE = _SIGNED_IN | responses(errors.NotFound)
_ADMIN = _ONE | responses(errors.Forbidden, errors.Conflict, errors.ValidationFailed)
_MEMBERS = _ONE | responses(errors.Forbidden)


@router.get("", responses=_SIGNED_IN)
async def list_groups(user: CurrentUser, is_admin: IsAdmin, session: Session) -> GroupsRead:
    """List all groups by name, so that libraries can be shared with them; who is in one, its own members see."""
    views = await groups.list_groups(session, user.id)
    return GroupsRead(items=[GroupRead.of(view, is_admin=is_admin) for view in views])


@router.post("", status_code=201, responses=_ADMIN)
async def create_group(body: GroupCreate, admin: Admin, session: Session) -> GroupRead:
    """Make a group."""
    made = await groups.create(session, admin.id, body.model_dump())
    await audit.note(session, "group_created", admin, ("group", made.group.id), **body.model_dump())
    return GroupRead.of(made, is_admin=True)


@router.put("/{group_id}", responses=_ADMIN)
async def change_group(group_id: UUID, body: GroupCreate, admin: Admin, session: Session) -> GroupRead:
    """Change a group. Whom another provider has put into it leaves it."""
    changed = await groups.change(session, admin.id, group_id, body.model_dump())
    await audit.note(session, "group_changed", admin, ("group", group_id), **body.model_dump())
    return GroupRead.of(changed, is_admin=True)


@router.delete("/{group_id}", status_code=204, responses=_ADMIN)
async def delete_group(group_id: UUID, admin: Admin, session: Session) -> None:
    """Delete a group; its members lose what they had through it. Libraries that it alone could edit become yours."""
    taken_over = await libraries.entrust_of_group(session, group_id, admin.id)
    await groups.remove(session, group_id)
    await audit.note(session, "group_deleted", admin, ("group", group_id), libraries_taken_over=taken_over)


@router.get("/{group_id}/members", responses=_MEMBERS | responses(errors.BadRequest))
async def list_group_members(
    group_id: UUID, user: CurrentUser, is_admin: IsAdmin, session: Session, limit: Limit = 100, cursor: Cursor = None
) -> Page[GroupMemberRead]:
    """List who is in a group, for its members and for administrators."""
    await groups.get(session, user.id, group_id)
    if not is_admin:
        await groups.check_member(session, user.id, group_id, manages=False)
    rows, following = await groups.list_members(session, group_id, limit=limit, cursor=cursor)
    return Page(items=[GroupMemberRead.of(row) for row in rows], next_cursor=following)


@router.put("/{group_id}/members", status_code=204, responses=_MEMBERS | responses(errors.ValidationFailed))
async def set_group_member(
    group_id: UUID, body: GroupMemberSet, user: CurrentUser, is_admin: IsAdmin, session: Session
) -> None:
    """Take a person into a group, or give them another role. For its managers and for administrators."""
    if not is_admin:
        await groups.check_member(session, user.id, group_id, manages=True)
    person = body.user_id or (await groups.find_person(session, body.username or "")).id
    await groups.set_member(session, group_id, person, body.role)
    await audit.note(session, "group_member_set", user, ("group", group_id), member=person, role=body.role)


@router.delete("/{group_id}/members/{user_id}", status_code=204, responses=_MEMBERS)
async def remove_group_member(
    group_id: UUID, user_id: UUID, user: CurrentUser, is_admin: IsAdmin, session: Session
) -> None:
    """Take a person out of a group; anybody may leave one themselves."""
    if not is_admin and user_id != user.id:
        await groups.check_member(session, user.id, group_id, manages=True)
    await groups.remove_member(session, group_id, user_id)
    await audit.note(session, "group_member_removed", user, ("group", group_id), member=user_id)
