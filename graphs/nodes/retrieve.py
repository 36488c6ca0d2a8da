"""Find the passages that the question is about, within the caller's files."""

from dataclasses import asdict
from typing import Any, Literal

from langgraph.runtime import Runtime

from chains.condense import needs_context, with_context
from graphs.context import ChatContext, TurnServices
from graphs.needs import needs_files
from graphs.services import services_of
from graphs.sources import numbered, passages_behind
from graphs.state import NOTHING_SEARCHED, ChatState, Searched, history_of, question_of
from persistence.search import Retrieval


async def retrieve(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Search for the question, or for what `condense` made of it."""
    context, services = runtime.context, await services_of(runtime.context)
    with services.record.step("retrieve", query=question_of(state), use_rag=context.use_rag) as step:
        found = await _search(state, context, services)
        needed = await needs_files(found, state, context, services)
        if not needed:
            found.sources.clear()
        elif context.top_k is not None:
            found.sources[context.top_k :] = []
        earlier = state.get("sources") or []
        await passages_behind(earlier, services)
        sources = numbered(found.sources, earlier, services.record)
        services.record.retrieve_ms = services.record.elapsed_ms()
        searched = services.record.searched = _searched(found, context, needed=needed)
        step.output = _shown(found, needed=needed) | _condensed(services) | {"scope": searched["scope"]}
    return {
        "retrieval": found,
        "searched": searched,
        "sources": sources,
        "nothing_found": found.searched and needed and not sources,
    }


async def _search(state: ChatState, context: ChatContext, services: TurnServices) -> Retrieval:
    question, history = question_of(state), history_of(state)
    window = services.models.context_window(services.plan.provider, services.plan.model)
    budget = services.plan.source_budget(services.source_budget, window)
    plain = with_context(question, history) if needs_context(question, history) else question
    condensed = state.get("query")
    if condensed is None:
        return await services.files.retrieve(plain, context, budget)
    found = await services.files.retrieve(condensed, context, budget)
    if found.sources:
        return found
    # The model may have misunderstood: what the user wrote counts too.
    otherwise = await services.files.retrieve(plain, context, budget)
    return otherwise if otherwise.sources else found


def _searched(found: Retrieval, context: ChatContext, *, needed: bool) -> Searched:
    if not found.searched or not needed:
        return NOTHING_SEARCHED
    scope: Literal["files", "libraries", "library", "conversation"]
    if context.file_ids or context.library_ids:
        scope = "files" if context.file_ids else "libraries"
    else:
        scope = "library" if context.search_library else "conversation"
    return Searched(scope=scope, files=found.files, confidence=found.confidence)


def _condensed(services: TurnServices) -> dict[str, Any]:
    """Return what `condense` made of the question, which belongs to what was searched for."""
    steps = [step for step in services.record.steps if step.node == "condense"]
    return {"condensed": {**steps[-1].output, "ms": steps[-1].ms}} if steps else {}


def _shown(found: Retrieval, *, needed: bool) -> dict[str, Any]:
    chosen = {(source.file_id, source.position) for source in found.sources}
    return {
        "query": found.query,
        "files": found.files,
        "candidates": [{**asdict(c), "chosen": (c.file_id, c.position) in chosen} for c in found.candidates],
        "sources": len(found.sources),
        "needs_files": needed,
        "kind": asdict(found.kind) if found.kind else None,
        "named": found.named,
        "confidence": found.confidence,
        "probability": found.probability,
        "pending": found.pending,
        "vector_error": found.vector_error,
        "ms": found.ms,
    }
