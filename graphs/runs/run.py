"""One run in this process: what its nodes send, and how its end is written."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from chains.profile import AnswerPlan
from chains.types import Usage, sum_of
from graphs.context import ChatContext
from graphs.files import CallerFiles
from graphs.record import TurnRecord
from graphs.runs.stream import RunStream
from graphs.sources import with_citations
from graphs.state import NOTHING_SEARCHED, AnswerInfo
from llama_service.errors import AppError, error_of
from persistence import run_end
from persistence.events import REASONING, TEXT, EventLog, RunEvent, event_line
from persistence.messages import newest_steps
from persistence.personal import NOTHING_SAID, Personal
from persistence.relevance import best_confidence
from persistence.run_end import RunEnd
from persistence.session import Database
from persistence.turn_start import Placement, WrittenTurn


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: the status of run and message, and the error to report."""

    status: str
    message_status: str
    error: AppError | None = None


COMPLETED = Ending("completed", "complete")
STOPPED = Ending("stopped", "stopped")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run's readers have got already: by this worker nothing, by one that died some of the answer."""

    text: str = ""
    reasoning: str = ""
    sources: Sequence[dict[str, Any]] = ()
    steps: Sequence[dict[str, Any]] = ()

    @classmethod
    def of(cls, events: Sequence[RunEvent]) -> "Sent":
        """Return what a run's events hold of the answer.

        Text behind a gap, which an older version may have left, is none that a model could go on with.
        """
        texts = {TEXT: "", REASONING: ""}
        sources: Sequence[dict[str, Any]] = ()
        steps: list[dict[str, Any]] = []
        for number, event in enumerate(events, 1):
            if event.name in texts:
                texts[event.name] += event.data["content"] if event.seq == number else ""
            elif event.name == "sources":
                sources = event.data["sources"]
            elif event.name == "step":
                steps.append(event.data["step"])
        return cls(texts[TEXT], texts[REASONING], sources, newest_steps(steps))


@dataclass(slots=True)
class Forwarding:
    """How many characters of a text the graph has handed on, and how many of them, or before them, were sent."""

    received: int = 0
    sent: int = 0

    def unsent(self, piece: str) -> str:
        """Return what of a piece from the graph was not sent yet."""
        self.received += len(piece)
        new = max(0, self.received - self.sent)
        self.sent += new
        return piece[len(piece) - new :]

    def rest(self, whole: str) -> str:
        """Return what of the whole text was not sent yet; it is sent now."""
        rest = whole[self.sent :]
        self.sent = max(self.sent, len(whole))
        return rest


@dataclass(slots=True)
class Run:
    """A run that this process works on. It is also where the graph's answer goes (`AnswerStore`)."""

    run_id: UUID
    worker: UUID
    user_id: UUID | None
    request_id: str
    place: Placement
    plan: AnswerPlan
    record: TurnRecord
    stream: RunStream
    files: CallerFiles
    database: Database
    events: EventLog
    sent: Sent = Sent()
    personal: Personal = NOTHING_SAID
    # The steps of a continued answer's first part, as their readers may see them.
    earlier_steps: Sequence[dict[str, Any]] = ()
    context: ChatContext | None = None
    task: "asyncio.Task[None] | None" = None
    # Why the run is being stopped from outside, and how the graph itself has ended it.
    stopping: Ending | None = None
    decided: Ending | None = None
    # Called when the answer is about to be saved.
    on_saving: Callable[[], None] | None = None
    is_ended: bool = False
    is_abandoned: bool = False
    _committed: asyncio.Event | None = None
    _forwarding: dict[str, Forwarding] = field(default_factory=lambda: {TEXT: Forwarding(), REASONING: Forwarding()})

    @property
    def conversation_id(self) -> UUID:
        """The conversation, which is also the graph's thread."""
        return self.place.conversation.id

    @property
    def unfinished(self) -> str:
        """What the answer begins with: the text of a continued one, and what another worker has sent."""
        return self.place.unfinished.text + self.sent.text

    @property
    def text(self) -> str:
        """The whole answer so far."""
        return self.unfinished + self.record.text

    def expect_commit(self) -> None:
        """Note that the question is still being written."""
        self._committed = asyncio.Event()

    def note_commit(self, written: WrittenTurn) -> None:
        """Note that question and run are in the database."""
        self.files.has_any, self.personal = written.has_files, written.personal
        if self._committed is not None:
            self._committed.set()
            self._committed = None

    async def question_committed(self) -> None:
        """Wait until the question is in the database."""
        if self._committed is not None:
            await self._committed.wait()

    def forward(self, part: Any) -> None:
        """Send what a node wrote: text as it is, other events as dictionaries with their name under `event`."""
        if isinstance(part, str):
            self._emit_text(self._forwarding[TEXT].unsent(part))
            return
        name, data = part["event"], {key: value for key, value in part.items() if key != "event"}
        if name == REASONING:
            self._emit_text(self._forwarding[REASONING].unsent(data["content"]), REASONING)
        elif name != "sources" or list(data["sources"]) != list(self.sent.sources):
            self.emit(name, data)

    def _emit_text(self, text: str, name: str = TEXT) -> None:
        if text:
            self.events.touch(self.stream, at_once=self.stream.emit_text(text, name))

    def _send_rest(self) -> None:
        """Send what the model wrote and the graph did not hand on: one that was cancelled hands on nothing more."""
        self._emit_text(self._forwarding[REASONING].rest(self.record.reasoning), REASONING)
        self._emit_text(self._forwarding[TEXT].rest(self.record.text))

    def _end_steps(self) -> None:
        """Tell of the calls that never ended that they do not go on."""
        for step in self.record.tool_steps.values():
            if step["status"] in ("waiting", "running"):
                step["status"] = "failed"
                self.emit("step", {"step": step})

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Send an event."""
        self.stream.emit(name, data)
        self.events.touch(self.stream, at_once=True)

    async def flush(self) -> None:
        """Wait until everything that was sent is in Postgres."""
        self.events.touch(self.stream, at_once=True)
        await self.stream.flushed()

    async def write_behind(self, write: Callable[[], Awaitable[bool]]) -> bool:
        """Write something that stands behind all events; where it is not taken, write them again before.

        Postgres may have crashed, and lost the last of them. Returns False where the run is not this worker's any more.
        """
        if self.stream.is_detached:
            return False
        if await write():
            return True
        self.stream.write_again()
        await self.flush()
        return not self.stream.is_detached and await write()

    def send_missing(self, said: str) -> None:
        """Send what of the answer's beginning, as the graph's state has it, has not reached the readers."""
        if said.startswith(self.text) and (missing := said[len(self.text) :]):
            self.record.parts.append(missing)
            self.forward(missing)

    async def save(self, text: str, info: AnswerInfo, checkpoint_id: str | None) -> None:
        """Write the graph's answer and end the run. Safe to repeat."""
        self.record.checkpoint_id = checkpoint_id
        if self.on_saving is not None:
            self.on_saving()
        already = self.text
        if text.startswith(already) and text != already:
            # The worker that made the answer died before it had sent all of it.
            self.record.parts.append(text[len(already) :])
        error = info.get("error")
        self.decided = Ending("failed", "failed", error_of(error["code"], error["message"])) if error else COMPLETED
        await self.end(self.decided, info)

    async def end(self, ending: Ending, info: AnswerInfo | None = None) -> None:
        """Write text, trace and last event in one transaction, then show the event. Safe to repeat."""
        await self.question_committed()
        if self.is_ended or self.is_abandoned:
            return
        self._send_rest()
        self._end_steps()
        await self.flush()
        if self.stream.is_detached:
            return
        info = info or self.record.answer_info()
        result = self.result(ending, info)
        if result["sources"]:
            # Beside the event loop: it reads what was cited sentence by sentence.
            read = (self.text, result["sources"], self.record.passages)
            result["sources"] = await asyncio.to_thread(with_citations, *read)
        error = {"code": ending.error.code, "message": ending.error.message} if ending.error else None
        name = "error" if error else "done"
        data = {"error": {**error, "request_id": self.request_id}} if error else result
        event = RunEvent(self.stream.next_seq(), name, event_line(name, data))
        written = self._written(ending, info, event, result, error)
        if await self.write_behind(lambda: run_end.end_run(self.database, written)):
            self.is_ended = True
            self.stream.finish(event)
        else:
            self.stream.detach()

    def _written(
        self,
        ending: Ending,
        info: AnswerInfo,
        event: RunEvent,
        result: dict[str, Any],
        error: dict[str, str] | None,
    ) -> RunEnd:
        thoughts = info["reasoning"]
        if not thoughts.startswith(self.sent.reasoning):  # else they are those of a state that the answer is in
            thoughts = self.sent.reasoning + thoughts
        reasoning = self.place.unfinished.reasoning + thoughts
        return RunEnd(
            run_id=self.run_id,
            worker=self.worker,
            status=ending.status,
            message_status=ending.message_status,
            content=self.text,
            reasoning=reasoning or None,
            seq=event.seq,
            event=event.name,
            data=event.line,
            # A state without the answer is no state after it: the next turn rebuilds one.
            checkpoint_id=self.record.checkpoint_id if ending is COMPLETED else None,
            sources=_json(self._kept_sources(result["sources"]) or None),
            confidence=result["confidence"],
            steps=_json(list(self.record.tool_steps.values()) or None),
            model_source=result["model_source"],
            model_name=result["model_name"],
            fallback_from=result["fallback_from"],
            finish_reason=result["finish_reason"],
            usage=_json(result["usage"]),
            timings=_json(result["timings"]),
            error=_json(error),
            trace=_json(self.record.trace()),
        )

    def _kept_sources(self, shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return sources as they are kept: with the texts that their reader may not see now, and perhaps may again."""
        kept = {source["n"]: source for source in self.place.unfinished.sources}
        return [
            source if source.get("available", True) else {**kept.get(source["n"], source), "cited": source["cited"]}
            for source in shown
        ]

    def _whole_usage(self, usage: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what the answer has cost with its first part; what is known of that stays, whatever this one cost."""
        parts = [Usage.of(part) for part in (self.place.unfinished.usage, usage) if part]
        known = [part.cost_usd for part in parts if part.cost_usd is not None]
        return asdict(replace(sum_of(parts), cost_usd=sum(known) if known else None)) if parts else None

    def lost_usage(self) -> str | None:
        """Return what the answer has cost as JSON where part of that is known here only, else None."""
        lost = self.record.lost
        return _json(self._whole_usage(asdict(sum_of(lost)))) if lost else None

    def result(self, ending: Ending, info: AnswerInfo) -> dict[str, Any]:
        """Return what `done` and ChatResponse tell, without the text."""
        record, searched = self.record, info.get("searched", NOTHING_SEARCHED)
        return {
            "conversation_id": str(self.conversation_id),
            "message_id": str(self.place.answer_id),
            "user_message_id": str(self.place.question_id),
            "run_id": str(self.run_id),
            "sources": record.sources or list(self.sent.sources or record.earlier_sources),
            "steps": [*self.earlier_steps, *record.tool_steps.values()],
            "searched": {"scope": searched["scope"], "files": searched["files"]},
            "confidence": best_confidence(searched.get("confidence"), self.place.unfinished.confidence),
            "model_source": info["model_source"] or self.plan.provider,
            "model_name": info["model_name"] or self.plan.model,
            "fallback_from": info["fallback_from"] if info["model_source"] else self.plan.fallback_from,
            "finish_reason": info["finish_reason"] or ending.status,
            "usage": self._whole_usage(info["usage"]),
            "timings": {
                "retrieve_ms": record.retrieve_ms,
                "first_token_ms": record.first_token_ms,
                "reasoning_ms": record.reasoning_ms,
                "total_ms": record.elapsed_ms(),
            },
        }


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, default=str).decode()
