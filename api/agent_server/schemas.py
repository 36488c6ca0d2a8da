"""What clients of the Agent Server protocol send. What this server can't honour is refused, not swallowed."""

from typing import Annotated, Any, Literal
from uuid import UUID

from langchain_core.messages import AnyMessage, convert_to_messages
from pydantic import ConfigDict, Field, ValidationError

from api.errors import details_of
from api.schemas.chat import ToolName
from api.schemas.common import Body, clean_text
from chains.types import ReasoningEffort
from llama_service.errors import BadRequest, ValidationFailed
from llama_service.settings import ModelSource

Offset = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""How many of a list's first items to leave out."""
SUPPORTED_MODES = ("values", "updates", "messages", "messages-tuple", "custom")


class ThreadCreate(Body):
    """A thread to begin, under an id of the client's own where it names one."""

    thread_id: UUID | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: Any = None
    ttl: Any = None

    def check(self) -> None:
        """Refuse what this server can't do. Raises ValidationFailed."""
        _refuse(self, "supersteps", "ttl")


class ThreadPatch(Body):
    """Metadata to put over a thread's."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    ttl: Any = None

    def check(self) -> None:
        """Refuse what this server can't do. Raises ValidationFailed."""
        _refuse(self, "ttl")


class ThreadSearch(Body):
    """Which threads to list; they hold at least this metadata."""

    ids: list[UUID] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    offset: Offset = 0
    sort_by: Literal["thread_id", "created_at", "updated_at", "status"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    values: Any = None
    extract: Any = None

    def check(self) -> None:
        """Refuse what this server can't do. Raises ValidationFailed."""
        _refuse(self, "values", "extract")


class CheckpointName(Body):
    """A state of a thread."""

    checkpoint_id: UUID | None = None


class CheckpointPlace(CheckpointName):
    """A state of a thread, named by itself or by a configuration of LangChain's."""

    configurable: CheckpointName | None = None

    @property
    def named(self) -> UUID | None:
        """The state's id."""
        return self.checkpoint_id or (self.configurable.checkpoint_id if self.configurable else None)


class StateAt(Body):
    """A checkpoint whose state is asked for."""

    checkpoint: CheckpointName


class StateUpdate(Body):
    """Values to put over a thread's state, as if a node had returned them."""

    values: dict[str, Any] | None = None
    as_node: str | None = None
    checkpoint: CheckpointName | None = None
    checkpoint_id: UUID | None = None


class HistoryRequest(Body):
    """Which states to list, newest first."""

    limit: int = Field(default=10, ge=1, le=1000)
    before: UUID | CheckpointPlace | None = None
    metadata: dict[str, Any] | None = None
    checkpoint: CheckpointName | None = None

    @property
    def earlier_than(self) -> str | None:
        """The checkpoint before which the states were, wherever the client has named it."""
        named = self.before.named if isinstance(self.before, CheckpointPlace) else self.before
        return str(named) if named else None


class TurnOptions(Body):
    """How a turn is to be answered: a run's `context`, or its `config.configurable`. See `ChatRequest`."""

    model_config = ConfigDict(extra="ignore")

    model_source: ModelSource | None = None
    model_name: str | None = Field(default=None, min_length=1, max_length=200)
    system_prompt: str | None = Field(default=None, max_length=20_000)
    use_rag: bool = True
    top_k: int | None = Field(default=None, ge=1, le=50)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=200_000)
    file_ids: list[UUID] | None = Field(default=None, max_length=200)
    library_ids: list[UUID] | None = Field(default=None, max_length=100)
    image_file_ids: list[UUID] | None = Field(default=None, max_length=8)
    tools: list[ToolName] | None = Field(default=None, max_length=128)
    reasoning_effort: ReasoningEffort | None = None


class RunConfig(Body):
    """LangChain's configuration of a run; of it only what is configurable here is looked at."""

    model_config = ConfigDict(extra="ignore")

    configurable: dict[str, Any] = Field(default_factory=dict)


class RunCreate(Body):
    """A run: a question (`input`), an answer to what a run waits for (`command`), or a state to run from again."""

    assistant_id: str
    input: dict[str, Any] | None = None
    command: dict[str, Any] | None = None
    config: RunConfig = Field(default_factory=RunConfig)
    context: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    checkpoint: CheckpointName | None = None
    checkpoint_id: UUID | None = None
    stream_mode: str | list[str] = "values"
    interrupt_before: str | list[str] | None = None
    interrupt_after: str | list[str] | None = None
    webhook: str | None = None
    after_seconds: float | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None
    if_not_exists: Literal["reject", "create"] = "reject"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"

    @property
    def modes(self) -> tuple[str, ...]:
        """The stream modes. Raises ValidationFailed for one that there is none of here."""
        modes = (self.stream_mode,) if isinstance(self.stream_mode, str) else tuple(self.stream_mode)
        for mode in modes:
            if mode not in SUPPORTED_MODES:
                raise unsupported("stream_mode", f"{mode} is not streamed here; use {', '.join(SUPPORTED_MODES)}.")
        return modes

    @property
    def base_checkpoint(self) -> str | None:
        """The checkpoint to run from, wherever the client has named it."""
        named = (self.checkpoint and self.checkpoint.checkpoint_id) or self.checkpoint_id
        named = named or self.config.configurable.get("checkpoint_id")
        return str(named) if named else None

    @property
    def options(self) -> TurnOptions:
        """How the turn is to be answered. Raises ValidationFailed."""
        given = {**self.config.configurable, **self.context}
        try:
            return TurnOptions.model_validate(given)
        except ValidationError as wrong:
            raise ValidationFailed(details=details_of(wrong, "body", "context")) from None

    def check(self) -> None:
        """Refuse what this server can't do. Raises ValidationFailed."""
        _refuse(self, "interrupt_before", "interrupt_after", "webhook", "after_seconds")
        if self.multitask_strategy in ("enqueue", "rollback"):
            why = f"{self.multitask_strategy} is not done here; use reject or interrupt."
            raise unsupported("multitask_strategy", why)
        if self.command and set(self.command) - {"resume"}:
            raise unsupported("command", "Only resume is supported here.")

    def messages(self) -> list[AnyMessage]:
        """Return the input's messages, of which the last is the question. Raises BadRequest, ValidationFailed."""
        given: Any = (self.input or {}).get("messages")
        try:
            messages: Any = convert_to_messages(given if isinstance(given, list) else [given])
        except (ValueError, TypeError, NotImplementedError, KeyError):
            raise unsupported("input", "messages are a list of LangChain messages") from None
        if not messages or messages[-1].type != "human" or not str(messages[-1].text).strip():
            raise BadRequest("The last message of the input has to be a question.")
        return list(messages)


def history_of(messages: list[AnyMessage]) -> list[tuple[str, str]]:
    """Return what stands before the question, for a thread that begins with it."""
    roles = {"human": "user", "ai": "assistant", "system": "system"}
    return [(roles[m.type], clean_text(str(m.text))) for m in messages[:-1] if m.type in roles]


def _refuse(body: Body, *names: str) -> None:
    for name in names:
        if getattr(body, name):
            raise unsupported(name, "This is not supported here.")


def unsupported(field: str, message: str) -> ValidationFailed:
    """Return the error for a field whose value this server can't honour."""
    return ValidationFailed(message, details=[{"loc": ["body", field], "msg": message, "type": "unsupported"}])
