"""The search of a turn: a question that leans on the talk is made whole, and searched for as it stands beside that."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from chains.condense import clean_query, condense_prompt, needs_context, with_context
from chains.prompts import Said
from chains.types import ModelParams
from graphs.context import ChatContext, Services
from llama_service.errors import AppError
from persistence.search import Retrieval

log = structlog.get_logger(__name__)

PATIENCE = 2.5  # seconds that a model has to make a question whole; the answer waits for it
_QUERY_TOKENS = 120


@dataclass(slots=True)
class Searched:
    """What a question found; `condensed` tells of the model's part, for the trace."""

    retrieval: Retrieval
    condensed: dict[str, Any] = field(default_factory=dict)


async def search(services: Services, context: ChatContext, question: str, budget: int) -> Searched:
    """Return the passages for a question, in the context of its conversation."""
    history = await services.history()
    if not needs_context(question, history):
        return Searched(await services.retrieve(question, context, budget))
    plain = asyncio.create_task(services.retrieve(with_context(question, history), context, budget))
    try:
        # A very small model takes longer for this than for its answer, and does it badly.
        if services.small or not await services.has_files():
            return Searched(await plain)
        query, told = await _condensed(services, context, question, history)
        if query is None:
            return Searched(await plain, told)
        whole = await services.retrieve(query, context, budget)
        if not whole.sources:
            before = await plain
            return Searched(before if before.sources else whole, told)
        return Searched(whole, told)
    finally:
        plain.cancel()
        await asyncio.wait([plain])
        if not plain.cancelled() and (failed := plain.exception()) is not None:
            # Raised above where its result was needed.
            log.debug("plain_search_failed", error=type(failed).__name__)


async def _condensed(
    services: Services, context: ChatContext, question: str, history: Sequence[Said]
) -> tuple[str | None, dict[str, Any]]:
    began = services.record.elapsed_ms()
    error: str | None = None
    query: str | None = None
    try:
        async with asyncio.timeout(PATIENCE):
            completion = await services.registry.complete(
                condense_prompt(question, history),
                source=context.model_source,
                name=context.model_name,
                params=ModelParams(temperature=0.0, max_tokens=_QUERY_TOKENS),
                user_id=context.user_id or "-",
                request_id=context.request_id,
            )
        query = clean_query(completion.text)
    except AppError as failed:
        error = failed.code
    except TimeoutError:
        error = "timeout"
    if error is not None:
        log.info("question_not_condensed", code=error)
    return query, {"query": query, "ms": services.record.elapsed_ms() - began, "error": error}
