"""Shapes of what people save: assistants, prompts, projects."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.chat import ToolName
from api.schemas.common import Body, Shape
from llama_service.errors import InvalidValue
from llama_service.settings import ModelSource
from persistence.owned import Owned

_PICTURE_CHARS = 40_000  # a list may hold hundreds of them
_SIGNATURES = {"png": b"\x89PNG\r\n", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}


def _picture(url: str) -> str:
    kind, _, data = url.removeprefix("data:image/").partition(";base64,")
    signature = _SIGNATURES.get(kind)
    try:
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error:
        decoded = b""
    if not url.startswith("data:image/") or signature is None or not decoded.startswith(signature):
        raise InvalidValue("picture", "a picture as a data URL: PNG, JPEG or WebP")
    return url


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Picture = Annotated[str, StringConstraints(max_length=_PICTURE_CHARS), AfterValidator(_picture)]
FileIds = Annotated[list[UUID], Field(max_length=200)]
LibraryIds = Annotated[list[UUID], Field(max_length=50)]


class _Change(Body):
    """Fields that may be changed. Null empties those of `nullable`, and leaves the others as they are."""

    nullable: ClassVar[frozenset[str]] = frozenset()

    def changes(self) -> dict[str, Any]:
        """Return the columns to write."""
        given = self.model_dump(exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None or name in self.nullable}


class _Read(Shape):
    """What is saved, as the API shows it to a user."""

    id: UUID
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, item: Owned[Any], user_id: UUID) -> Self:
        """Return a row as the API shows it to a user."""
        beside = {
            "file_ids": item.file_ids,
            "library_ids": item.library_ids,
            "owner": item.owner,
            "is_owner": item.row.user_id == user_id,
        }
        columns = {name: getattr(item.row, name) for name in cls.model_fields if name not in beside}
        return cls.model_validate(columns | beside)


class _SharedRead(_Read):
    """What may be shared with everybody; only its owner may change it."""

    shared: bool
    owner: str
    is_owner: bool


class AssistantChange(_Change):
    """What may be changed; only fields that are present are."""

    nullable = frozenset({"description", "picture", "model_source", "model_name", "system_prompt", "tools"})

    name: Name | None = None
    description: str | None = Field(default=None, max_length=400)
    picture: Picture | None = Field(default=None, description="A small picture as a data URL (PNG, JPEG or WebP)")
    model_source: ModelSource | None = None
    model_name: str | None = Field(default=None, min_length=1, max_length=200)
    system_prompt: str | None = Field(default=None, max_length=20_000)
    tools: list[ToolName] | None = Field(
        default=None, max_length=128, description="Names of the tools that are on; null: those that the operator chose"
    )
    file_ids: FileIds | None = Field(
        default=None, description="Files that its conversations search, as far as who chats may read them"
    )
    library_ids: LibraryIds | None = Field(
        default=None, description="Libraries that its conversations search, as far as who chats may see them"
    )
    shared: bool | None = Field(
        default=None,
        description="Everybody who is signed in may chat with it; rights to its files and libraries stay as they are",
    )


class AssistantCreate(AssistantChange):
    """A model with a system prompt, tools and files, under a name."""

    name: Name


class AssistantRead(_SharedRead):
    """An assistant; `file_ids` are those of its files that you may read. Only its owner may change it."""

    name: str
    description: str | None
    picture: str | None
    model_source: str | None
    model_name: str | None
    system_prompt: str | None
    tools: list[str] | None
    file_ids: list[UUID]
    library_ids: list[UUID]


class PromptChange(_Change):
    """What may be changed; only fields that are present are."""

    title: Name | None = None
    content: str | None = Field(
        default=None, min_length=1, max_length=20_000, description="`{{name}}` is asked for when it is used"
    )
    shared: bool | None = Field(default=None, description="Everybody who is signed in finds it")


class PromptCreate(PromptChange):
    """A text to be asked again and again."""

    title: Name
    content: str = Field(min_length=1, max_length=20_000, description="`{{name}}` is asked for when it is used")


class PromptRead(_SharedRead):
    """A saved prompt. Only its owner may change it."""

    title: str
    content: str


class ProjectChange(_Change):
    """What may be changed; only fields that are present are."""

    nullable = frozenset({"instructions"})

    name: Name | None = None
    instructions: str | None = Field(
        default=None, max_length=8_000, description="Part of every prompt of the project's conversations"
    )
    file_ids: FileIds | None = Field(default=None, description="Files that its conversations search")
    library_ids: LibraryIds | None = Field(default=None, description="Libraries that its conversations search")


class ProjectCreate(ProjectChange):
    """Conversations that belong together."""

    name: Name


class ProjectRead(_Read):
    """A project. Its conversations are listed by `GET /conversations?project_id=`."""

    name: str
    instructions: str | None
    file_ids: list[UUID]
    library_ids: list[UUID]
