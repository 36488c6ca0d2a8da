"""The chat models' common part: LangChain's interface over a stream of deltas, at no cost where nobody listens."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseCallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.globals import get_debug
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables.config import var_child_runnable_config
from langsmith.utils import tracing_is_enabled

from chains.providers.own_loop import iterate_in_own_loop
from chains.types import Delta, End, ModelParams, Notice, Reasoning, ToolCall, Usage

_REASONING = "reasoning_content"
_NOTICES = "notices"
_FINISH_REASON = "finish_reason"
_ESTIMATED = "usage_is_estimated"


class LeanModel(BaseChatModel):
    """A chat model of LangChain whose answers are read by our own pooled session.

    A provider writes `_deltas`; all that LangChain calls, synchronous or not, whole or streamed, comes from there.
    """

    model_provider: ClassVar[str]
    """The provider's name in a message's `response_metadata`."""
    asks_as_user: ClassVar[bool] = False
    """Whether `given` names who asks (`user_id`), for calls that are made in the user's own name."""

    @abstractmethod
    def _deltas(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> AsyncGenerator[Delta, None]:
        """Yield notices, then text as it comes, then one End. Raises an AppError.

        `given` are the call's own parameters, each if it is set: `temperature`, `max_tokens`, `tools`, `tool_choice`,
        `reasoning_effort`, `request_id`, `user_id`.
        """

    def _outside_loop(self) -> Self:
        """Return this model without what belongs to the event loop: for synchronous callers."""
        return self

    def stream_messages(
        self, messages: Sequence[BaseMessage], params: ModelParams, *, request_id: str = "", user_id: str = ""
    ) -> AsyncGenerator[AIMessageChunk, None]:
        """Yield an answer as LangChain's chunks; closing the generator ends the provider's request.

        `user_id` reaches the models that ask in the name of whoever chats (`asks_as_user`).

        Where nobody listens, `astream` is left out and `_astream` read: its callbacks would be called for nobody.
        """
        names = ("max_tokens", "tools", "tool_choice", "reasoning_effort")
        chosen: dict[str, Any] = {name: value for name in names if (value := getattr(params, name))}
        if params.temperature is not None:
            chosen["temperature"] = params.temperature
        if request_id:
            chosen["request_id"] = request_id
        if user_id and self.asks_as_user:
            chosen["user_id"] = user_id
        stop = list(params.stop) if params.stop else None
        if _is_listened_to():
            return _messages(self.astream(list(messages), stop=stop, **chosen))
        return _messages(self._astream(list(messages), stop, **chosen))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self._deltas(messages, stop, kwargs)) as deltas:
            async for delta in deltas:
                chunk = ChatGenerationChunk(message=self._chunk(delta))
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _chunk(self, delta: Delta) -> AIMessageChunk:
        if isinstance(delta, str):
            return AIMessageChunk(content=delta)
        if isinstance(delta, Reasoning):
            return AIMessageChunk(content="", additional_kwargs={_REASONING: delta.text})
        if isinstance(delta, Notice):
            return AIMessageChunk(content="", response_metadata={_NOTICES: [delta.text]})
        usage = delta.usage and UsageMetadata(
            input_tokens=delta.usage.input_tokens,
            output_tokens=delta.usage.output_tokens,
            total_tokens=delta.usage.total_tokens,
            input_token_details=InputTokenDetails(cache_read=delta.usage.cached_tokens),
        )
        told: dict[str, Any] = {_FINISH_REASON: delta.finish_reason, "model_provider": self.model_provider}
        if delta.model:
            told["model_name"] = delta.model
        if delta.usage and delta.usage.estimated:
            told[_ESTIMATED] = True
        calls = [
            tool_call_chunk(id=call.id, name=call.name, args=call.arguments, index=index)
            for index, call in enumerate(delta.tool_calls)
        ]
        return AIMessageChunk(
            content="",
            response_metadata=told,
            usage_metadata=usage,
            tool_call_chunks=calls,
            chunk_position="last",
        )

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        alone = self._outside_loop()
        for chunk in iterate_in_own_loop(lambda: alone._astream(messages, stop, **kwargs)):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))


def _is_listened_to() -> bool:
    """Whether callbacks or a tracer want to hear of model calls made here."""
    config = var_child_runnable_config.get() or {}
    callbacks = config.get("callbacks")
    handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks
    return bool(handlers) or bool(tracing_is_enabled()) or get_debug()


async def _messages(
    items: AsyncIterator[ChatGenerationChunk] | AsyncIterator[AIMessageChunk],
) -> AsyncGenerator[AIMessageChunk, None]:
    """Yield the chunks' messages, and close `items` at once with this generator, so that the provider is let go."""
    try:
        async for item in items:
            message = item.message if isinstance(item, ChatGenerationChunk) else item
            assert isinstance(message, AIMessageChunk)  # noqa: S101  (as `_chunk` made it)
            yield message
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


def is_notice(message: AIMessageChunk) -> bool:
    """Whether a chunk says only what was left out of the request."""
    return _NOTICES in message.response_metadata


def deltas_of(message: AIMessageChunk) -> Iterator[Delta]:
    """Yield what a chunk of ours says, as `_deltas` gave it."""
    if message.additional_kwargs and (thought := message.additional_kwargs.get(_REASONING)):
        yield Reasoning(thought)
    if message.content:
        yield str(message.content)
    told = message.response_metadata
    if told:
        for notice in told.get(_NOTICES, ()):
            yield Notice(notice)
        if _FINISH_REASON in told:
            calls = tuple(
                ToolCall(call["id"] or "", call["name"] or "", call["args"] or "") for call in message.tool_call_chunks
            )
            yield End(told[_FINISH_REASON], _usage_of(message), told.get("model_name"), calls)


def _usage_of(message: AIMessageChunk) -> Usage | None:
    usage = message.usage_metadata
    if usage is None:
        return None
    estimated = bool(message.response_metadata.get(_ESTIMATED))
    cached = usage.get("input_token_details", {}).get("cache_read", 0)
    return Usage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"], estimated, cached)
