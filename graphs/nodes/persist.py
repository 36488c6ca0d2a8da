"""Write the answer to the database."""

from langgraph.runtime import Runtime

from graphs.context import ChatContext
from graphs.services import services_of
from graphs.state import ChatState


async def persist(state: ChatState, runtime: Runtime[ChatContext]) -> None:
    """Keep the answer, complete or broken off. Runs again without harm where a run goes on elsewhere."""
    services = await services_of(runtime.context)
    info, last = state["answer"], state["messages"][-1]
    assert info is not None  # noqa: S101  (`generate` comes first)
    text = str(last.text) if last.type == "ai" else ""
    execution = runtime.execution_info
    with services.record.step("persist", characters=len(text)) as step:
        step.output = {"status": "failed" if info.get("error") else "complete"}
        await services.answer.save(text, info, execution.checkpoint_id if execution else None)
