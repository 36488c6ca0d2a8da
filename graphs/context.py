"""What a turn is told besides its messages, and the services that its nodes use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from chains.models import ModelRegistry
from chains.prompts import Said
from graphs.record import Generation, TurnRecord
from llama_service.settings import ModelSource, ProviderName
from persistence.search import Retrieval


@dataclass(frozen=True, slots=True)
class ChatContext:
    """The parameters of a turn. Scalars only travel into checkpoints' metadata; `services` never does.

    Ids are UUIDs as text. `services` is None under `langgraph dev`: the nodes then use the process's own.
    """

    user_id: str | None = None
    conversation_id: str | None = None
    model_source: ModelSource | None = None
    model_name: str | None = None
    system_prompt: str | None = None
    use_rag: bool = True
    top_k: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    file_ids: tuple[str, ...] = ()
    request_id: str = "-"
    services: Any = field(default=None, repr=False)


@runtime_checkable
class Services(Protocol):
    """What the nodes need of the world outside."""

    registry: ModelRegistry
    record: TurnRecord
    # The beginning of an answer that is to be continued, else empty.
    said: str
    # Characters of sources that a large model gets.
    budget: int
    # The provider that is expected to answer; another one may, where this one fails before its first word.
    planned: ProviderName

    @property
    def small(self) -> bool:
        """Whether a very small model is expected to answer: it gets less to read and simpler words."""
        ...

    async def history(self) -> Sequence[Said]:
        """Return the branch above the question, oldest first."""
        ...

    async def has_files(self) -> bool:
        """Whether the asker has any files."""
        ...

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        """Return the passages for a query within the turn's scope, `budget` in characters."""
        ...

    async def kept(self) -> None:
        """Wait until the question is kept: before that no model is asked and nothing is told."""
        ...

    def say(self, text: str) -> None:
        """Pass on a piece of the answer, at once and cheaply: this is called for every token."""
        ...

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Pass on an event that is not text."""
        ...

    async def told(self) -> None:
        """Wait until whoever listens has all that was said."""
        ...

    async def finish(self, generation: Generation) -> None:
        """Keep the answer. Safe to repeat."""
        ...
