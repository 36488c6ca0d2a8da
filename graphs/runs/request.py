"""What a caller asks of the engine; kept with the run, so that another worker can go on with it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from chains.types import ReasoningEffort
from llama_service.settings import ModelSource
from persistence.turn_start import NewConversation, Question


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A question, its place in the tree, and how it is to be answered. See `ChatRequest` for the fields."""

    message: str
    conversation_id: UUID | None = None
    parent_message_id: UUID | None = None
    edit_of: UUID | None = None
    regenerate: bool = False
    continue_message_id: UUID | None = None
    at_end: bool = False
    model_source: ModelSource | None = None
    model_name: str | None = None
    system_prompt: str | None = None
    use_rag: bool = True
    top_k: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    file_ids: Sequence[UUID] | None = None
    library_ids: Sequence[UUID] | None = None
    image_file_ids: Sequence[UUID] | None = None
    tools: Sequence[str] | None = None
    reasoning_effort: ReasoningEffort | None = None
    # Messages (role, content) before the question, where the turn begins a conversation.
    history: Sequence[tuple[str, str]] = ()

    def question(self) -> Question:
        """Return what is asked, and where."""
        return Question(
            self.message,
            self.conversation_id,
            self.parent_message_id,
            self.edit_of,
            self.regenerate,
            self.continue_message_id,
            self.image_file_ids,
            self.at_end,
        )

    def new_conversation(self) -> NewConversation:
        """Return the conversation that the turn begins."""
        return NewConversation(self.model_source, self.model_name, self.system_prompt, self.history, self.tools)

    def kept(self) -> dict[str, Any]:
        """Return what is kept with the run: everything but the texts, which are messages."""
        fields = asdict(self)
        del fields["message"], fields["history"]
        return fields

    @classmethod
    def of_kept(cls, kept: dict[str, Any], message: str) -> "TurnRequest":
        """Return the request of a run that was started elsewhere, as far as its execution needs it."""
        names = (
            *("model_source", "model_name", "system_prompt", "use_rag", "top_k", "temperature", "max_tokens"),
            *("tools", "reasoning_effort", "regenerate"),
        )
        files, libraries = ([UUID(id_) for id_ in kept.get(name) or ()] for name in ("file_ids", "library_ids"))
        told = {name: kept[name] for name in names if name in kept}
        return cls(message, file_ids=files or None, library_ids=libraries or None, **told)

    def with_model(self, source: ModelSource | None, name: str | None) -> "TurnRequest":
        """Return the request with the model that was chosen for it."""
        return replace(self, model_source=source, model_name=name)
