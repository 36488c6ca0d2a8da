"""Ask a model and pass its words on as they come."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime
from langgraph.types import StreamWriter

from chains import prompts
from chains.models import ModelCandidate
from chains.prompts import Prompt
from chains.resilience import is_unreachable
from chains.types import Attempt, ModelParams, Reasoning, StreamEnd, StreamStart, Target
from graphs.citations import CitationFilter, supporting
from graphs.context import ChatContext, TurnServices
from graphs.nodes.augment import assemble_again
from graphs.services import services_of
from graphs.state import ChatState, FailedSource
from llama_service.errors import AppError, error_of


async def generate(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Write the answer. A failure of the provider ends it early, with the text so far.

    Where nobody listens at the source that is asked and another one may stand in, the failure is noted instead, and
    `after_generate` leads here again.
    """
    context, services = runtime.context, await services_of(runtime.context)
    record, plan = services.record, services.plan
    failed = state.get("failed_sources") or []
    candidates = services.models.candidates(context.model_source, context.model_name)
    ask = candidates[min(len(failed), len(candidates) - 1)]  # the last one where the settings have changed meanwhile
    params = ModelParams(
        temperature=plan.temperature if context.temperature is None else context.temperature,
        max_tokens=context.max_tokens or plan.max_tokens,
    )
    prompt, texts = await _prompt(state, context, services)
    error: AppError | None = None
    with record.step(
        "generate", source=ask.source, model=ask.name, temperature=params.temperature, max_tokens=params.max_tokens
    ) as step:
        citations, write, attempts = CitationFilter(len(texts)), get_stream_writer(), list[Attempt]()
        try:
            await _stream(services, context, ask, prompt, params, citations, write, attempts)
            _write(record.parts, write, citations.end())
            _write(record.parts, write, _attributed(record.text, citations, texts))
        except AppError as refused:
            error = refused
        finally:
            step.output = _output(services, attempts, citations, error)
    if error is not None and record.start is None and ask.has_fallback and is_unreachable(error):
        return {"failed_sources": [*failed, FailedSource(source=ask.source, code=error.code, message=error.message)]}
    if error is not None and record.start is None and failed:
        # The answer was expected of the first: its failure is what the reader can understand.
        error = error_of(failed[0]["code"], failed[0]["message"])
    text = services.answer.unfinished + record.text
    info = record.answer_info({"code": error.code, "message": error.message} if error else None)
    update: dict[str, Any] = {"answer": info}
    if text:
        message_id = context.message_id or (record.start.message_id if record.start else None)
        update["messages"] = [AIMessage(text, id=message_id)]
    return update


async def _prompt(state: ChatState, context: ChatContext, services: TurnServices) -> tuple[Prompt, list[str]]:
    """Return the prompt, and the texts of its sources."""
    prompt, retrieval = state.get("assembled"), state.get("retrieval")
    if prompt is None:
        prompt, found = await assemble_again(state, context, services)
        return prompt, [source.text for source in found]
    read = state.get("sources") or []
    return prompt, [source.text for source in retrieval.sources[: len(read)]] if retrieval else []


async def _stream(
    services: TurnServices,
    context: ChatContext,
    ask: ModelCandidate,
    prompt: Prompt,
    params: ModelParams,
    citations: CitationFilter,
    write: StreamWriter,
    attempts: list[Attempt],
) -> None:
    record, models = services.record, services.models

    def messages_for(target: Target) -> list[BaseMessage]:
        # Another provider may step in, whose models read an unfinished answer differently.
        return prompts.for_model(prompt.messages, continues_prefix=models.continues_prefix(target.source))

    stream = models.stream(
        messages_for if services.answer.unfinished else prompt.messages,
        source=ask.source,
        name=ask.name,
        params=params,
        user_id=context.user_id or "-",
        request_id=context.request_id,
        attempts=attempts,
        fallback_from=ask.fallback_from,
        has_fallback=ask.has_fallback,
        may_be_empty=bool(services.answer.unfinished),
    )
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, str):
                _write(record.parts, write, citations.feed(item.replace("\x00", "")))  # Postgres can't keep it
            elif isinstance(item, Reasoning):
                thought = item.text.replace("\x00", "")
                record.reasoning_parts.append(thought)
                write({"event": "reasoning", "content": thought})
            elif isinstance(item, StreamStart):
                record.start = item
                record.first_token_ms = record.elapsed_ms()
            elif isinstance(item, StreamEnd):
                record.end = item


def _write(parts: list[str], write: StreamWriter, text: str) -> None:
    if text:
        parts.append(text)
        write(text)


def _attributed(answer: str, citations: CitationFilter, sources: Sequence[str]) -> str:
    """Return citations for an answer whose model gave none, where its words plainly come from a source."""
    if citations.cited or not sources:
        return ""
    numbers = supporting(answer, sources)
    citations.cited.update(numbers)
    return (" " if numbers else "") + "".join(f"[{number}]" for number in numbers)


def _output(
    services: TurnServices, attempts: Sequence[Attempt], citations: CitationFilter, error: AppError | None
) -> dict[str, Any]:
    record = services.record
    output: dict[str, Any] = {"characters": len(record.text), "first_token_ms": record.first_token_ms}
    output |= {"attempts": [asdict(attempt) for attempt in attempts], "error": error.code if error else None}
    if record.start is not None:
        output |= {
            "source": record.start.source,
            "model": record.start.model,
            "fallback_from": record.start.fallback_from,
            "notices": record.start.notices,
        }
    if record.end is not None:
        output |= {"finish_reason": record.end.finish_reason, "usage": asdict(record.end.usage)}
    return output | {"citations": {"cited": sorted(citations.cited), "removed": citations.removed}}
