"""Ask a model and pass its words on as they come."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime
from langgraph.types import StreamWriter

from chains import prompts
from chains.models import ModelCandidate
from chains.prompts import CallResult, Prompt
from chains.resilience import is_unreachable
from chains.types import Attempt, ModelParams, Reasoning, StreamEnd, StreamStart, Target, ToolCall, Usage, sum_of
from graphs.calls import new_steps
from graphs.citations import CitationFilter, supporting
from graphs.context import ChatContext, TurnServices
from graphs.nodes.augment import answer_tokens, assemble_again
from graphs.pictures import with_pictures
from graphs.services import services_of
from graphs.sources import passages_of, source_text
from graphs.state import ChatState, FailedSource, ToolRound, ToolStep, text_of_rounds, usage_of_rounds
from graphs.toolbox import MAX_ROUNDS, TURN_SECONDS
from llama_service.errors import AppError, error_of
from llama_service.settings import ProviderName
from persistence.search import Found

_TAKEN_AWAY = "The user may not read this file any more."
_PARAGRAPH = "\n\n"  # between what is said before a call of tools and what is said after it


async def generate(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Write the answer, or call tools. A failure of the provider ends the answer early, with the text so far.

    Where nobody listens at the source that is asked and another one may stand in, the failure is noted instead, and
    `after_generate` leads here again.
    """
    context, services = runtime.context, await services_of(runtime.context)
    record = services.record
    failed, rounds = state.get("failed_sources") or [], state.get("rounds") or []
    record.spent = usage_of_rounds(state)
    rounds_spent = len(record.spent)
    candidates = services.models.candidates(context.model_source, context.model_name, services.access)
    ask = candidates[min(len(failed), len(candidates) - 1)]  # the last one where the settings have changed meanwhile
    provider, model = _expected(ask, services)
    params = _params(context, services, rounds, takes_tools=services.models.takes_tools(provider, model))
    prompt = state.get("assembled") or await assemble_again(state, context, services)
    passages = await passages_of(state, services)
    texts = {n: passage.text for n, passage in passages.items()}
    messages = _messages(prompt, await _as_may_be_read(rounds, services), state, context, services, passages)
    messages = await with_pictures(messages, services.files, sees=services.models.sees(provider, model))
    error: AppError | None = None
    with record.step(
        "generate",
        source=ask.source,
        model=ask.name,
        temperature=params.temperature,
        max_tokens=params.max_tokens,
        round=len(rounds) + 1,
    ) as step:
        citations, write, attempts = CitationFilter(max(texts, default=0)), get_stream_writer(), list[Attempt]()
        calls: Sequence[ToolCall] = ()
        try:
            calls = await _stream(services, context, ask, messages, params, citations, write, attempts)
            _write(record.parts, write, citations.end())
            if not calls:
                _write(record.parts, write, _attributed(record.text, citations, texts))
            elif _said(state, services).strip():
                _write(record.parts, write, _PARAGRAPH)
        except AppError as refused:
            error = refused
        except BaseException:  # the run is stopped here, or goes on elsewhere
            record.lost = record.spent[rounds_spent:]
            raise
        finally:
            step.output = _output(services, attempts, record.spent[rounds_spent:], citations, error)
    if error is not None and record.start is None and ask.has_fallback and not rounds and is_unreachable(error):
        return {"failed_sources": [*failed, FailedSource(source=ask.source, code=error.code, message=error.message)]}
    if error is None and calls and record.end is not None:
        said = _said(state, services)
        usage, record.end = record.end.usage, None
        steps = new_steps(calls, services.tools)
        return {"rounds": [*rounds, ToolRound(text=said, usage=asdict(usage), steps=steps)]}
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


def _expected(ask: ModelCandidate, services: TurnServices) -> tuple[ProviderName, str]:
    """Return provider and model that are about to be asked: those of the plan, or of who stands in for them."""
    if ask.fallback_from is None or ask.source == "local":
        return services.plan.provider, services.plan.model
    return ask.source, ask.name or services.models.default_model(ask.source) or ""


def _params(
    context: ChatContext, services: TurnServices, rounds: Sequence[ToolRound], *, takes_tools: bool
) -> ModelParams:
    """Return how to answer; after enough rounds the model has to do without tools."""
    plan, tools = services.plan, services.tools.definitions if takes_tools else ()
    spent = sum(step["ms"] or 0 for round_ in rounds for step in round_["steps"])
    enough = len(rounds) >= MAX_ROUNDS or spent > TURN_SECONDS * 1000
    return ModelParams(
        temperature=plan.temperature if context.temperature is None else context.temperature,
        max_tokens=context.max_tokens or plan.max_tokens,
        tools=tools or None,
        tool_choice="none" if tools and enough else None,
        reasoning_effort=context.reasoning_effort,
    )


def _said(state: ChatState, services: TurnServices) -> str:
    """Return what was said of the answer since the last calls of tools, by this worker or by one that died."""
    return (services.answer.unfinished + services.record.text)[len(text_of_rounds(state)) :]


async def _as_may_be_read(rounds: Sequence[ToolRound], services: TurnServices) -> Sequence[ToolRound]:
    """Return rounds of calls, without what was read from files that were taken away while the run waited."""
    shown = []
    for round_ in rounds:
        steps = []
        for step in round_["steps"]:
            # A step that an older version kept names no files.
            shared = step.get("shared", False)
            allowed = await services.files.may_read(step.get("file_ids", []), shared=shared)
            steps.append(step if allowed else ToolStep(**{**step, "content": _TAKEN_AWAY}))
        shown.append(ToolRound(**{**round_, "steps": steps}))
    return shown


def _messages(
    prompt: Prompt,
    rounds: Sequence[ToolRound],
    state: ChatState,
    context: ChatContext,
    services: TurnServices,
    passages: Mapping[int, Found],
) -> list[BaseMessage]:
    """Return the prompt with the rounds so far, and with what was said of this one already at its end."""
    models = services.models
    if not rounds:
        return prompt.messages
    window = models.context_window(services.plan.provider, services.plan.model)
    budget = window - answer_tokens(context, window) - prompt.tokens
    spoken = [
        (
            round_["text"].strip(),
            [
                CallResult(
                    step["id"],
                    step["name"],
                    step["arguments"],
                    step["content"],
                    [source_text(n, passages[n]) for n in step["sources"] if n in passages],
                )
                for step in round_["steps"]
            ],
        )
        for round_ in rounds
    ]
    messages = [*prompt.messages[: len(prompt.history) + 2], *prompts.exchange(spoken, budget, models.count_tokens)]
    said = _said(state, services)
    return [*messages, AIMessage(said)] if said else messages


async def _stream(
    services: TurnServices,
    context: ChatContext,
    ask: ModelCandidate,
    messages: list[BaseMessage],
    params: ModelParams,
    citations: CitationFilter,
    write: StreamWriter,
    attempts: list[Attempt],
) -> Sequence[ToolCall]:
    """Pass an answer on as it comes; return the calls of tools that it ends with."""
    record, models = services.record, services.models
    goes_on = bool(services.answer.unfinished) and isinstance(messages[-1], AIMessage | HumanMessage)

    def messages_for(target: Target) -> list[BaseMessage]:
        # Another provider may step in, whose models read an unfinished answer differently.
        return prompts.for_model(messages, continues_prefix=models.continues_prefix(target.source))

    stream = models.stream(
        messages_for if goes_on else messages,
        source=ask.source,
        name=ask.name,
        params=params,
        user_id=context.user_id or "-",
        request_id=context.request_id,
        attempts=attempts,
        spent=services.record.spent,
        fallback_from=ask.fallback_from,
        has_fallback=ask.has_fallback,
        may_be_empty=goes_on,
    )
    calls: Sequence[ToolCall] = ()
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, str):
                record.note_reasoning(goes_on=False)
                _write(record.parts, write, citations.feed(item.replace("\x00", "")))  # Postgres can't keep it
            elif isinstance(item, Reasoning):
                record.note_reasoning(goes_on=True)
                thought = item.text.replace("\x00", "")
                record.reasoning_parts.append(thought)
                write({"event": "reasoning", "content": thought})
            elif isinstance(item, StreamStart):
                record.start = item
                record.first_token_ms = record.first_token_ms or record.elapsed_ms()
            elif isinstance(item, StreamEnd):
                record.note_reasoning(goes_on=False)
                record.end, calls = item, item.tool_calls
    return calls if params.tools and params.tool_choice != "none" else ()


def _write(parts: list[str], write: StreamWriter, text: str) -> None:
    if text:
        parts.append(text)
        write(text)


def _attributed(answer: str, citations: CitationFilter, sources: Mapping[int, str]) -> str:
    """Return citations for an answer whose model gave none, where its words plainly come from a source."""
    if citations.cited or not sources:
        return ""
    numbers = supporting(answer, sources)
    citations.cited.update(numbers)
    return (" " if numbers else "") + "".join(f"[{number}]" for number in numbers)


def _output(
    services: TurnServices,
    attempts: Sequence[Attempt],
    spent: Sequence[Usage],
    citations: CitationFilter,
    error: AppError | None,
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
        output["finish_reason"] = record.end.finish_reason
    if spent:
        output["usage"] = asdict(sum_of(spent))
    return output | {"citations": {"cited": sorted(citations.cited), "removed": citations.removed}}
