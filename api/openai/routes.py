"""Models, chat completions and embeddings."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, get_args
from uuid import UUID

import numpy as np
import orjson
import structlog
from fastapi import APIRouter, Request, Response

from api.deps import CurrentUser, State
from api.errors import request_id_of
from api.openai import kept
from api.openai.answers import Answer, KeptAnswer, PassingAnswer, whole
from api.openai.asker import Asker, AskerRoute
from api.openai.errors import PREFIX, error_body
from api.openai.retrieval import Grounding, grounded
from api.openai.schemas import ChatCompletionRequest, EmbeddingRequest
from api.state import AppState
from api.streaming import EventStream
from chains.counting import count_tokens
from chains.prompts import under_rules
from chains.types import ModelParams, StreamStart
from llama_service.errors import AppError, ModelCannot, ModelNotFound
from llama_service.ids import new_id
from llama_service.settings import ModelSource, ProviderName

router = APIRouter(prefix=PREFIX, include_in_schema=False)
answers_router = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=AskerRoute)
log = structlog.get_logger(__name__)

_SOURCES: tuple[ProviderName, ...] = get_args(ProviderName)
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
    """Return the chat models that the caller may use, as `source/name`, and the embedding model."""
    access = await state.registry.access_of(user.id)
    lists = await asyncio.gather(*(state.registry.list_models(source, access) for source in _SOURCES))
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


@answers_router.post("/chat/completions", response_model=None)
async def chat_completions(
    body: ChatCompletionRequest, request: Request, asker: Asker, state: State
) -> dict[str, Any] | EventStream:
    """Answer, whole or streamed, from the caller's files where the request asks for it.

    Nothing is kept but with `store` or a conversation's id. The same queue, time-outs and breaker hold as everywhere.
    """
    answer = await answer_to(body, asker, request_id_of(request), state)
    head = {"id": f"chatcmpl-{new_id().hex}", "created": int(time.time())}
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(_frames(answer, head, include_usage=include_usage))
    message = await whole(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return {**_head(answer, head), "object": "chat.completion", "choices": [choice], "usage": _usage(answer)}


async def answer_to(body: ChatCompletionRequest, asker: Awaitable[UUID], request_id: str, state: AppState) -> Answer:
    """Ask, and return the answer that begins. Before its first token an error is raised."""
    messages = [message.as_langchain() for message in body.messages]
    user_id = await asker
    source, name = _split(body.model)
    access = await state.registry.access_of(user_id)
    if body.is_kept:
        run = await kept.start(body, source, name, user_id, request_id, state)
        return KeptAnswer(run, state.runs.read(run.run_id))
    if source is None:
        # A name alone is one of the asker's default source.
        source = state.registry.candidates(None, name, access)[0].source
    if any(message.shows_pictures for message in body.messages):
        target = await state.registry.resolve(source, name)
        if not state.registry.sees(target.source, target.model):
            raise ModelCannot("This model can't look at pictures; choose another one.")
    grounding: Grounding | None = None
    if body.wants_sources and any(message.role == "user" for message in body.messages):
        messages, grounding = await grounded(messages, body, user_id, state)
    items = state.registry.stream(
        under_rules(messages, access.system_prompt),
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
        user_id=str(user_id),
        request_id=request_id,
    )
    start = await anext(items)
    assert isinstance(start, StreamStart)  # noqa: S101  (the registry begins with one)
    return PassingAnswer(items, start, grounding)


def _head(answer: Answer, head: dict[str, Any]) -> dict[str, Any]:
    return {**head, "model": answer.model, **({"metadata": answer.metadata} if answer.metadata else {})}


async def _frames(answer: Answer, head: dict[str, Any], *, include_usage: bool) -> AsyncGenerator[bytes, None]:
    named = {**_head(answer, head), "object": "chat.completion.chunk"}

    def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _data({**named, "choices": [choice]})

    async with aclosing(answer.deltas()) as deltas:
        yield frame({"role": "assistant", "content": ""})
        try:
            async for delta in deltas:
                yield frame(delta)
            if annotations := await answer.annotations():
                yield frame({"annotations": annotations})
            yield frame({}, answer.finish_reason)
            if include_usage:
                yield _data({**named, "choices": [], "usage": _usage(answer)})
        except AppError as error:
            log.warning("completion_broke_off", code=error.code)
            yield _data(error_body(error))
        yield _DONE


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _usage(answer: Answer) -> dict[str, int]:
    read, written, both = answer.tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": both}


@router.post("/embeddings", response_class=Response)
async def embeddings(body: EmbeddingRequest, user: CurrentUser, state: State) -> Response:
    """Return a vector for each text, by the model that the files are indexed with: the others are not set up."""
    handle = state.registry.embeddings()
    if body.model not in (handle.model, f"{handle.source}/{handle.model}"):
        raise ModelNotFound(f"The embedding model here is {handle.source}/{handle.model}.")
    tokens = await asyncio.to_thread(lambda: sum(map(count_tokens, body.input)))
    async with state.budgets.charged(user.id, tokens):
        vectors = await handle.embeddings.aembed_documents(body.input)
    # Thousands of vectors are a million numbers to write: not on the event loop.
    content = await asyncio.to_thread(_embedded, body, vectors, f"{handle.source}/{handle.model}", tokens)
    return Response(content, media_type="application/json")


def _embedded(body: EmbeddingRequest, vectors: list[list[float]], model: str, tokens: int) -> bytes:
    rows = [
        {"object": "embedding", "index": at, "embedding": _encoded(vector, body.encoding_format)}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": rows, "model": model, "usage": usage})


def _encoded(vector: list[float], form: str) -> list[float] | str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() if form == "base64" else vector
