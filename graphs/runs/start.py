"""Begins turns, for every door: places the question, starts its run, and writes both."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

import orjson

from chains.models import ModelRegistry
from chains.plan import expected
from chains.profile import AnswerPlan
from chains.title import first_words
from chains.types import ProviderStatus
from graphs.context import ChatContext, TurnServices
from graphs.files import CallerFiles, Reach, Tables
from graphs.memory import CallerMemory
from graphs.pictures import MAX_PICTURE_BYTES, PictureReader
from graphs.record import TurnRecord
from graphs.runs.branch import ConversationBranch
from graphs.runs.calls import RunCalls
from graphs.runs.engine import RunEngine
from graphs.runs.request import TurnRequest
from graphs.runs.run import Run, Sent
from graphs.toolbox import NO_TOOLS, Toolbox
from graphs.tools.catalog import ToolCatalog
from llama_service.errors import (
    AppError,
    Conflict,
    ModelCannot,
    ModelNotAllowed,
    NotAuthenticated,
    NotFound,
    ToolUnknown,
    ValidationFailed,
    reason_of,
)
from llama_service.ids import new_id
from llama_service.settings import ModelSource, ProviderName, Settings
from persistence import files
from persistence.access import check_named
from persistence.events import RunEvent, event_line
from persistence.model_policy import EVERY_MODEL, ModelAccess
from persistence.run_end import ClaimedRun
from persistence.search import Retriever, Scope
from persistence.session import Database
from persistence.sessions import Claims
from persistence.turn_start import (
    ConversationRow,
    Placement,
    StaleConversation,
    TurnWrite,
    find_asked,
    find_place,
    place_in_new_conversation,
    write_turn,
)
from persistence.withheld import withhold

_TRIES = 5  # at a conversation that others change at the same moment

_ANSWERS = UUID("5f0d3c5e-6a51-4b7c-9c44-0f7f0b6f6f0a")
"""Names the ids of answers to questions that came with a key (RFC 9562, 6.5 Name-Based UUID Generation)."""

ProviderStates = Callable[[], Mapping[ProviderName, ProviderStatus]]


class AlreadyAsked(Exception):
    """A person's question with this key was taken before; `run_id` is the run that answers it."""

    def __init__(self, user_id: UUID, run_id: UUID) -> None:
        super().__init__(f"run {run_id}")
        self.user_id, self.run_id = user_id, run_id


async def _confirmed() -> None:
    return None


@dataclass(frozen=True, slots=True)
class TurnCaller:
    """Who asks. Where `claims` are given, their session is checked by the statement that writes the turn.

    `confirm` checks it by itself, and raises what is wrong with it.
    """

    user_id: UUID | None
    claims: Claims | None = None
    confirm: Callable[[], Awaitable[None]] = _confirmed


@dataclass(frozen=True, slots=True)
class TurnStarter:
    """Begins turns with the process's resources."""

    settings: Settings
    database: Database
    engine: RunEngine
    models: ModelRegistry
    retriever: Retriever
    tables: Tables
    pictures: PictureReader
    tools: ToolCatalog
    provider_states: ProviderStates

    async def start_turn(
        self, request: TurnRequest, caller: TurnCaller, request_id: str, key: str | None = None
    ) -> Run:
        """Write the question and start its run. When this returns, nothing of the turn can be lost any more.

        `key` is the client's name for this attempt (`Idempotency-Key`): whoever has not heard whether the question was
        taken sends it again under the same key, and is told of the run by AlreadyAsked. The id of the answer is made of
        it, so that the messages' primary key lets one of two such questions in, at no cost.

        Raises NotFound, Conflict, BadRequest, ValidationFailed, and what `caller.confirm` raises.
        """
        answer_id = uuid5(_ANSWERS, f"{caller.user_id} {key}") if key is not None and caller.user_id else None
        try:
            return await self._start(request, caller, request_id, answer_id)
        except AppError:
            # Whose session has ended learns that, and nothing else.
            await caller.confirm()
            if answer_id is not None and caller.user_id is not None:
                await self._check_asked(request, caller.user_id, answer_id)
            raise

    async def _check_asked(self, request: TurnRequest, user_id: UUID, answer_id: UUID) -> None:
        """Raise AlreadyAsked where the answer is there, ValidationFailed where it answers another question."""
        asked = await find_asked(self.database, answer_id, user_id)
        if asked is None:
            return
        is_same = request.regenerate or request.message == asked.question
        if not is_same or request.conversation_id not in (None, asked.conversation_id):
            told = {"loc": ["header", "Idempotency-Key"], "msg": "was sent with another question", "type": "key_reused"}
            raise ValidationFailed(details=[told])
        raise AlreadyAsked(user_id, asked.run_id)

    async def _start(self, request: TurnRequest, caller: TurnCaller, request_id: str, answer_id: UUID | None) -> Run:
        self._check_length(request.message)
        if request.file_ids or request.library_ids:
            await self._check_reach(caller.user_id, request)
        if request.image_file_ids:
            await self._check_pictures(caller.user_id, request.image_file_ids)
        for _ in range(_TRIES):
            try:
                return await self._try(request, caller, request_id, answer_id)
            except StaleConversation:
                await caller.confirm()
        raise Conflict.because("being_changed", "This conversation is being changed; try again.")

    def _check_length(self, message: str) -> None:
        limit = self.settings.max_message_chars
        if len(message) > limit:
            told = reason_of("string_too_long", f"at most {limit} characters", field="message", limit=limit)
            raise ValidationFailed(details=[told | {"code": "message_too_long"}])

    async def _check_reach(self, user_id: UUID | None, request: TurnRequest) -> None:
        if user_id is None:
            raise NotFound
        async with self.database.reading() as session:
            await check_named(session, user_id, request.file_ids, request.library_ids)

    async def _check_pictures(self, user_id: UUID | None, ids: Sequence[UUID]) -> None:
        if user_id is None:
            raise NotFound
        async with self.database.reading() as session:
            found = await files.of_ids(session, user_id, ids)
        if len(found) < len(set(ids)):
            raise NotFound
        for file in found:
            wrong = None
            if file.mime not in files.VIEWABLE:
                wrong = "only PNG, JPEG, WebP and GIF pictures can be shown to a model"
            elif file.size > MAX_PICTURE_BYTES:
                wrong = f"a picture may have {MAX_PICTURE_BYTES // 1048576} MB"
            if wrong is not None:
                raise ValidationFailed(details=[{"loc": ["body", "image_file_ids"], "msg": wrong, "type": "picture"}])

    async def _check_texts(self, user_id: UUID | None, ids: Sequence[UUID]) -> None:
        """A model that does not see can read a picture's text, where there is any."""
        found = {}
        if user_id is not None:
            found = await self.pictures.texts(user_id, ids, self.settings.retrieval_wait_seconds)
        if len(found) < len(set(ids)):
            raise ModelCannot.because(
                "pictures_unseen", "This model can't look at pictures, and no text was recognised in them."
            )

    async def _try(self, request: TurnRequest, caller: TurnCaller, request_id: str, answer_id: UUID | None) -> Run:
        question = request.question()
        if question.conversation_id is None:
            place = place_in_new_conversation(question, request.new_conversation())
        elif caller.user_id is None:
            raise NotFound
        else:
            place = await find_place(self.database, question, caller.user_id)
        if answer_id is not None and place.new_answer:
            place = replace(place, answer_id=answer_id)
        access = await self.models.access_of(caller.user_id)
        plan_ = self._plan(request, place.conversation, access)
        if request.image_file_ids and not self.models.sees(plan_.provider, plan_.model):
            await self._check_texts(caller.user_id, request.image_file_ids)
        request = request.with_model(plan_.source, plan_.name)
        run_id = new_id()
        start = RunEvent(1, "start", _start_line(run_id, place, plan_))
        toolbox = await self._toolbox(request, place.conversation, plan_, caller.user_id)
        run = self._prepare(run_id, place, plan_, access, request, toolbox, caller.user_id, request_id, [start])
        await self._show_first_part(run)
        run.expect_commit()
        # The graph loads its state while the question is written; it asks no model before that is done.
        self.engine.launch(run)
        title = first_words(place.question) if place.is_first else None
        kept = orjson.dumps(request.kept(), default=str).decode()
        write = TurnWrite(run_id, self.engine.worker, caller.user_id, caller.claims, kept, start.line, title)
        try:
            written = await write_turn(self.database, place, write)
        except BaseException:
            self.engine.abandon(run)
            raise
        run.note_commit(written)
        return run

    async def _show_first_part(self, run: Run) -> None:
        """Give a run the sources and steps of a continued answer's first part, as their reader may see them now."""
        records = (run.place.unfinished.sources, run.place.unfinished.steps)
        if any(records):
            async with self.database.reading() as session:
                run.record.earlier_sources, run.earlier_steps = await withhold(session, run.user_id, records)

    def _plan(self, request: TurnRequest, conversation: ConversationRow, access: ModelAccess) -> AnswerPlan:
        """Choose the model: the request's, then the conversation's, then the default or who stands in for it.

        Raises ModelNotAllowed.
        """
        source: ModelSource | None = request.model_source or conversation.model_source  # type: ignore[assignment]  # checked when it was written
        name = request.model_name
        if name is None and source == conversation.model_source:
            name = conversation.model_name
        provider, chosen = expected(self.models.candidates(source, name, access), self.provider_states())
        model = chosen.name or self.models.default_model(provider) or provider
        if not access.allows(provider, model):
            raise ModelNotAllowed
        return AnswerPlan(provider, model, source, name, chosen.fallback_from)

    async def _toolbox(
        self, request: TurnRequest, conversation: ConversationRow, plan_: AnswerPlan, user_id: UUID | None
    ) -> Toolbox:
        """Return the tools that are on: the request's, else the conversation's, else the operator's.

        Raises ToolUnknown and ModelCannot for what a question names; another answer to it does without.
        """
        insists = bool(request.tools) and not request.regenerate
        names = self._tool_names(request, conversation)
        if insists and user_id is None:
            raise NotAuthenticated("Sign in to use tools.")
        if not names or user_id is None:
            return NO_TOOLS
        if not self.models.takes_tools(plan_.provider, plan_.model):
            if insists:
                raise ModelCannot.because(
                    "no_tools", "This model takes no tools; switch them off or choose another model."
                )
            return NO_TOOLS
        toolbox = await self._tools_that_are_there(names, conversation, user_id)
        if insists and (unknown := [name for name in names if name not in toolbox.specs]):
            raise ToolUnknown(f"There is no tool named “{unknown[0][:100]}” here.")
        return toolbox

    def _tool_names(self, request: TurnRequest, conversation: ConversationRow) -> Sequence[str]:
        if request.tools is not None:
            return request.tools
        return conversation.tools if conversation.tools is not None else self.settings.default_tools

    async def _tools_that_are_there(
        self, names: Sequence[str], conversation: ConversationRow, user_id: UUID
    ) -> Toolbox:
        return Toolbox(await self.tools.find(names, user_id), frozenset(conversation.approved_tools))

    async def _toolbox_again(
        self, request: TurnRequest, conversation: ConversationRow, plan_: AnswerPlan, user_id: UUID | None, sent: Sent
    ) -> Toolbox:
        """Return the tools of a run that goes on, without those that have gone since it began: their calls fail.

        Calls that were asked for are made, whether or not the model that is asked now takes tools.
        """
        names = self._tool_names(request, conversation)
        is_needed = bool(sent.steps) or self.models.takes_tools(plan_.provider, plan_.model)
        if user_id is None or not names or not is_needed:
            return NO_TOOLS
        return await self._tools_that_are_there(names, conversation, user_id)

    async def prepare_claimed(self, claimed: ClaimedRun) -> Run:
        """Return a run that was started by another worker, ready to be gone on with."""
        request = TurnRequest.of_kept(claimed.request, claimed.place.question)
        access = await self.models.access_of(claimed.user_id)
        try:
            plan_ = self._plan(request, claimed.place.conversation, access)
        except ModelNotAllowed:  # which was taken away meanwhile: the run ends with that, when its model is asked
            plan_ = self._plan(request, claimed.place.conversation, EVERY_MODEL)
        events = [RunEvent(*event) for event in claimed.events]
        user_id, request_id = claimed.user_id, f"run-{claimed.run_id}"
        sent = Sent.of(events)
        toolbox = await self._toolbox_again(request, claimed.place.conversation, plan_, user_id, sent)
        run = self._prepare(claimed.run_id, claimed.place, plan_, access, request, toolbox, user_id, request_id, events)
        await self._show_first_part(run)
        run.sent = sent
        run.record.tool_steps = {step["id"]: step for step in sent.steps}
        run.record.attempt = claimed.attempt
        run.personal = claimed.personal
        return run

    def _prepare(
        self,
        run_id: UUID,
        place: Placement,
        plan_: AnswerPlan,
        access: ModelAccess,
        request: TurnRequest,
        toolbox: Toolbox,
        user_id: UUID | None,
        request_id: str,
        events: list[RunEvent],
    ) -> Run:
        conversation = place.conversation
        run = Run(
            run_id=run_id,
            worker=self.engine.worker,
            user_id=user_id,
            request_id=request_id,
            place=place,
            plan=plan_,
            record=TurnRecord(),
            stream=self.engine.open_stream(run_id, events),
            files=self._files(request, user_id, conversation),
            database=self.database,
            events=self.engine.events,
        )
        services = TurnServices(
            models=self.models,
            access=access,
            plan=plan_,
            files=run.files,
            branch=ConversationBranch(self.database, conversation.id),
            answer=run,
            tools=toolbox,
            calls=RunCalls(self.database, run_id, self.engine.worker),
            memory=CallerMemory(self.database, user_id, is_off=conversation.temporary) if user_id else None,
            record=run.record,
            source_budget=self.settings.retrieval_budget_chars,
        )
        run.context = ChatContext(
            user_id=str(user_id) if user_id else None,
            conversation_id=str(conversation.id),
            message_id=str(place.answer_id),
            parent_id=str(place.parent_id) if place.parent_id else None,
            model_source=plan_.source,
            model_name=plan_.name,
            system_prompt=request.system_prompt or conversation.system_prompt,
            use_rag=request.use_rag,
            search_library=conversation.search_library,
            top_k=request.top_k,
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            tools=tuple(toolbox.specs),
            reasoning_effort=request.reasoning_effort,
            file_ids=tuple(str(file_id) for file_id in request.file_ids or ()),
            library_ids=tuple(str(library_id) for library_id in request.library_ids or ()),
            request_id=request_id,
            services=services,
        )
        return run

    def _files(self, request: TurnRequest, user_id: UUID | None, conversation: ConversationRow) -> CallerFiles:
        reach = None
        if user_id is not None:
            library = conversation.search_library
            scope = Scope(user_id, conversation.id, request.file_ids, library, request.library_ids)
            reach = Reach(self.retriever, self.database, scope)
        return CallerFiles(reach, self.tables, self.pictures, self.settings.retrieval_wait_seconds)


def _start_line(run_id: UUID, place: Placement, plan_: AnswerPlan) -> str:
    data = {
        "run_id": str(run_id),
        "conversation_id": str(place.conversation.id),
        "parent_message_id": str(place.parent_id) if place.parent_id else None,
        "user_message_id": str(place.question_id),
        "message_id": str(place.answer_id),
        "model_source": plan_.provider,
        "model_name": plan_.model,
    }
    return event_line("start", data | ({"fallback_from": plan_.fallback_from} if plan_.fallback_from else {}))
