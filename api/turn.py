"""One turn's services: what the graph's nodes reach the world through, and how the turn's end is written."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import orjson

from api.channel import RunChannel, line_of
from chains.models import ModelRegistry
from chains.prompts import Said
from graphs.context import ChatContext
from graphs.record import Generation, TurnRecord
from llama_service.errors import AppError
from llama_service.settings import ModelSource, ProviderName
from persistence import turns
from persistence.checkpoints import Hold
from persistence.events import EventLog
from persistence.recall import Recall
from persistence.search import Retrieval, Retriever, Scope
from persistence.session import Database
from persistence.turns import Begun, Ended


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends besides well: the status of run and message, and the error to tell."""

    status: str
    message_status: str
    error: AppError | None = None


COMPLETED = Ending("completed", "complete")
STOPPED = Ending("stopped", "stopped")


def _dump(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, default=str).decode()


class TurnServices:
    """The services of one run in the API."""

    def __init__(
        self,
        *,
        begun: Begun,
        channel: RunChannel,
        database: Database,
        events: EventLog,
        registry: ModelRegistry,
        retriever: Retriever,
        recall: Recall,
        worker: UUID,
        user_id: UUID | None,
        request_id: str,
        planned: ProviderName,
        planned_model: str,
        fallback_from: ModelSource | None,
        budget: int,
        patience: float,
    ) -> None:
        self.begun = begun
        self.channel = channel
        self.registry = registry
        self.record = TurnRecord()
        self.said = begun.said
        self.budget = budget
        self.planned = planned
        self._history = [Said(said.role, said.content, str(said.id)) for said in begun.history]
        self.finished = False
        self.abandoned = False
        self._kept: asyncio.Event | None = asyncio.Event()
        self.hold = Hold()
        self.error: AppError | None = None
        # How the graph itself ended the turn, once it did.
        self.meant: Ending | None = None
        self.user_id = user_id
        self.request_id = request_id
        self._database = database
        self._events = events
        self._retriever = retriever
        self._recall = recall
        self._worker = worker
        self._planned_model = planned_model
        self._fallback_from = fallback_from
        self._patience = patience

    @property
    def small(self) -> bool:
        """Whether the model that ships with the service is expected to answer."""
        return self.planned == "embedded"

    async def has_files(self) -> bool:
        """Whether the asker has any files; known when the question is kept."""
        await self.kept()
        return self.user_id is not None and self.begun.has_files

    async def history(self) -> Sequence[Said]:
        """Return the branch above the question."""
        return self._history

    def note_kept(self) -> None:
        """Note that question and run are in the database."""
        self.hold.kept = not self.abandoned
        if self._kept is not None:
            self._kept.set()
            self._kept = None

    def abandon(self) -> None:
        """Note that question and run could not be written: there is no turn."""
        self.abandoned = self.hold.dropped = True
        self.note_kept()

    async def kept(self) -> None:
        """Wait until the question is kept."""
        if self._kept is not None:
            await self._kept.wait()

    def say(self, text: str) -> None:
        """Pass on a piece of the answer; the first one goes out without delay."""
        self.record.parts.append(text)
        self._events.touch(self.channel, at_once=self.channel.add_text(text))

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Pass on an event that is not text."""
        self.channel.say(event, data)
        self._events.touch(self.channel, at_once=True)

    async def told(self) -> None:
        """Wait until all that was said is kept, and so is shown: before the graph goes on to work for the end."""
        self._events.touch(self.channel, at_once=True)
        await self.channel.settled()

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        """Search the files of the turn's scope, if the caller has any."""
        if self.user_id is None or not await self.has_files():
            return Retrieval(query)
        scope = Scope(self.user_id, self.begun.conversation_id, [UUID(file_id) for file_id in context.file_ids] or None)
        return await self._retriever.retrieve(scope, query, budget=budget, wait=self._patience)

    async def finish(self, generation: Generation) -> None:
        """Write the answer's end, good or bad, once."""
        ending = COMPLETED
        if generation.error is not None:
            ending = Ending("failed", "failed", generation.error)
        self.meant = ending
        await self.end(ending)

    def result(self, ending: Ending) -> dict[str, Any]:
        """Return what `done` and ChatResponse tell, without the text."""
        record = self.record
        finish_reason = record.end.finish_reason if record.end else ending.status
        return {
            "conversation_id": str(self.begun.conversation_id),
            "message_id": str(self.begun.message_id),
            "user_message_id": str(self.begun.user_message_id),
            "run_id": str(self.begun.run_id),
            "sources": record.sources,
            "model_source": record.start.source if record.start else self.planned,
            "model_name": record.start.model if record.start else self._planned_model,
            "fallback_from": record.start.fallback_from if record.start else self._fallback_from,
            "finish_reason": finish_reason,
            "usage": self._usage(),
            "timings": self._timings(),
        }

    def _usage(self) -> dict[str, Any] | None:
        return asdict(self.record.end.usage) if self.record.end else None

    def _timings(self) -> dict[str, Any]:
        record = self.record
        return {
            "retrieve_ms": record.retrieve_ms,
            "first_token_ms": record.first_token_ms,
            "total_ms": record.elapsed_ms(),
        }

    async def end(self, ending: Ending) -> None:
        """Write text, trace and last event in one transaction, then show the event. Safe to repeat."""
        await self.kept()
        if self.finished or self.abandoned:
            return
        await self.told()
        if self.channel.is_lost:
            return
        result = self.result(ending)
        self.error = ending.error
        error = None
        if ending.error is not None:
            error = {"code": ending.error.code, "message": ending.error.message}
        event = "error" if error else "done"
        line = line_of(event, {"error": {**error, "request_id": self.request_id}} if error else result)
        seq = self.channel.next_seq()
        ended = Ended(
            run_id=self.begun.run_id,
            worker=self._worker,
            status=ending.status,
            message_status=ending.message_status,
            content=self.begun.said + self.record.text,
            seq=seq,
            event=event,
            data=line,
            sources=_dump(self.record.sources or None),
            model_source=result["model_source"],
            model_name=result["model_name"],
            fallback_from=result["fallback_from"],
            finish_reason=result["finish_reason"],
            usage=_dump(result["usage"]),
            timings=_dump(result["timings"]),
            error=_dump(error),
            trace=_dump(self.record.trace()),
        )
        if await turns.finish(self._database, ended):
            self.finished = True
            # A first exchange gets a title, which makes another version of the conversation.
            if self.user_id is not None and not self.begun.first:
                self._recall.put(self.user_id, self.begun.left(ended.content))
            self.channel.finish(seq, event, line)
        else:
            self.channel.lost()
