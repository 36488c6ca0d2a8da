"""Begin turns: check, write, start, for every way in (REST, SSE, LangServe, replay)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from api.channel import line_of
from api.schemas.chat import ChatRequest
from api.state import AppState
from api.turn import TurnServices
from chains.plan import plan
from chains.title import first_words
from graphs.context import ChatContext
from llama_service.errors import NotFound, ValidationFailed
from llama_service.settings import ModelSource, ProviderName
from persistence import files, turns
from persistence.turns import Asked, Begun, Opening, Thread

# Characters of history to read for a token that the model reads; more can't fit.
_CHARS_PER_TOKEN = 5


@dataclass(frozen=True, slots=True)
class _Choice:
    source: ModelSource | None
    name: str | None
    planned: ProviderName
    model: str
    fallback_from: ModelSource | None


def _check_length(state: AppState, message: str) -> None:
    limit = state.settings.max_message_chars
    if len(message) > limit:
        raise ValidationFailed(
            details=[{"loc": ["body", "message"], "msg": f"at most {limit} characters", "type": "string_too_long"}]
        )


class _Choosing:
    """Decides on model and rules once the conversation is known: the request's word, then the conversation's."""

    def __init__(self, state: AppState, request: ChatRequest) -> None:
        self._state = state
        self._request = request
        self.line = ""
        self.choice: _Choice | None = None

    def choose(self, thread: Thread) -> _Choice:
        """Return the model for a turn in this conversation."""
        if self.choice is None:
            request, settings = self._request, self._state.settings
            source: ModelSource | None = request.model_source or thread.model_source  # type: ignore[assignment]  # checked when it was written
            name = request.model_name
            if name is None and source == thread.model_source:
                name = thread.model_name
            planned, fallback_from = plan(settings, self._state.watch.status, source)
            default = self._state.registry.default_model(planned) or planned
            model = default if fallback_from or name is None else name
            self.choice = _Choice(source, name, planned, model, fallback_from)
        return self.choice

    def characters(self, thread: Thread) -> int:
        """Return how much of the branch is worth reading for this turn's model."""
        choice = self.choose(thread)
        return self._state.registry.context_window(choice.planned, choice.model) * _CHARS_PER_TOKEN

    def request(self, thread: Thread) -> str:
        """Return what is kept of the request with the run: enough to ask it again."""
        choice = self.choose(thread)
        kept = self._request.model_dump(mode="json", exclude={"message"})
        return orjson.dumps({**kept, "model_source": choice.source, "model_name": choice.name}).decode()

    def start(self, thread: Thread, run: UUID, question: UUID, answer: UUID) -> str:
        """Return the run's first event."""
        choice = self.choose(thread)
        data: dict[str, Any] = {
            "run_id": str(run),
            "conversation_id": str(thread.id),
            "user_message_id": str(question),
            "message_id": str(answer),
            "model_source": choice.planned,
            "model_name": choice.model,
        }
        if choice.fallback_from:
            data["fallback_from"] = choice.fallback_from
        self.line = line_of("start", data)
        return self.line

    def title(self, question: str) -> str:
        """Return the title that a conversation has until a better one is made."""
        return first_words(question)


async def begin(
    state: AppState,
    request: ChatRequest,
    user_id: UUID | None,
    request_id: str,
    *,
    earlier: Sequence[tuple[str, str]] = (),
) -> TurnServices:
    """Write the question and start its run. When this returns, nothing of the turn can be lost any more.

    `earlier` is a talk (role, content) that the caller brings along; it becomes the beginning of a new conversation.
    Raises NotFound, Conflict, BadRequest, ValidationFailed.
    """
    _check_length(state, request.message)
    choosing = _Choosing(state, request)
    asked = Asked(
        request.message,
        request.conversation_id,
        request.parent_message_id,
        request.edit_of,
        request.regenerate,
        request.continue_message_id,
    )
    if request.file_ids:
        async with state.database.reading() as session:
            await _check_files(session, user_id, request.file_ids)
    opening = Opening(request.model_source, request.model_name, request.system_prompt, earlier)
    begun = await turns.begin(
        state.database, asked, user_id=user_id, worker=state.runs.worker, opening=opening, lines=choosing
    )
    return _launch(state, request, user_id, request_id, begun, choosing)


async def _check_files(session: Any, user_id: UUID | None, file_ids: list[UUID]) -> None:
    if user_id is None or not await files.all_owned(session, user_id, file_ids):
        raise NotFound


def _launch(
    state: AppState,
    request: ChatRequest,
    user_id: UUID | None,
    request_id: str,
    begun: Begun,
    choosing: _Choosing,
) -> TurnServices:
    choice = choosing.choose(begun.conversation)
    services = TurnServices(
        begun=begun,
        channel=state.runs.open_channel(begun.run_id, choosing.line),
        database=state.database,
        events=state.runs.events,
        registry=state.registry,
        retriever=state.retriever,
        worker=state.runs.worker,
        user_id=user_id,
        request_id=request_id,
        planned=choice.planned,
        planned_model=choice.model,
        fallback_from=choice.fallback_from,
        budget=state.settings.retrieval_budget_chars,
        patience=state.settings.retrieval_wait_seconds,
    )
    context = ChatContext(
        user_id=str(user_id) if user_id else None,
        conversation_id=str(begun.conversation_id),
        model_source=choice.source,
        model_name=choice.name,
        system_prompt=request.system_prompt or begun.conversation.system_prompt,
        use_rag=request.use_rag,
        top_k=request.top_k,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        file_ids=tuple(str(file_id) for file_id in request.file_ids or ()),
        request_id=request_id,
        services=services,
    )
    state.runs.launch(services, context)
    return services
