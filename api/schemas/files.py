"""Shapes of files and of search."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.chat import ErrorRead
from api.schemas.common import Body, Shape
from persistence.files import FileView
from persistence.relevance import Confidence
from persistence.search import Found
from persistence.tables import Passage

FileStatus = Literal["pending", "processing", "completed", "partial_success", "failed"]
FileStage = Literal["queued", "extract", "split", "embed", "finalized"]


class FileRead(Shape):
    """A file and how far its indexing is; `progress` is from 0 to 1, `size` in bytes.

    `conversation_ids` are those of your conversations that it is attached to, `library_ids` the shared libraries
    through which you see it; only its `owner` may change it.

    A file that was uploaded to a conversation belongs to it alone until it is `in_library`, where all of yours find it.

    `replaces_id` names the older file whose place it takes, everywhere, at the moment when it becomes searchable.
    """

    id: UUID
    name: str
    mime: str
    size: int
    sha256: str
    conversation_ids: list[UUID]
    status: FileStatus
    stage: FileStage
    progress: float
    chunks_total: int
    chunks_indexed: int
    error: ErrorRead | None
    in_library: bool
    library_ids: list[UUID]
    owner: str
    is_owner: bool
    replaces_id: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, view: FileView) -> "FileRead":
        """Return a row as the API shows it."""
        of_view = ("conversation_ids", "library_ids", "owner", "is_owner")
        names = [name for name in FileRead.model_fields if name not in (*of_view, "error")]
        row = view.file
        return cls(
            **{name: getattr(row, name) for name in names},
            **{name: getattr(view, name) for name in of_view},
            error=ErrorRead.model_validate(row.error) if row.error else None,
        )


class NamesakeRead(Shape):
    """An older file of the same name; `size` in bytes."""

    id: UUID
    size: int
    created_at: datetime


class UploadRead(FileRead):
    """A file that was uploaded.

    `same_name` holds your other files of its name with other bytes, newest first, so that it can replace one of them
    (`POST /files/{id}/replace`). It is empty where the file was there already, or where the upload named what it
    replaces.
    """

    same_name: list[NamesakeRead] = Field(default_factory=list)


class ChunkRead(Shape):
    """A passage; `start` and `end` are character offsets into the file's extracted text."""

    id: UUID
    file_id: UUID
    position: int
    text: str
    start: int
    end: int
    page: int | None

    @classmethod
    def of(cls, row: Passage) -> "ChunkRead":
        """Return a row as the API shows it."""
        return cls(
            id=row.id,
            file_id=row.file_id,
            position=row.position,
            text=row.text,
            start=row.start_char,
            end=row.end_char,
            page=row.page,
        )


class TextMark(Shape):
    """A marked range of a text: a page, sheet, slide, heading or table."""

    kind: str
    label: str
    start: int
    end: int
    level: int = 0


class PageMark(Shape):
    """Where a page lies in the text."""

    page: int
    start: int
    end: int


class FileText(Shape):
    """The extracted text, to which all offsets refer."""

    text: str
    pages: list[PageMark]
    blocks: list[TextMark]

    @classmethod
    def of(cls, text: str, blocks: list[dict[str, Any]]) -> "FileText":
        """Return an extracted text as the API shows it."""
        pages = [
            PageMark(page=int(block["label"]), start=block["start"], end=block["end"])
            for block in blocks
            if block["kind"] in ("page", "slide") and str(block["label"]).isdigit()
        ]
        return cls(text=text, pages=pages, blocks=[TextMark.model_validate(block) for block in blocks])


class Attach(Body):
    """The conversation to attach a file to."""

    conversation_id: UUID


class Replace(Body):
    """The older file whose place a file is to take."""

    file_id: UUID


class SearchRequest(Body):
    """A search: in the given files and libraries, in what a conversation searches, or in all of one's own files."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": "notice period", "k": 5}})

    query: str = Field(min_length=1, max_length=8000)
    conversation_id: UUID | None = None
    file_ids: list[UUID] | None = Field(default=None, max_length=1000)
    library_ids: list[UUID] | None = Field(default=None, max_length=100)
    k: int = Field(default=10, ge=1, le=100)


class FoundRead(Shape):
    """A passage that was found."""

    file_id: UUID
    file_name: str
    chunk_id: UUID
    page: int | None
    start: int
    end: int
    text: str
    score: float
    confidence: Confidence | None = None


class SearchResponse(Shape):
    """Passages, best first. `confidence` tells how likely the first ones hold the answer; null where nothing tells."""

    passages: list[FoundRead]
    confidence: Confidence | None = None

    @classmethod
    def of(cls, found: list[Found], confidence: Confidence | None) -> "SearchResponse":
        """Return passages as the API shows them."""
        return cls(passages=[FoundRead.model_validate(passage) for passage in found], confidence=confidence)
