"""Models, chat completions and embeddings."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, get_args

import numpy as np
import orjson
import structlog
from fastapi import APIRouter, Request, Response

from api.deps import CurrentUser, State
from api.errors import request_id_of
from api.openai import kept
from api.openai.errors import PREFIX, error_body
from api.openai.retrieval import Grounding, grounded
from api.openai.schemas import ChatCompletionRequest, EmbeddingRequest
from api.streaming import EventStream
from chains.counting import count_tokens
from chains.models import completion_of
from chains.types import Completion, ModelParams, Reasoning, StreamEnd, StreamItem, StreamStart, ToolCall
from llama_service.errors import AppError, ModelCannot, ModelNotFound
from llama_service.ids import new_id
from llama_service.settings import ModelSource, ProviderName

router = APIRouter(prefix=PREFIX, include_in_schema=False)
log = structlog.get_logger(__name__)

_SOURCES: tuple[ProviderName, ...] = get_args(ProviderName)
_REASONS = frozenset({"stop", "length", "content_filter", "tool_calls"})
_DONE = b"data: [DONE]\n\n"


def _split(model: str) -> tuple[ModelSource | None, str]:
    """Return source and name of a model id: `source/name`, or a name of the default source."""
    source, slash, name = model.partition("/")
    if slash and source in (*_SOURCES, "local"):
        if not name:
            raise ModelNotFound
        return source, name  # type: ignore[return-value]  # looked at just now
    return None, model


@router.get("/models")
async def list_models(user: CurrentUser, state: State) -> dict[str, Any]:
    """Return the chat models of every source that answers, as `source/name`, and the embedding model."""
    lists = await asyncio.gather(*map(state.registry.list_models, _SOURCES))
    rows = [_model(f"{listed.mode}/{model.name}", listed.mode) for listed in lists for model in listed.models]
    handle = state.registry.embeddings()
    if handle.model:
        rows.append(_model(f"{handle.source}/{handle.model}", handle.source))
    return {"object": "list", "data": rows}


@router.get("/models/{model:path}")
async def get_model(model: str, user: CurrentUser, state: State) -> dict[str, Any]:
    """Return one model. Raises ModelNotFound."""
    for row in (await list_models(user, state))["data"]:
        if row["id"] == model:
            found: dict[str, Any] = row
            return found
    raise ModelNotFound


def _model(id_: str, source: str) -> dict[str, Any]:
    return {"id": id_, "object": "model", "created": 0, "owned_by": source}


@router.post("/chat/completions", response_model=None)
async def chat_completions(
    body: ChatCompletionRequest, request: Request, user: CurrentUser, state: State
) -> dict[str, Any] | EventStream:
    """Answer, whole or streamed, from the caller's files where the request asks for it.

    Nothing is kept but with `store` or a conversation's id. The same queue, time-outs and breaker hold as everywhere.
    """
    source, name = _split(body.model)
    head: dict[str, Any] = {"id": f"chatcmpl-{new_id().hex}", "created": int(time.time())}
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    if body.is_kept:
        run = await kept.start(body, source, name, user.id, request_id_of(request), state)
        answer = kept.KeptAnswer(run, state.runs.read(run.run_id))
        if body.stream:
            return EventStream(_kept_frames(answer, head, include_usage=include_usage))
        return await _kept_whole(answer, head)
    if any(message.shows_pictures for message in body.messages):
        target = await state.registry.resolve(source, name)
        if not state.registry.sees(target.source, target.model):
            raise ModelCannot("This model can't look at pictures; choose another one.")
    messages = [message.as_langchain() for message in body.messages]
    grounding: Grounding | None = None
    if body.wants_sources and any(message.role == "user" for message in body.messages):
        messages, grounding = await grounded(messages, body.file_ids, user.id, state)
    items = state.registry.stream(
        messages,
        source=source,
        name=name,
        params=ModelParams(
            temperature=body.temperature,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            stop=body.stop,
            tools=[tool.model_dump() for tool in body.tools] if body.tools else None,
            tool_choice=body.tool_choice if body.tools else None,
            reasoning_effort=body.reasoning_effort,
        ),
        user_id=str(user.id),
        request_id=request_id_of(request),
    )
    # Before the first token an error still has a status of its own.
    start = await anext(items)
    assert isinstance(start, StreamStart)  # noqa: S101  (the registry begins with one)
    head["model"] = f"{start.source}/{start.model}"
    told = grounding.through(items) if grounding else items
    if not body.stream:
        completion = await completion_of(told, start)
        return _whole(completion, head, await _annotations(grounding))
    return EventStream(_frames(told, head, grounding, include_usage=include_usage))


async def _annotations(grounding: Grounding | None) -> list[dict[str, Any]]:
    """Return what an answer cites; its sentences are compared beside the event loop."""
    return await asyncio.to_thread(grounding.annotations) if grounding else []


def _whole(answer: Completion, head: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    end = answer.end
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if end.tool_calls:
        message["tool_calls"] = [_call(call) for call in end.tool_calls]
    if annotations:
        message["annotations"] = annotations
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(end)}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(end)}


async def _frames(
    items: AsyncGenerator[StreamItem, None],
    head: dict[str, Any],
    grounding: Grounding | None,
    *,
    include_usage: bool,
) -> AsyncGenerator[bytes, None]:
    def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _data({**head, "object": "chat.completion.chunk", "choices": [choice]})

    async with aclosing(items):
        yield frame({"role": "assistant", "content": ""})
        try:
            async for item in items:
                if isinstance(item, str):
                    yield frame({"content": item})
                elif isinstance(item, Reasoning):
                    yield frame({"reasoning_content": item.text})
                elif isinstance(item, StreamEnd):
                    if item.tool_calls:
                        calls = [{"index": at, **_call(call)} for at, call in enumerate(item.tool_calls)]
                        yield frame({"tool_calls": calls})
                    if annotations := await _annotations(grounding):
                        yield frame({"annotations": annotations})
                    yield frame({}, _reason(item))
                    if include_usage:
                        told = {**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(item)}
                        yield _data(told)
        except AppError as error:
            log.warning("completion_broke_off", code=error.code)
            yield _data(error_body(error))
        yield _DONE


async def _kept_whole(answer: kept.KeptAnswer, head: dict[str, Any]) -> dict[str, Any]:
    message = await kept.whole(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer.done["finish_reason"])}
    told = {"model": answer.model, "metadata": answer.metadata, "choices": [choice], "usage": answer.usage}
    return {**head, "object": "chat.completion", **told}


async def _kept_frames(
    answer: kept.KeptAnswer, head: dict[str, Any], *, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        named = {"model": answer.model, "metadata": answer.metadata}
        return _data({**head, **named, "object": "chat.completion.chunk", "choices": choices, **more})

    def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}])

    try:
        async with aclosing(answer.deltas()) as deltas:
            async for delta in deltas:
                yield frame(delta)
        if answer.annotations:
            yield frame({"annotations": answer.annotations})
        yield frame({}, _finish(answer.done["finish_reason"]))
        if include_usage:
            yield chunk([], usage=answer.usage)
    except AppError as error:
        log.warning("completion_broke_off", code=error.code)
        yield _data(error_body(error))
    yield _DONE


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _reason(end: StreamEnd) -> str:
    return "tool_calls" if end.tool_calls else _finish(end.finish_reason)


def _finish(reason: str | None) -> str:
    return reason if reason in _REASONS else "stop"


def _usage(end: StreamEnd) -> dict[str, int]:
    usage = end.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


@router.post("/embeddings", response_class=Response)
async def embeddings(body: EmbeddingRequest, user: CurrentUser, state: State) -> Response:
    """Return a vector for each text, by the model that the files are indexed with: the others are not set up."""
    handle = state.registry.embeddings()
    if body.model not in (handle.model, f"{handle.source}/{handle.model}"):
        raise ModelNotFound(f"The embedding model here is {handle.source}/{handle.model}.")
    vectors = await handle.embeddings.aembed_documents(body.input)
    # Thousands of vectors are a million numbers to write: not on the event loop.
    content = await asyncio.to_thread(_embedded, body, vectors, f"{handle.source}/{handle.model}")
    return Response(content, media_type="application/json")


def _embedded(body: EmbeddingRequest, vectors: list[list[float]], model: str) -> bytes:
    tokens = sum(map(count_tokens, body.input))
    rows = [
        {"object": "embedding", "index": at, "embedding": _encoded(vector, body.encoding_format)}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": rows, "model": model, "usage": usage})


def _encoded(vector: list[float], form: str) -> list[float] | str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() if form == "base64" else vector
