"""Shapes of groups and of shared libraries."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from api.schemas.common import Body, Shape
from llama_service.errors import InvalidValue
from persistence.groups import GroupMemberView, GroupRole, GroupView
from persistence.libraries import LibraryMemberView, LibraryRole, LibraryView

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
PersonName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320)]


class GroupCreate(Body):
    """A group. With `provider` and `claim`, who signs in there and has that group in their token is its member."""

    name: Name
    provider: str | None = Field(default=None, max_length=40, description="Name of a sign-in provider")
    claim: str | None = Field(default=None, max_length=255, description="The group's name in that provider's tokens")

    @model_validator(mode="after")
    def _both_or_none(self) -> "GroupCreate":
        if bool(self.provider) != bool(self.claim):
            raise InvalidValue(
                "provider_and_claim", "a provider rules a group by the name that it has there: give both or none"
            )
        return self


class GroupRead(Shape):
    """A group; `role` is your own in it, null where you are not. How membership is ruled, managers see."""

    id: UUID
    name: str
    members: int
    role: GroupRole | None
    provider: str | None = None
    claim: str | None = None
    created_at: datetime

    @classmethod
    def of(cls, view: GroupView, *, is_admin: bool) -> "GroupRead":
        """Return a group as the API shows it."""
        row = view.group
        ruled = {"provider": row.provider, "claim": row.claim} if is_admin or view.role == "manager" else {}
        return cls.model_validate(
            {"id": row.id, "name": row.name, "members": view.members, "role": view.role, "created_at": row.created_at}
            | ruled
        )


class GroupsRead(Shape):
    """All groups, by name."""

    items: list[GroupRead]


class _Person(Body):
    """Somebody who has an account: by id, or by their exact name or e-mail address."""

    user_id: UUID | None = None
    username: PersonName | None = Field(default=None, description="Exact name or e-mail address")


class GroupMemberSet(_Person):
    """A person to be taken into a group, or to get another role in it."""

    role: GroupRole = "member"

    @model_validator(mode="after")
    def _one_person(self) -> "GroupMemberSet":
        if (self.user_id is None) == (self.username is None):
            raise InvalidValue("one_subject", "name one person: user_id or username")
        return self


class GroupMemberRead(Shape):
    """A member of a group; `via` names the sign-in provider by whose word they are in it."""

    user_id: UUID
    username: str
    email: str
    role: GroupRole
    via: str | None

    @classmethod
    def of(cls, view: GroupMemberView) -> "GroupMemberRead":
        """Return a member as the API shows them."""
        row: Any = view.member
        return cls(user_id=row.user_id, username=view.username, email=view.email, role=row.role, via=row.via)


class LibraryCreate(Body):
    """Files that several people ask."""

    name: Name
    description: str | None = Field(default=None, max_length=400)


class LibraryChange(Body):
    """What may be changed; only fields that are present are."""

    name: Name | None = None
    description: str | None = Field(default=None, max_length=400)

    def changes(self) -> dict[str, Any]:
        """Return the columns to write."""
        given = self.model_dump(exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None or name == "description"}


class LibraryRead(Shape):
    """A library that you see: `role` is what you may do there, `is_default` whether all of your chats search it."""

    id: UUID
    name: str
    description: str | None
    role: LibraryRole
    is_default: bool
    files: int
    members: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, view: LibraryView) -> "LibraryRead":
        """Return a library as the API shows it."""
        beside = {"role": view.role, "is_default": view.is_default, "files": view.files, "members": view.members}
        row = view.library
        return cls.model_validate(
            {name: getattr(row, name) for name in cls.model_fields if name not in beside} | beside
        )


class AnyLibraryRead(Shape):
    """A library as administrators see it, who may not see what is in it: `role` is their own there, null for none."""

    id: UUID
    name: str
    role: LibraryRole | None
    files: int
    members: int

    @classmethod
    def of(cls, view: LibraryView) -> "AnyLibraryRead":
        """Return a library as the API shows it."""
        row = view.library
        shown = {"id": row.id, "name": row.name, "role": view.role or None}
        return cls.model_validate(shown | {"files": view.files, "members": view.members})


class AnyLibrariesRead(Shape):
    """All libraries, by name."""

    items: list[AnyLibraryRead]


class LibrariesRead(Shape):
    """The libraries that you see, by name."""

    items: list[LibraryRead]


class LibraryMemberSet(_Person):
    """A person or a group that may see a library, or change it too (`editor`)."""

    group_id: UUID | None = None
    role: LibraryRole = "viewer"
    is_default: bool = Field(default=False, description="All of their chats search it, until they take it out")

    @model_validator(mode="after")
    def _one_member(self) -> "LibraryMemberSet":
        if sum(value is not None for value in (self.user_id, self.username, self.group_id)) != 1:
            raise InvalidValue("one_subject", "name one member: user_id, username or group_id")
        return self


class LibraryMemberRead(Shape):
    """A person or a group that sees a library."""

    id: UUID
    kind: Literal["person", "group"]
    user_id: UUID | None
    group_id: UUID | None
    name: str
    role: LibraryRole
    is_default: bool

    @classmethod
    def of(cls, view: LibraryMemberView) -> "LibraryMemberRead":
        """Return a member as the API shows it."""
        row: Any = view.member
        return cls(
            id=row.id,
            kind="person" if row.user_id else "group",
            user_id=row.user_id,
            group_id=row.group_id,
            name=view.name,
            role=row.role,
            is_default=row.is_default,
        )


class LibraryMembersRead(Shape):
    """Who sees a library, groups first."""

    items: list[LibraryMemberRead]


class LibraryFileAdd(Body):
    """A file of your own that a library is to hold."""

    file_id: UUID
