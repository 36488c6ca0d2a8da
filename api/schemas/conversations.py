"""Shapes of conversations and messages."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.chat import ErrorRead, SourceRead, StepRead, ToolName, UsageRead
from api.schemas.common import Body, Shape
from llama_service.settings import ModelSource
from persistence.conversations import Hit
from persistence.messages import BranchMessage, Rated
from persistence.relevance import Confidence
from persistence.tables import Conversation

Title = Field(default=None, max_length=200)
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]


class ConversationStart(Body):
    """What a conversation says of itself; what it does not say, its assistant says."""

    model_config = ConfigDict(json_schema_extra={"example": {"title": "Rental contract"}})

    title: str | None = Title
    model_source: ModelSource | None = None
    model_name: str | None = Field(default=None, max_length=200)
    system_prompt: str | None = Field(default=None, max_length=20_000)
    search_library: bool = True
    tools: list[ToolName] | None = Field(
        default=None, max_length=128, description="Names of the tools that are on; null: those that the operator chose"
    )
    library_ids: list[UUID] | None = Field(
        default=None,
        max_length=50,
        description="Shared libraries that it searches; null: your default ones, its project's and its assistant's",
    )
    project_id: UUID | None = None
    assistant_id: UUID | None = Field(default=None, description="One of your own or a shared one")


class ConversationCreate(ConversationStart):
    """How a conversation begins. With a project or an assistant that has files, it searches those alone by default.

    A temporary one is listed nowhere, uses no memory, and is deleted a day after its last message.
    """

    temporary: bool = False


class ConversationChange(ConversationStart):
    """What may be changed; only fields that are present are. `leaf_id` makes the branch through it the current one.

    With `search_library` a turn that names no files searches your library and the files of the conversation, without it
    those of the conversation alone.
    """

    archived: bool = False
    pinned: bool = False
    temporary: Literal[False] = Field(default=False, description="A temporary conversation can only become a kept one")
    leaf_id: UUID | None = None
    approved_tools: list[ToolName] = Field(
        default=[], max_length=128, description="Names of the tools whose calls need no approval in this conversation"
    )


class ConversationRead(Shape):
    """A conversation. `snippet` and `highlights` (offsets into it) are there in the results of a search."""

    id: UUID
    title: str | None
    model_source: str | None
    model_name: str | None
    system_prompt: str | None
    search_library: bool
    library_ids: list[UUID] | None
    tools: list[str] | None
    approved_tools: list[str]
    archived: bool
    pinned: bool
    project_id: UUID | None
    assistant_id: UUID | None
    temporary: bool
    leaf_id: UUID | None
    created_at: datetime
    updated_at: datetime
    snippet: str | None = None
    highlights: list[Pair] | None = None

    @classmethod
    def of(cls, row: Conversation, hit: Hit | None = None) -> "ConversationRead":
        """Return a row as the API shows it."""
        shape = cls.model_validate(row)
        if hit is not None:
            shape.snippet, shape.highlights = hit.snippet, [list(pair) for pair in hit.highlights]
        return shape


FeedbackReason = Literal["wrong", "incomplete", "sources", "ignored_request", "style", "slow", "harmful", "other"]


class FeedbackRead(Shape):
    """An opinion of an answer."""

    rating: Literal["up", "down"]
    comment: str | None = None
    reasons: list[str] = Field(default_factory=list)
    show_text: bool = False


class Feedback(Body):
    """An opinion of an answer; administrators see it. With `show_text` they may read question and answer with it."""

    rating: Literal["up", "down"]
    comment: str | None = Field(default=None, max_length=4000)
    reasons: list[FeedbackReason] = Field(default=[], max_length=8)
    show_text: bool = False


class FeedbackEntry(Shape):
    """An opinion as administrators see it; question and answer are there only where its giver shows them."""

    message_id: UUID
    rating: Literal["up", "down"]
    reasons: list[str]
    comment: str | None
    username: str | None
    model_source: str | None
    model_name: str | None
    question: str | None
    answer: str | None
    rated_at: datetime

    @classmethod
    def of(cls, item: Rated) -> "FeedbackEntry":
        """Return a row as the API shows it."""
        row = item.answer
        return cls.model_validate(
            {
                "message_id": row.id,
                "reasons": row.rating_reasons or [],
                "username": item.username,
                "question": item.question,
                "answer": row.content if row.rating_shows_text else None,
                **{name: getattr(row, name) for name in _OF_RATED},
            }
        )


_OF_RATED = ("rating", "comment", "model_source", "model_name", "rated_at")


class AttachmentRead(Shape):
    """A file that a question was asked with."""

    file_id: UUID
    name: str


class MessageRead(Shape):
    """A message of a branch; `sibling_ids` are all that stand in its place, itself too, oldest first.

    `attachments` are the files that came to the conversation since the question before.
    """

    id: UUID
    conversation_id: UUID
    parent_id: UUID | None
    sibling_ids: list[UUID]
    role: Literal["user", "assistant", "system"]
    content: str
    reasoning: str | None = None
    status: Literal["complete", "streaming", "stopped", "interrupted", "failed"]
    sources: list[SourceRead]
    confidence: Confidence | None = None
    steps: list[StepRead]
    image_file_ids: list[UUID]
    attachments: list[AttachmentRead]
    model_source: str | None
    model_name: str | None
    fallback_from: str | None
    finish_reason: str | None
    usage: UsageRead | None
    timings: dict[str, Any] | None
    error: ErrorRead | None
    feedback: FeedbackRead | None
    run_id: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, item: BranchMessage) -> "MessageRead":
        """Return a row as the API shows it."""
        row = item.message
        feedback = None
        if row.rating:
            reasons, shows = row.rating_reasons or [], row.rating_shows_text
            feedback = FeedbackRead(rating=row.rating, comment=row.comment, reasons=reasons, show_text=shows)
        values = {name: getattr(row, name) for name in _PLAIN}
        return cls(
            **values,
            sibling_ids=item.sibling_ids,
            sources=[SourceRead.model_validate(source) for source in row.sources or []],
            image_file_ids=row.images or [],
            steps=[StepRead.model_validate(step) for step in row.steps or []],
            attachments=[AttachmentRead.model_validate(file) for file in item.attachments],
            usage=UsageRead.model_validate(row.usage) if row.usage else None,
            error=ErrorRead.model_validate(row.error) if row.error else None,
            feedback=feedback,
        )


_PLAIN = (
    "confidence",
    "id",
    "conversation_id",
    "parent_id",
    "role",
    "content",
    "reasoning",
    "status",
    "model_source",
    "model_name",
    "fallback_from",
    "finish_reason",
    "timings",
    "run_id",
    "created_at",
)


class TraceRead(Shape):
    """Why this answer: the run's nodes in order, each with input, output and milliseconds.

    `attempt` counts the workers that have tried; the nodes are those of the last one.
    """

    message_id: UUID
    run_id: UUID
    conversation_id: UUID
    status: str
    request: dict[str, Any]
    nodes: list[dict[str, Any]]
    attempt: int = 1
    checkpoint_id: str | None
    timings: dict[str, Any] | None
    error: dict[str, Any] | None


class Imported(Shape):
    """What an import brought."""

    conversations: int
    messages: int
    conversation_ids: list[UUID]
