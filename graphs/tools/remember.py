"""Remember something of the user, for all of their conversations. Waits for the user's word: a file may have asked."""

from typing import Annotated

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from pydantic import Field

from graphs.tools.spec import ToolContext, ToolFailed, ToolSpec


async def remember(
    fact: Annotated[
        str,
        Field(description="One sentence about the user, true for a long time", min_length=1, max_length=500),
    ],
    config: RunnableConfig,
) -> str:
    """Remember something that the user tells about themselves or wants to be remembered, for later conversations."""
    memory = ToolContext.of(config).memory
    if memory is None:
        raise ToolFailed("Nothing can be remembered here.")
    await memory.remember(" ".join(fact.split()))
    return "It is remembered."


SPEC = ToolSpec(
    StructuredTool.from_function(coroutine=remember), title="Remember", read_only=False, needs_approval=True
)
