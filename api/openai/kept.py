"""Turns that are kept: a chat over OpenAI's wire with `store` or a conversation's id is a turn like any other."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from api.openai.retrieval import citations_of
from api.openai.schemas import ChatCompletionRequest
from api.state import AppState
from graphs.runs.request import TurnRequest
from graphs.runs.run import Run
from graphs.runs.start import TurnCaller
from llama_service.errors import Interrupted, ValidationFailed, error_of
from llama_service.settings import ModelSource
from persistence.events import RunEvent

_NOT_KEPT = ("tools", "stop")


async def start(
    body: ChatCompletionRequest,
    source: ModelSource | None,
    name: str,
    user_id: UUID,
    request_id: str,
    state: AppState,
) -> Run:
    """Begin the turn: the last message is the question; what stands before it begins a new conversation.

    In a conversation that is there the earlier messages are the conversation's own. Raises ValidationFailed for what a
    kept turn can't do, and what `start_turn` raises.
    """
    for parameter in _NOT_KEPT:
        if getattr(body, parameter):
            raise _refused(parameter, "is not done where a chat is kept")
    *before, question = body.messages
    if question.role != "user" or any(message.role == "tool" or message.tool_calls for message in before):
        raise _refused("messages", "a chat that is kept ends with a question, and has no calls of tools")
    if any(message.shows_pictures for message in body.messages):
        raise _refused("messages", "upload a picture to ask about it in a chat that is kept")
    system = "\n\n".join(message.text for message in before if message.role in ("system", "developer"))
    conversation_id = body.conversation_id
    history = [(message.role, message.text) for message in before if message.role in ("user", "assistant")]
    request = TurnRequest(
        question.text,
        conversation_id=conversation_id,
        model_source=source,
        model_name=name,
        system_prompt=system or None,
        use_rag=body.use_rag is not False,
        temperature=body.temperature,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        file_ids=body.file_ids,
        tools=(),
        reasoning_effort=body.reasoning_effort,
        history=() if conversation_id else history,
    )
    return await state.turns.start_turn(request, TurnCaller(user_id), request_id)


def _refused(name: str, why: str) -> ValidationFailed:
    detail = {"loc": ["body", name], "msg": why, "type": "unsupported_parameter"}
    return ValidationFailed("This is not done here.", details=[detail])


class KeptAnswer:
    """A run's answer, put together from its events for OpenAI's wire."""

    def __init__(self, run: Run, batches: AsyncIterator[Sequence[RunEvent]]) -> None:
        self.metadata = {"conversation_id": str(run.conversation_id), "message_id": str(run.place.answer_id)}
        self.model = ""
        self.done: dict[str, Any] = {}
        self._batches = batches

    async def deltas(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what the model says, as deltas. Raises the AppError that the run ended with."""
        async for events in self._batches:
            for event in events:
                if event.name == "start":
                    self.model = f"{event.data['model_source']}/{event.data['model_name']}"
                    yield {"role": "assistant", "content": ""}
                elif event.name == "chunk":
                    yield {"content": event.data["content"]}
                elif event.name == "reasoning":
                    yield {"reasoning_content": event.data["content"]}
                elif event.name == "error":
                    raise error_of(event.data["error"]["code"], event.data["error"]["message"])
                elif event.name == "done":
                    self.done = event.data
                    self.model = f"{event.data['model_source']}/{event.data['model_name']}"
                    return
        # This server is being stopped; the run goes on elsewhere, and its answer is in the conversation.
        raise Interrupted

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """What the answer cites."""
        return citations_of(self.done["sources"])

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of the turn."""
        told = self.done["usage"] or {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return {
            "prompt_tokens": told["input_tokens"],
            "completion_tokens": told["output_tokens"],
            "total_tokens": told["total_tokens"],
        }


async def whole(answer: KeptAnswer) -> dict[str, Any]:
    """Return the message of a whole answer. Raises an AppError."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    async for delta in answer.deltas():
        for key in ("content", "reasoning_content"):
            if key in delta:
                message[key] = message.get(key, "") + delta[key]
    if answer.annotations:
        message["annotations"] = answer.annotations
    return message
