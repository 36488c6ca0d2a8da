"""Turns that are kept: a chat over OpenAI's wire with `store` or a conversation's id is a turn like any other."""

from uuid import UUID

from api.openai.schemas import ChatCompletionRequest, refused
from api.state import AppState
from graphs.runs.request import TurnRequest
from graphs.runs.run import Run
from graphs.runs.start import TurnCaller
from llama_service.settings import ModelSource

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
            raise refused(parameter, "is not done where a chat is kept")
    *before, question = body.messages
    if question.role != "user" or any(message.role == "tool" or message.tool_calls for message in before):
        raise refused("messages", "a chat that is kept ends with a question, and has no calls of tools")
    if any(message.shows_pictures for message in body.messages):
        raise refused("messages", "upload a picture to ask about it in a chat that is kept")
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
        library_ids=body.library_ids,
        tools=(),
        reasoning_effort=body.reasoning_effort,
        history=() if conversation_id else history,
    )
    return await state.turns.start_turn(request, TurnCaller(user_id), request_id)
