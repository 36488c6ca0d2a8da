"""Answers as OpenAI's wire tells them, piece by piece: one that passes by, and one of a turn that is kept."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from api.openai.retrieval import Grounding, citations_of
from chains.types import Reasoning, StreamEnd, StreamItem, StreamStart, ToolCall
from graphs.runs.run import Run
from llama_service.errors import Interrupted, error_of
from persistence.events import RunEvent

Delta = dict[str, Any]
"""A piece of an answer: `content`, `reasoning_content` or `tool_calls`."""
_REASONS = frozenset({"stop", "length", "content_filter", "tool_calls"})


class Answer(Protocol):
    """What is told while it comes; the rest is known when `deltas` has ended. `metadata` says where it is kept."""

    model: str
    metadata: dict[str, str]

    def deltas(self) -> AsyncGenerator[Delta, None]:
        """Yield what the model says. Raises the AppError that ends it early."""
        ...

    async def annotations(self) -> list[dict[str, Any]]:
        """Return what the answer cites."""
        ...

    @property
    def finish_reason(self) -> str:
        """Why it ended, as OpenAI calls it."""
        ...

    @property
    def tokens(self) -> tuple[int, int, int]:
        """Tokens read, written and both."""
        ...


class PassingAnswer:
    """An answer that nobody keeps; `grounding` are its sources, where files were searched."""

    def __init__(
        self, items: AsyncGenerator[StreamItem, None], start: StreamStart, grounding: Grounding | None
    ) -> None:
        self.model = f"{start.source}/{start.model}"
        self.metadata: dict[str, str] = {}
        self._items = grounding.through(items) if grounding else items
        self._grounding = grounding
        self._end: StreamEnd | None = None

    async def deltas(self) -> AsyncGenerator[Delta, None]:
        """Yield what the model says. Raises the AppError that ends it early."""
        async with aclosing(self._items):
            async for item in self._items:
                if isinstance(item, str):
                    yield {"content": item}
                elif isinstance(item, Reasoning):
                    yield {"reasoning_content": item.text}
                elif isinstance(item, StreamEnd):
                    self._end = item
                    if item.tool_calls:
                        yield {"tool_calls": [{"index": at, **_call(call)} for at, call in enumerate(item.tool_calls)]}

    async def annotations(self) -> list[dict[str, Any]]:
        """Return what the answer cites; its sentences are compared beside the event loop."""
        return await asyncio.to_thread(self._grounding.annotations) if self._grounding else []

    @property
    def finish_reason(self) -> str:
        """Why it ended, as OpenAI calls it."""
        if self._end and self._end.tool_calls:
            return "tool_calls"
        return _finish(self._end.finish_reason if self._end else None)

    @property
    def tokens(self) -> tuple[int, int, int]:
        """Tokens read, written and both."""
        usage = self._end.usage if self._end else None
        return (usage.input_tokens, usage.output_tokens, usage.total_tokens) if usage else (0, 0, 0)


class KeptAnswer:
    """The answer of a run, put together from its events."""

    def __init__(self, run: Run, batches: AsyncIterator[Sequence[RunEvent]]) -> None:
        self.model = f"{run.plan.provider}/{run.plan.model}"
        self.metadata = {"conversation_id": str(run.conversation_id), "message_id": str(run.place.answer_id)}
        self._batches = batches
        self._done: dict[str, Any] = {}

    async def deltas(self) -> AsyncGenerator[Delta, None]:
        """Yield what the model says. Raises the AppError that ended the run."""
        async for events in self._batches:
            for event in events:
                if event.name == "chunk":
                    yield {"content": event.data["content"]}
                elif event.name == "reasoning":
                    yield {"reasoning_content": event.data["content"]}
                elif event.name == "error":
                    raise error_of(event.data["error"]["code"], event.data["error"]["message"])
                elif event.name == "done":
                    self._done = event.data
                    self.model = f"{event.data['model_source']}/{event.data['model_name']}"
                    return
        # This server is being stopped; the run goes on elsewhere, and its answer will be in the conversation.
        raise Interrupted

    async def annotations(self) -> list[dict[str, Any]]:
        """Return what the answer cites."""
        return citations_of(self._done["sources"])

    @property
    def finish_reason(self) -> str:
        """Why it ended, as OpenAI calls it."""
        return _finish(self._done["finish_reason"])

    @property
    def tokens(self) -> tuple[int, int, int]:
        """Tokens read, written and both."""
        usage = self._done["usage"] or dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
        return usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]


async def whole(answer: Answer) -> dict[str, Any]:
    """Return the message of a whole answer. Raises the AppError that ends it early."""
    parts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    message: dict[str, Any] = {"role": "assistant"}
    async with aclosing(answer.deltas()) as deltas:
        async for delta in deltas:
            for key, value in delta.items():
                if key in parts:
                    parts[key].append(value)
                else:
                    message[key] = [{name: call[name] for name in call if name != "index"} for call in value]
    message |= {key: "".join(pieces) for key, pieces in parts.items() if pieces}
    if annotations := await answer.annotations():
        message["annotations"] = annotations
    return {"content": None, **message}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(reason: str | None) -> str:
    return reason if reason in _REASONS else "stop"
