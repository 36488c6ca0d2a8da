"""What a run of the graph is given besides its state: the turn's parameters, and the services that its nodes call."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.messages import AnyMessage

from chains.models import ModelRegistry
from chains.profile import AnswerPlan
from chains.types import ReasoningEffort
from graphs.pictures import Pictures
from graphs.record import TurnRecord
from graphs.state import AnswerInfo, SourceReference
from graphs.toolbox import Toolbox
from graphs.tools.spec import Files, Memory
from llama_service.settings import ModelSource
from persistence.model_policy import ModelAccess
from persistence.personal import Personal
from persistence.relevance import MessageKind
from persistence.search import Found, Retrieval
from persistence.tool_calls import CallRecord


@dataclass(frozen=True, slots=True)
class ChatContext:
    """The parameters of a turn. Ids are UUIDs as text.

    `message_id` is the answer's; `parent_id` is that of the message above the question: the state must hold it, or is
    rebuilt. `tools` are the names of those that may be called. `services` is None under `langgraph dev`; the nodes then
    use the process's own.
    """

    user_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None
    parent_id: str | None = None
    model_source: ModelSource | None = None
    model_name: str | None = None
    system_prompt: str | None = None
    use_rag: bool = True
    search_library: bool = True
    top_k: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[str, ...] = ()
    reasoning_effort: ReasoningEffort | None = None
    file_ids: tuple[str, ...] = ()
    library_ids: tuple[str, ...] = ()
    request_id: str = "-"
    services: Any = field(default=None, repr=False)


class FileSearch(Files, Pictures, Protocol):
    """The caller's files, as a turn may see them."""

    async def has_files(self) -> bool:
        """Return whether the caller has any files."""
        ...

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        """Return the passages for a query within the turn's scope, `budget` in characters."""
        ...

    async def kind_of(self, message: str) -> MessageKind | None:
        """Return what a message asks for, None where nothing tells."""
        ...

    async def came_with(self, message_id: str | None) -> bool:
        """Return whether files were attached with this question."""
        ...

    async def load(self, sources: Sequence[SourceReference]) -> list[Found]:
        """Return referenced passages with their texts, those that the caller may still see."""
        ...

    async def may_read(self, file_ids: Collection[str], *, shared: bool) -> bool:
        """Whether the caller may still read each of these files; one that is gone counts where it was another's."""
        ...


class CallStore(Protocol):
    """Where calls of tools are written down, so that each runs once."""

    async def begin(self, calls: Sequence[tuple[str, str, str]], checkpoint_id: str | None) -> Mapping[str, CallRecord]:
        """Write calls (id, name, status) down; return what is known of each when they and the state are on disk."""
        ...

    async def set(self, call_id: str, status: str, result: dict[str, Any] | None) -> None:
        """Write how far a call is, and what it gave."""
        ...


class Branch(Protocol):
    """The message tree in the database."""

    async def recent(self, message_id: str) -> list[AnyMessage]:
        """Return the newest messages of the branch that ends in `message_id`, oldest first."""
        ...


class AnswerStore(Protocol):
    """The run, as nodes know it: what came with its question, and where its answer goes."""

    @property
    def unfinished(self) -> str:
        """What a continued or taken-over answer begins with."""
        ...

    @property
    def personal(self) -> Personal:
        """What the caller wants every prompt to say; known when the question is in the database."""
        ...

    async def question_committed(self) -> None:
        """Wait until the question is in the database: before that no model is asked and nothing is sent."""
        ...

    async def save(self, text: str, info: AnswerInfo, checkpoint_id: str | None) -> None:
        """Write the whole answer and end the run. Safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class TurnServices:
    """What the nodes need of the world outside; each part has one job."""

    models: ModelRegistry
    # What whoever asks may use of them.
    access: ModelAccess
    plan: AnswerPlan
    files: FileSearch
    branch: Branch
    answer: AnswerStore
    tools: Toolbox
    calls: CallStore
    memory: Memory | None
    record: TurnRecord
    # Characters of sources that a large model gets.
    source_budget: int
