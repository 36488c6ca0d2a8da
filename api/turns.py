"""Begin turns: check, write, start, for every way in (REST, SSE, LangServe, replay)."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
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
from llama_service.errors import AppError, NotFound, ValidationFailed
from llama_service.settings import ModelSource, ProviderName
from persistence import files, turns
from persistence.recall import Recalled, Thread
from persistence.sessions import Claims
from persistence.turns import Asked, Begun, Opening, Overtaken

# Characters of history to read for a token that the model reads; more can't fit.
_CHARS_PER_TOKEN = 5


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: nobody in particular, somebody whose session was looked at, or one whose `claims` are still to be."""

    user_id: UUID | None
    claims: Claims | None = None

    async def confirm(self, state: AppState) -> None:
        """Look whether the session behind the claims stands. Raises TokenExpired, Forbidden."""
        if self.claims is not None:
            await state.tokens.caller(state.database, self.claims)


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

    def characters(self, thread: Thread | None) -> int:
        """Return how much of the branch is worth reading for this turn's model, or for the one that is likely."""
        if thread is None:
            source, name = self._request.model_source, self._request.model_name
        else:
            choice = self.choose(thread)
            source, name = choice.planned, choice.model
        return self._state.registry.context_window(source, name) * _CHARS_PER_TOKEN

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
    asker: Asker,
    request_id: str,
    *,
    earlier: Sequence[tuple[str, str]] = (),
) -> TurnServices:
    """Write the question and start its run. When this returns, nothing of the turn can be lost any more.

    `earlier` is a talk (role, content) that the caller brings along; it becomes the beginning of a new conversation.
    Raises NotFound, Conflict, BadRequest, ValidationFailed, and what `Asker.confirm` raises.
    """
    turn = _Turn(state, request, asker, request_id, earlier)
    try:
        _check_length(state, request.message)
        if request.file_ids:
            await _check_files(state, asker.user_id, request.file_ids)
        recalled = turn.recalled()
        if recalled is not None:
            with suppress(Overtaken):
                return await turn.begin_at_once(recalled)
            turn.forget()
        with suppress(Overtaken):
            return await turn.begin_at_once()
    except AppError:
        # Whose session has ended hears of that, and of nothing else.
        await asker.confirm(state)
        raise
    await asker.confirm(state)
    return await turn.begin()


async def _check_files(state: AppState, user_id: UUID | None, file_ids: list[UUID]) -> None:
    async with state.database.reading() as session:
        if user_id is None or not await files.all_owned(session, user_id, file_ids):
            raise NotFound


@dataclass(frozen=True, slots=True)
class _Turn:
    state: AppState
    request: ChatRequest
    asker: Asker
    request_id: str
    earlier: Sequence[tuple[str, str]]

    def recalled(self) -> Recalled | None:
        """Return what is remembered of the branch that a plain question goes on."""
        asked, user_id = self._asked(), self.asker.user_id
        if user_id is None or asked.conversation_id is None or not asked.is_plain:
            return None
        recalled = self.state.recall.get(user_id, asked.conversation_id)
        if recalled is not None and asked.parent_message_id not in (None, recalled.thread.leaf_id):
            return None
        return recalled

    def forget(self) -> None:
        """Forget what is remembered of the conversation: it is not so any more."""
        if self.asker.user_id is not None and self.request.conversation_id is not None:
            self.state.recall.drop(self.asker.user_id, self.request.conversation_id)

    async def begin_at_once(self, recalled: Recalled | None = None) -> TurnServices:
        """Begin a plain question of somebody in a conversation; raise Overtaken where that is not so simple."""
        asked, user_id = self._asked(), self.asker.user_id
        if not asked.is_plain or user_id is None:
            raise Overtaken
        state, choosing = self.state, _Choosing(self.state, self.request)
        beginning = turns.beginning_at_once(
            state.database,
            asked,
            user_id=user_id,
            claims=self.asker.claims,
            worker=state.runs.worker,
            lines=choosing,
            recalled=recalled,
        )
        return await self._run(beginning, choosing)

    async def begin(self) -> TurnServices:
        """Begin any turn of somebody who is confirmed."""
        state, choosing = self.state, _Choosing(self.state, self.request)
        beginning = turns.beginning(
            state.database,
            self._asked(),
            user_id=self.asker.user_id,
            worker=state.runs.worker,
            opening=self._opening(),
            lines=choosing,
        )
        return await self._run(beginning, choosing)

    async def _run(self, beginning: AbstractAsyncContextManager[Begun], choosing: _Choosing) -> TurnServices:
        services: TurnServices | None = None
        try:
            async with beginning as begun:
                # The graph prepares while the question is written; it asks no model before that is done.
                services = self._launch(begun, choosing)
        except BaseException:
            if services is not None:
                self.state.runs.abandon(services)
            raise
        services.note_kept()
        return services

    def _asked(self) -> Asked:
        request = self.request
        return Asked(
            request.message,
            request.conversation_id,
            request.parent_message_id,
            request.edit_of,
            request.regenerate,
            request.continue_message_id,
        )

    def _opening(self) -> Opening:
        request = self.request
        return Opening(request.model_source, request.model_name, request.system_prompt, self.earlier)

    def _launch(self, begun: Begun, choosing: _Choosing) -> TurnServices:
        state, choice = self.state, choosing.choose(begun.conversation)
        services = TurnServices(
            begun=begun,
            channel=state.runs.open_channel(begun.run_id, choosing.line),
            database=state.database,
            events=state.runs.events,
            registry=state.registry,
            retriever=state.retriever,
            recall=state.recall,
            worker=state.runs.worker,
            user_id=self.asker.user_id,
            request_id=self.request_id,
            planned=choice.planned,
            planned_model=choice.model,
            fallback_from=choice.fallback_from,
            budget=state.settings.retrieval_budget_chars,
            patience=state.settings.retrieval_wait_seconds,
        )
        state.runs.launch(services, self._context(begun, choice, services))
        return services

    def _context(self, begun: Begun, choice: _Choice, services: TurnServices) -> ChatContext:
        request = self.request
        return ChatContext(
            user_id=str(self.asker.user_id) if self.asker.user_id else None,
            conversation_id=str(begun.conversation_id),
            model_source=choice.source,
            model_name=choice.name,
            system_prompt=request.system_prompt or begun.conversation.system_prompt,
            use_rag=request.use_rag,
            top_k=request.top_k,
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            file_ids=tuple(str(file_id) for file_id in request.file_ids or ()),
            request_id=self.request_id,
            services=services,
        )
