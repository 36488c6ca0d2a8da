"""A run's events as the Agent Server protocol streams them."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk

from api.agent_server.assistants import ASSISTANT_ID, GRAPH
from api.agent_server.states import ThreadStates, interrupts_of, plain
from api.state import AppState
from api.streaming import KEEP_ALIVE
from llama_service.errors import Interrupted
from persistence import runs
from persistence.events import REASONING, TEXT, RunEvent
from persistence.tables import Run

Part = tuple[str, Any]
_OF_STATE = ("values", "updates", "custom")


def _frame(name: str, data: Any, seq: int | None) -> bytes:
    numbered = f"id: {seq}\n".encode() if seq is not None else b""
    return b"".join((numbered, b"event: ", name.encode(), b"\ndata: ", orjson.dumps(data, default=str), b"\n\n"))


class AgentStream:
    """Turns the events of one run into the stream modes that a client asks for.

    The text comes as it is written. What nodes return, and the values after them, are read from the run's checkpoints
    when it ends, or waits for a person. `goes_on` tells of a reading that ended before its run: this server is being
    stopped, and another one goes on with the run.
    """

    def __init__(self, state: AppState, states: ThreadStates, run: Run, modes: tuple[str, ...]) -> None:
        self._state = state
        self._states = states
        self._run = run
        self._modes = modes
        self._text = ""
        self.goes_on = False
        self._metadata = {
            "run_id": str(run.id),
            "thread_id": str(run.conversation_id),
            "graph_id": GRAPH,
            "assistant_id": ASSISTANT_ID,
            "langgraph_node": "generate",
        }

    async def frames(self, after: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the frames behind event number `after`; the last one of an event bears its number."""
        is_ended = False
        async for events in self._state.runs.read(self._run.id, 0):
            if not events:
                yield KEEP_ALIVE
            for event in events:
                is_ended = is_ended or event.is_last
                if event.seq <= after:
                    self._note(event)
                    continue
                if event.name == "action" and not await self._waits_at(event):
                    continue  # it was answered
                parts = await self._parts(event)
                self._note(event)
                for at, (name, data) in enumerate(await self._shown(parts), 1):
                    yield _frame(name, data, event.seq if at == len(parts) else None)
                if event.name == "action":
                    return
        if not is_ended and await self._is_left():
            left = Interrupted()
            yield _frame("error", {"error": left.code, "message": left.message}, None)

    async def _shown(self, parts: list[Part]) -> list[Part]:
        """Withhold what the caller may not read any more; what is being written now was allowed a moment ago."""
        if not any(name in _OF_STATE and isinstance(data, dict) for name, data in parts):
            return parts
        return [(name, await self._states.shown(data) if name in _OF_STATE else data) for name, data in parts]

    def _note(self, event: RunEvent) -> None:
        if event.name == TEXT:
            self._text += event.data["content"]

    async def _waits_at(self, event: RunEvent) -> bool:
        """Whether it is at this event that the run waits for a person: none comes behind it."""
        async with self._state.database.reading() as session:
            return await runs.waits_behind(session, self._run.id, event.seq)

    async def _is_left(self) -> bool:
        """Whether a run whose last event did not come goes on elsewhere; of old runs the events may be pruned."""
        async with self._state.database.reading() as session:
            run = await runs.of_conversation(session, self._run.conversation_id, self._run.id)
        self.goes_on = run is not None and run.status == "running"
        return self.goes_on

    async def _parts(self, event: RunEvent) -> list[Part]:
        match event.name:
            case "start":
                return [("metadata", {"run_id": str(self._run.id), "attempt": 1}), *await self._values_at_start()]
            case "resumed":
                return [("metadata", {"run_id": str(self._run.id), "attempt": event.data["attempt"]})]
            case "chunk" | "reasoning":
                return list(self._written(event))
            case "sources" | "step":
                return [("custom", event.data)] if "custom" in self._modes else []
            case "done" | "action" as name:
                return await self._at_end(waits=name == "action")
            case "error":
                error = event.data["error"]
                return [*await self._at_end(), ("error", {"error": error["code"], "message": error["message"]})]
        return []

    def _written(self, event: RunEvent) -> Iterator[Part]:
        content, thought = event.data["content"], event.name == REASONING
        first, text = self._text == "", self._text + content
        message_id = str(self._run.message_id)
        if "custom" in self._modes:
            yield "custom", event.data if thought else content
        if "messages-tuple" in self._modes:
            extra = {"reasoning_content": content} if thought else {}
            chunk = AIMessageChunk(content="" if thought else content, id=message_id, additional_kwargs=extra)
            yield "messages", [plain(chunk), self._metadata]
        if "messages" in self._modes and not thought:
            if first:
                yield "messages/metadata", {message_id: {"metadata": self._metadata}}
            yield "messages/partial", [plain(AIMessage(content=text, id=message_id))]

    async def _values_at_start(self) -> list[Part]:
        if "values" not in self._modes:
            return []
        messages = await self._states.messages(self._run.user_message_id)
        return [("values", {"messages": plain(messages)})]

    async def _at_end(self, *, waits: bool = False) -> list[Part]:
        parts: list[Part] = []
        if "messages" in self._modes and self._text:
            parts.append(("messages/complete", [plain(AIMessage(content=self._text, id=str(self._run.message_id)))]))
        if not {"values", "updates"} & set(self._modes):
            return parts
        snapshot = await self._states.ended(self._run.id, waits=waits)
        if "updates" in self._modes:
            parts += [("updates", update) for update in await self._states.updates(self._run.id)]
            if snapshot is not None and snapshot.interrupts:
                parts.append(("updates", {"__interrupt__": interrupts_of(snapshot)}))
        if "values" in self._modes and snapshot is not None:
            asked = {"__interrupt__": interrupts_of(snapshot)} if snapshot.interrupts else {}
            parts.append(("values", plain(dict(snapshot.values)) | asked))
        return parts

    async def values(self) -> dict[str, Any]:
        """Wait for the run's end; return the values that it leaves, or `__error__`.

        Raises Interrupted where this server is stopped before.
        """
        error: dict[str, Any] | None = None
        is_ended = waits = False
        async for events in self._state.runs.read(self._run.id, 0):
            last = events[-1] if events else None
            is_ended = is_ended or (last is not None and last.is_last)
            if last is not None and last.name == "error":
                error = last.data["error"]
            if last is not None and last.name == "action" and await self._waits_at(last):
                is_ended = waits = True
                break
        if not is_ended and await self._is_left():
            raise Interrupted
        snapshot = await self._states.ended(self._run.id, waits=waits)
        values = plain(dict(snapshot.values)) if snapshot is not None else {}
        if snapshot is not None and snapshot.interrupts:
            values["__interrupt__"] = interrupts_of(snapshot)
        if error:
            return {"__error__": {"error": error["code"], "message": error["message"]}}
        shown: dict[str, Any] = await self._states.shown(values)
        return shown
