"""Ask the model and pass its words on as they come."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime

from chains import prompts
from chains.prompts import Prompt
from chains.types import ModelParams, Reasoning, StreamEnd, StreamStart, Target
from graphs.citations import CitationFilter, supporting
from graphs.context import ChatContext, TurnServices
from graphs.nodes.augment import assemble_again
from graphs.services import services_of
from graphs.state import ChatState
from graphs.writer import AnswerWriter
from llama_service.errors import AppError


async def generate(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Write the answer. A failure of the provider ends it early, with the text so far."""
    context, services = runtime.context, await services_of(runtime.context)
    record, plan = services.record, services.plan
    params = ModelParams(
        temperature=plan.temperature if context.temperature is None else context.temperature,
        max_tokens=context.max_tokens or plan.max_tokens,
    )
    prompt, texts = await _prompt(state, context, services)
    asked = {"source": context.model_source, "model": context.model_name}
    error: AppError | None = None
    with record.step("generate", **asked, temperature=params.temperature, max_tokens=params.max_tokens) as step:
        citations, writer = CitationFilter(len(texts)), AnswerWriter(get_stream_writer())
        try:
            await _stream(services, context, prompt, params, citations, writer)
            _write(record.parts, writer, citations.end())
            _write(record.parts, writer, _attributed(record.text, citations, texts))
        except AppError as failed:
            error = failed
        finally:
            writer.flush()
            step.output = _output(services, citations)
    text = services.answer.unfinished + record.text
    info = record.answer_info({"code": error.code, "message": error.message} if error else None)
    update: dict[str, Any] = {"answer": info}
    if text:
        update["messages"] = [AIMessage(text, id=context.message_id)]
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
    prompt: Prompt,
    params: ModelParams,
    citations: CitationFilter,
    writer: AnswerWriter,
) -> None:
    record, models = services.record, services.models

    def messages_for(target: Target) -> list[BaseMessage]:
        # Another provider may step in, whose models read an unfinished answer differently.
        return prompts.for_model(prompt.messages, continues_prefix=models.continues_prefix(target.source))

    stream = models.stream(
        messages_for if services.answer.unfinished else prompt.messages,
        source=context.model_source,
        name=context.model_name,
        params=params,
        user_id=context.user_id or "-",
        request_id=context.request_id,
    )
    try:
        async for item in stream:
            if isinstance(item, str):
                _write(record.parts, writer, citations.feed(item.replace("\x00", "")))  # Postgres can't keep it
            elif isinstance(item, Reasoning):
                thought = item.text.replace("\x00", "")
                record.reasoning_parts.append(thought)
                writer.reasoning(thought)
            elif isinstance(item, StreamStart):
                record.start = item
                record.first_token_ms = record.elapsed_ms()
            elif isinstance(item, StreamEnd):
                record.end = item
    finally:
        await stream.aclose()


def _write(parts: list[str], writer: AnswerWriter, text: str) -> None:
    if text:
        parts.append(text)
        writer.text(text)


def _attributed(answer: str, citations: CitationFilter, sources: Sequence[str]) -> str:
    """Return citations for an answer whose model gave none, where its words plainly come from a source."""
    if citations.cited or not sources:
        return ""
    numbers = supporting(answer, sources)
    citations.cited.update(numbers)
    return (" " if numbers else "") + "".join(f"[{number}]" for number in numbers)


def _output(services: TurnServices, citations: CitationFilter) -> dict[str, Any]:
    record = services.record
    output: dict[str, Any] = {"characters": len(record.text), "first_token_ms": record.first_token_ms}
    if record.start is not None:
        output |= {
            "source": record.start.source,
            "model": record.start.model,
            "fallback_from": record.start.fallback_from,
            "attempts": [asdict(attempt) for attempt in record.start.attempts],
            "notices": record.start.notices,
        }
    if record.end is not None:
        output |= {"finish_reason": record.end.finish_reason, "usage": asdict(record.end.usage)}
    return output | {"citations": {"cited": sorted(citations.cited), "removed": citations.removed}}
