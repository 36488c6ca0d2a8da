"""The four steps of a turn."""

from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from chains import prompts
from chains.prompts import Prompt, Said, SourceText
from chains.types import ModelParams, StreamEnd, StreamStart, Target
from graphs.citations import CitationFilter, supporting
from graphs.context import ChatContext, Services
from graphs.record import Generation
from graphs.searching import search
from graphs.standalone import services_of
from graphs.state import ChatState
from llama_service.errors import AppError
from persistence.search import Found, Retrieval

# The small model reads some 50 tokens a second: its turn gets fewer sources.
SMALL_BUDGET = 1_600
# At its default of 0.8 it answers beside the point.
SMALL_TEMPERATURE = 0.1
# Tokens; a small model that has lost its thread repeats itself, and at 14 tokens a second for minutes.
SMALL_ANSWER = 400
_SNIPPET = 600  # characters: a whole passage, but for the longest
_ANSWER_SHARE = 4


def question_of(state: ChatState) -> str:
    """Return the text of the last message that a human sent."""
    for message in reversed(state["messages"]):
        if isinstance(message, HumanMessage):
            return str(message.text)
    return ""


def source_event(sources: list[Found]) -> list[dict[str, Any]]:
    """Return sources as the API shows them, numbered from 1."""
    return [
        {
            "n": number,
            "file_id": str(source.file_id),
            "file_name": source.file_name,
            "chunk_id": str(source.chunk_id),
            "page": source.page,
            "start": source.start,
            "end": source.end,
            "snippet": source.matched[:_SNIPPET],
            "score": source.score,
        }
        for number, source in enumerate(sources, 1)
    ]


def _budget(services: Services, context: ChatContext) -> int:
    if services.small:
        return SMALL_BUDGET
    # A quarter of what the model reads, at some three characters a token.
    window = services.registry.context_window(services.planned, context.model_name)
    return min(services.budget, max(SMALL_BUDGET, window * 3 // 4))


async def retrieve(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Find the passages that the question is about, within the caller's files."""
    context, services = runtime.context, await services_of(runtime.context)
    question = question_of(state)
    with services.record.step("retrieve", query=question, use_rag=context.use_rag) as step:
        if not context.use_rag or not question.strip():
            return {"retrieval": Retrieval(question)}
        searched = await search(services, context, question, _budget(services, context))
        found = searched.retrieval
        if context.top_k is not None:
            found.sources[context.top_k :] = []
        services.record.retrieve_ms = services.record.elapsed_ms()
        step.output = {
            "query": found.query,
            **({"condensed": searched.condensed} if searched.condensed else {}),
            "files": found.files,
            "candidates": [{**asdict(c), "chosen": _chosen(c, found.sources)} for c in found.candidates],
            "sources": len(found.sources),
            "gated": found.gated,
            "pending": found.pending,
            "vector_error": found.vector_error,
            "ms": found.ms,
        }
    return {"retrieval": found}


def _chosen(candidate: Any, sources: list[Found]) -> bool:
    return any(source.file_id == candidate.file_id and source.position == candidate.position for source in sources)


def _label(source: Found) -> str:
    parts = [source.file_name]
    if source.page is not None:
        parts.append(f"page {source.page}")
    if source.heading:
        parts.append(source.heading)
    return ", ".join(parts)


async def augment(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Put the prompt together: rules, as much of the talk as the model reads, sources, question."""
    context, services = runtime.context, await services_of(runtime.context)
    found = state["retrieval"]
    registry = services.registry
    window = registry.context_window(services.planned, context.model_name)
    answer_tokens = min(context.max_tokens or 1024, window // _ANSWER_SHARE)
    with services.record.step("augment", context_tokens=window, answer_tokens=answer_tokens) as step:
        sources = [SourceText(n, _label(s), s.text) for n, s in enumerate(found.sources, 1)]
        history = await services.history() or _earlier(state)
        prompt = prompts.build(
            system_prompt=context.system_prompt,
            history=history,
            question=question_of(state),
            sources=sources,
            nothing_found=found.searched and not sources,
            said=services.said,
            context_tokens=window,
            answer_tokens=answer_tokens,
            count=registry.count_tokens,
            small=services.small,
            goes_on=registry.continues_prefix(services.planned),
        )
        # What did not fit was not seen by the model, and can't be cited: the worst ones, at the end.
        found.sources[len(sources) - len(prompt.cut_sources) :] = []
        services.record.sources = source_event(found.sources)
        if found.sources or found.pending:
            pending = {"pending": found.pending} if found.pending else {}
            await services.kept()
            services.tell("sources", {"sources": services.record.sources, **pending})
        step.output = {
            "prompt": _shown(prompt),
            "tokens": prompt.tokens,
            "cut": {"messages": prompt.cut_messages, "sources": prompt.cut_sources},
        }
    return {"prompt": prompt}


def _shown(prompt: Prompt) -> list[dict[str, Any]]:
    """Return the exact prompt for the trace; the talk, which is kept already, by its end (`messages.whole_prompt`)."""
    system, *_ = prompt.messages
    rest = prompt.messages[1 + len(prompt.kept) :]
    shown: list[dict[str, Any]] = [{"role": "system", "content": str(system.content)}]
    if prompt.kept and prompt.kept[-1].id is not None:
        shown.append({"role": "history", "last_id": prompt.kept[-1].id, "count": len(prompt.kept)})
    else:
        shown += [{"role": said.role, "content": said.content} for said in prompt.kept]
    return shown + [{"role": _role(message), "content": str(message.content)} for message in rest]


def _earlier(state: ChatState) -> list[Said]:
    """Return the talk that the state itself holds, where nobody else keeps it (the studio)."""
    return [Said(_role(message), str(message.text)) for message in state["messages"][:-1]]


def _role(message: BaseMessage) -> str:
    return {"human": "user", "ai": "assistant"}.get(message.type, message.type)


async def generate(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Ask the model and pass its words on as they come. A failure ends the answer, it does not lose it."""
    context, services = runtime.context, await services_of(runtime.context)
    record, prompt = services.record, state["prompt"]
    temperature = context.temperature
    if temperature is None and services.small:
        temperature = SMALL_TEMPERATURE
    max_tokens = context.max_tokens or (SMALL_ANSWER if services.small else None)
    params = ModelParams(temperature=temperature, max_tokens=max_tokens)
    await services.kept()
    asked = {"source": context.model_source, "model": context.model_name}
    with record.step("generate", **asked, temperature=params.temperature, max_tokens=params.max_tokens) as step:
        citations = CitationFilter(len(state["retrieval"].sources)) if state["retrieval"].sources else None
        error: AppError | None = None
        try:
            await _speak(services, context, prompt, params, citations)
            if citations is not None and (rest := citations.end()):
                services.say(rest)
            if citations is not None and (marks := _attributed(record.text, citations, state["retrieval"])):
                services.say(marks)
            await services.told()
        except AppError as failed:
            error = failed
        finally:
            step.output = _generation_output(services, citations)
    generation = Generation(record.text, record.start, record.end, error)
    return {"generation": generation}


async def _speak(
    services: Services,
    context: ChatContext,
    prompt: Prompt,
    params: ModelParams,
    citations: CitationFilter | None,
) -> None:
    record, registry = services.record, services.registry

    def asked(target: Target) -> list[BaseMessage]:
        # Another provider may step in, whose models read an unfinished answer differently.
        return prompts.ending(prompt.messages, goes_on=registry.continues_prefix(target.source))

    stream = registry.stream(
        asked if services.said else prompt.messages,
        source=context.model_source,
        name=context.model_name,
        params=params,
        user_id=context.user_id or "-",
        request_id=context.request_id,
    )
    try:
        async for item in stream:
            if isinstance(item, str):
                if "\x00" in item:  # Postgres can't keep it
                    item = item.replace("\x00", "")
                if citations is not None:
                    item = citations.feed(item)
                if item:
                    services.say(item)
            elif isinstance(item, StreamStart):
                record.start = item
                record.first_token_ms = record.elapsed_ms()
            elif isinstance(item, StreamEnd):
                record.end = item
    finally:
        await stream.aclose()


def _attributed(answer: str, citations: CitationFilter, found: Retrieval) -> str:
    """Return citations for an answer whose model gave none, where its words plainly come from a source."""
    if citations.cited:
        return ""
    numbers = supporting(answer, [source.text for source in found.sources])
    citations.cited.update(numbers)
    return (" " if numbers else "") + "".join(f"[{number}]" for number in numbers)


def _generation_output(services: Services, citations: CitationFilter | None) -> dict[str, Any]:
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
    if citations is not None:
        output["citations"] = {"cited": sorted(citations.cited), "removed": citations.removed}
    return output


async def persist(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Keep the answer. Runs again without harm where a turn is resumed."""
    services = await services_of(runtime.context)
    generation = state["generation"]
    info = runtime.execution_info
    services.record.checkpoint_id = info.checkpoint_id if info else None
    with services.record.step("persist", characters=len(generation.text)) as step:
        step.output = {"status": "failed" if generation.error else "complete"}
        await services.finish(generation)
    return {"messages": [AIMessage(generation.text)]}
