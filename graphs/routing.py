"""The decisions of a turn: which step comes next."""

from dataclasses import asdict
from typing import Literal

from langgraph.runtime import Runtime

from chains.condense import needs_context
from graphs.context import ChatContext
from graphs.needs import answers_itself
from graphs.services import services_of
from graphs.state import ChatState, history_of, pending_steps, question_of


async def after_start(
    state: ChatState, runtime: Runtime[ChatContext]
) -> Literal["restore", "condense", "retrieve", "augment"]:
    """Begin with `restore` where the checkpoint does not hold the message above the question."""
    context, services = runtime.context, await services_of(runtime.context)
    await services.answer.question_committed()
    above = history_of(state)[-1:]
    if context.parent_id is not None and [message.id for message in above] != [context.parent_id]:
        return "restore"
    return await after_restore(state, runtime)


async def after_restore(state: ChatState, runtime: Runtime[ChatContext]) -> Literal["condense", "retrieve", "augment"]:
    """Search only where there is something to search; make a follow-up whole before."""
    context, services = runtime.context, await services_of(runtime.context)
    question = question_of(state)
    if not context.use_rag or not question.strip() or not await services.files.has_files():
        return "augment"
    if not needs_context(question, history_of(state)):
        return "retrieve"
    # Before a model is asked what a follow-up means: "shorter, please" is neither a question nor found in any file.
    kind = await services.files.kind_of(question)
    if await answers_itself(kind, state, context, services):
        with services.record.step("retrieve", query=question, use_rag=True) as step:
            step.output = {"needs_files": False, "kind": asdict(kind) if kind else None, "sources": 0}
        return "augment"
    return "condense" if services.plan.condenses_follow_ups else "retrieve"


def after_generate(state: ChatState) -> Literal["generate", "tools", "persist"]:
    """Call the tools that the model has asked for; ask the next source where nobody answered at the last one."""
    if state.get("answer"):
        return "persist"
    return "tools" if pending_steps(state) else "generate"
