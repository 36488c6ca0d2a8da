"""What is asked after an answer, when nobody waits any more: the model that gave it is asked, and may fail."""

from collections.abc import Sequence

import structlog
from langchain_core.messages import BaseMessage

from chains.models import ModelRegistry
from chains.types import ModelParams
from graphs.runs.run import Run
from llama_service.errors import AppError

log = structlog.get_logger(__name__)


async def ask_again(
    models: ModelRegistry, run: Run, messages: Sequence[BaseMessage], params: ModelParams, *, failure: str
) -> str | None:
    """Ask the model that answered a run; return None where it fails, which the log tells by `failure`."""
    start = run.record.start
    if start is None:
        return None
    try:
        completion = await models.complete(
            messages,
            source=start.source,
            name=start.model,
            params=params,
            user_id=str(run.user_id or ""),
            request_id=run.request_id,
        )
    except AppError as error:
        log.info(failure, code=error.code)
        return None
    return completion.text
