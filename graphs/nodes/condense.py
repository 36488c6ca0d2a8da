"""Make a follow-up question ("and in 2023?") whole, so that it can be searched for."""

import asyncio
from typing import Any

import structlog
from langgraph.runtime import Runtime

from chains.condense import clean_query, condense_prompt
from chains.types import ModelParams
from graphs.context import ChatContext
from graphs.services import services_of
from graphs.state import ChatState, history_of, question_of
from llama_service.errors import AppError

log = structlog.get_logger(__name__)

PATIENCE = 2.5  # seconds that a model has to make a question whole; the answer waits for it
_QUERY_TOKENS = 120


async def condense(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Ask the model for the whole question. Where it fails or takes too long, the plain question is searched."""
    context, services = runtime.context, await services_of(runtime.context)
    question = question_of(state)
    error: str | None = None
    query: str | None = None
    with services.record.step("condense", question=question) as step:
        try:
            async with asyncio.timeout(PATIENCE):
                completion = await services.models.complete(
                    condense_prompt(question, history_of(state)),
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
        step.output = {"query": query, "error": error}
    if error is not None:
        log.info("question_not_condensed", code=error)
    return {"query": query}
