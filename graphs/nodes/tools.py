"""Call the tools that the model has asked for, each once, and number what they brought."""

from typing import Any

from langgraph.runtime import Runtime

from graphs.calls import RoundOfCalls
from graphs.context import ChatContext
from graphs.services import services_of
from graphs.state import ChatState, ToolRound


async def tools(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Run the calls of the last round. Those that need a person's word stop the run until it is given.

    A call that has ended is not made again, whatever dies: not where the run waited, not where its worker has died.
    """
    context, services = runtime.context, await services_of(runtime.context)
    execution, last = runtime.execution_info, state["rounds"][-1]
    with services.record.step("tools", calls=[step["name"] for step in last["steps"]]) as step:
        calls = RoundOfCalls(state, context, services)
        try:
            await calls.run(execution.checkpoint_id if execution else None)
        finally:
            step.output = {"steps": calls.shown()}
    rounds = [*state["rounds"][:-1], ToolRound(text=last["text"], usage=last["usage"], steps=calls.steps)]
    return {"rounds": rounds, "sources": calls.sources}
