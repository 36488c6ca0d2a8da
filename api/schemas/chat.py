"""Shapes of a turn."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.schemas.common import Body, Shape
from chains.types import ReasoningEffort
from graphs.runs.request import TurnRequest
from llama_service.errors import InvalidValue
from llama_service.settings import ModelSource
from persistence.relevance import Confidence

ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
RunStatusName = Literal["running", "waiting", "completed", "stopped", "failed", "interrupted"]


class ChatRequest(Body):
    """A question, and where it stands.

    `parent_message_id` answers into another branch; `edit_of` asks a question anew beside the one it names;
    `regenerate` asks for another answer to the question at (or above) `parent_message_id`; `continue_message_id` goes
    on with an answer that broke off or reached its length limit. Without `conversation_id` a conversation begins.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"message": "What does the contract say about notice periods?"},
                {"message": "And for tenants?", "conversation_id": "0199d0e4-53f2-7c3a-9d67-0c6f6d7c2b11"},
            ]
        }
    )

    message: str = ""
    conversation_id: UUID | None = None
    parent_message_id: UUID | None = None
    edit_of: UUID | None = None
    regenerate: bool = False
    continue_message_id: UUID | None = None
    at_end: bool = Field(
        default=False,
        description="Where the conversation has gone on below `parent_message_id`, on another device for instance, "
        "ask at its end and not beside what was asked there",
    )
    model_source: ModelSource | None = None
    model_name: str | None = Field(default=None, min_length=1, max_length=200)
    file_ids: list[UUID] | None = Field(default=None, max_length=200)
    library_ids: list[UUID] | None = Field(
        default=None, max_length=100, description="Search these shared libraries, and the files named, alone"
    )
    image_file_ids: list[UUID] | None = Field(
        default=None, max_length=8, description="Uploaded pictures that the question shows to a model that sees"
    )
    use_rag: bool = True
    top_k: int | None = Field(default=None, ge=1, le=50)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=200_000)
    system_prompt: str | None = Field(default=None, max_length=20_000)
    tools: list[ToolName] | None = Field(
        default=None,
        max_length=128,
        description="Names of `GET /tools`; if absent, those that the conversation has on",
    )
    reasoning_effort: ReasoningEffort | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "ChatRequest":
        again = self.regenerate or self.continue_message_id is not None
        if not again and not self.message.strip():
            raise InvalidValue("message_empty", "message must not be empty")
        if again and self.conversation_id is None:
            raise ValueError("regenerate and continue_message_id need a conversation_id")
        if self.edit_of is not None and self.conversation_id is None:
            raise ValueError("edit_of needs a conversation_id")
        return self


def turn_request(body: ChatRequest) -> TurnRequest:
    """Return what the engine is asked."""
    return TurnRequest(**{name: getattr(body, name) for name in ChatRequest.model_fields})


class Replay(Body):
    """The same question once more, with something changed; what is absent stays as it was."""

    top_k: int | None = Field(default=None, ge=1, le=50)
    model_source: ModelSource | None = None
    model_name: str | None = Field(default=None, min_length=1, max_length=200)
    temperature: float | None = Field(default=None, ge=0, le=2)
    system_prompt: str | None = Field(default=None, max_length=20_000)
    use_rag: bool | None = None


class HighlightRead(Shape):
    """The sentence or row of a source that the answer rests on, its page, and its range in the file's text."""

    start: int
    end: int
    page: int | None = None
    text: str


class SourceRead(Shape):
    """A passage that the answer may cite as `[n]`; offsets count characters of the file's extracted text.

    `confidence` tells how likely it holds the answer, null where that can't be judged; `cited` whether the answer rests
    on it or it was only looked at, null while the answer is written; `highlight` the sentence that it rests on, if one
    says what the answer says. `shared` sources are of somebody else's files. What may not be read any more is not
    `available`, and has no text.
    """

    n: int
    file_id: UUID
    file_name: str
    chunk_id: UUID
    page: int | None = None
    start: int
    end: int
    snippet: str
    score: float
    confidence: Confidence | None = None
    cited: bool | None = None
    highlight: HighlightRead | None = None
    shared: bool = False
    available: bool = True


class SearchedRead(Shape):
    """What a turn searched: files that it named, its conversation's, your library's too, or nothing; and how many."""

    scope: Literal["files", "libraries", "conversation", "library", "none"]
    files: int


class StepRead(Shape):
    """A call of a tool that the model has made for its answer; `sources` are the numbers of those that it brought.

    `file_ids` are the files that the result itself was read from; where one may not be read any more, it is not
    `available` and has no preview.
    """

    id: str
    kind: Literal["tool"] = "tool"
    name: str
    title: str
    arguments: dict[str, Any]
    status: Literal["waiting", "running", "done", "failed", "denied"]
    result_preview: str | None = None
    sources: list[int] = Field(default_factory=list)
    file_ids: list[UUID] = Field(default_factory=list)
    shared: bool = False
    available: bool = True
    ms: int | None = None


class UsageRead(Shape):
    """Tokens of the answer's calls; `estimated` where the provider did not count them, or an answer broke off.

    `cached_tokens` are those of the input that the provider had read before; `cost_usd` is null where nobody knows the
    price.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated: bool = False
    cached_tokens: int = 0
    cost_usd: float | None = None


class ConversationUsage(Shape):
    """What a conversation has cost here, with all of its branches; `cost_usd` is that of the `priced` answers.

    Answers that were imported cost nothing here.
    """

    answers: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    priced: int


class Timings(Shape):
    """Milliseconds since the turn began; null for what did not happen."""

    retrieve_ms: int | None = None
    first_token_ms: int | None = None
    reasoning_ms: int | None = None
    total_ms: int


class ChatResponse(Shape):
    """A whole answer."""

    conversation_id: UUID
    message_id: UUID
    user_message_id: UUID
    run_id: UUID
    response: str
    reasoning: str | None = None
    sources: list[SourceRead]
    steps: list[StepRead] = Field(default_factory=list)
    searched: SearchedRead
    confidence: Confidence | None = Field(
        default=None, description="How likely the sources together hold the answer; null where that can't be judged."
    )
    model_source: str
    model_name: str
    fallback_from: str | None = None
    finish_reason: str | None
    usage: UsageRead | None
    timings: Timings


class ErrorRead(Shape):
    """Why an answer broke off."""

    code: str
    message: str


class InterruptRead(Shape):
    """What a waiting run asks of a person."""

    id: str
    value: Any


class Decision(Body):
    """A person's answer to a step that waits; `arguments` replace the step's where the decision is `edit`."""

    step_id: str = Field(min_length=1, max_length=200)
    decision: Literal["approve", "deny", "edit"]
    arguments: dict[str, Any] | None = None
    comment: str | None = Field(default=None, max_length=4_000)


class Resume(Body):
    """Decisions on the steps that a run waits for."""

    decisions: list[Decision] = Field(min_length=1, max_length=100)


class Resumed(Shape):
    """The run goes on, under the same id."""

    run_id: UUID
    status: RunStatusName


class RunRead(Shape):
    """The state of a run; `attempt` counts the workers that have tried."""

    id: UUID
    run_id: UUID
    status: RunStatusName
    conversation_id: UUID
    user_message_id: UUID
    message_id: UUID
    error: ErrorRead | None = None
    attempt: int = 1
    interrupts: list[InterruptRead] | None = None


class Cancelled(Shape):
    """The run was asked to stop; what was said so far is kept."""

    run_id: UUID
    status: RunStatusName
