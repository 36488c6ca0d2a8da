"""Rebuild the conversation's window from the messages in the database."""

from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from graphs.context import ChatContext
from graphs.services import services_of
from graphs.state import ChatState, window


async def restore(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Read the branch above the question, where no checkpoint holds it.

    That is so for conversations of older versions, imported ones, pruned states, and below answers that were stopped.
    """
    context, services = runtime.context, await services_of(runtime.context)
    with services.record.step("restore", parent_id=context.parent_id) as step:
        history = await services.branch.recent(str(context.parent_id))
        messages = window([*history, state["messages"][-1]])
        step.output = {"messages": len(messages) - 1}
    return {"messages": Overwrite(messages)}
