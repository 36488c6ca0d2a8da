"""Put the prompt together: rules, as much of the history as the model reads, sources, question."""

from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime

from chains import prompts
from chains.prompts import Prompt, SourceText
from graphs.context import ChatContext, TurnServices
from graphs.services import services_of
from graphs.state import NOTHING_SEARCHED, ChatState, PromptParts, history_of, question_of
from persistence.search import Found

_SNIPPET = 600  # characters: a whole passage, but for the longest
_ANSWER_SHARE = 4  # of the model's context, at most, is kept for the answer
_ANSWER_TOKENS = 1024  # kept for it where the turn names no limit
_ROLES = {"human": "user", "ai": "assistant"}


async def augment(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Choose what of history and sources the model reads, and send the sources to whoever listens."""
    context, services = runtime.context, await services_of(runtime.context)
    with services.record.step("augment") as step:
        found = await _passages(state, services)
        prompt = assemble(state, context, services, found)
        # What did not fit was not seen by the model and can't be cited: the worst ones, at the end.
        read = found[: len(found) - len(prompt.cut_sources)]
        _note_what_is_read(state, services, read)
        retrieval = state.get("retrieval")
        pending = {"pending": retrieval.pending} if retrieval and retrieval.pending else {}
        if read or pending:
            get_stream_writer()({"event": "sources", "sources": services.record.sources, **pending})
        step.output = {
            "prompt": _shown(prompt),
            "tokens": prompt.tokens,
            "cut": {"messages": prompt.cut_messages, "sources": prompt.cut_sources},
        }
    return {
        "assembled": prompt,
        "prompt": _parts(prompt, len(read)),
        "sources": (state.get("sources") or [])[: len(read)],
    }


async def _passages(state: ChatState, services: TurnServices) -> list[Found]:
    """Return the sources' texts; a run that goes on elsewhere has their references only."""
    retrieval, references = state.get("retrieval"), state.get("sources") or []
    if retrieval is not None or not references:
        return retrieval.sources if retrieval and references else []
    return await services.files.load(references)


def assemble(state: ChatState, context: ChatContext, services: TurnServices, found: list[Found]) -> Prompt:
    """Return the prompt for the model that is expected to answer."""
    plan, models = services.plan, services.models
    window, summary = models.context_window(plan.provider, context.model_name), state.get("summary")
    return prompts.build(
        system_prompt=context.system_prompt,
        summary=summary["text"] if summary else None,
        history=history_of(state),
        question=question_of(state),
        sources=[SourceText(n, _label(source), source.text) for n, source in enumerate(found, 1)],
        nothing_found=bool(state.get("nothing_found")) and not found,
        unfinished=services.answer.unfinished,
        context_tokens=window,
        answer_tokens=min(context.max_tokens or _ANSWER_TOKENS, window // _ANSWER_SHARE),
        count=models.count_tokens,
        is_demo_model=plan.is_demo_model,
        continues_prefix=models.continues_prefix(plan.provider),
    )


async def assemble_again(state: ChatState, context: ChatContext, services: TurnServices) -> tuple[Prompt, list[Found]]:
    """Return the prompt of a run that goes on in `generate` without what `augment` had in memory."""
    found = await _passages(state, services)
    _note_what_is_read(state, services, found)
    return assemble(state, context, services, found), found


def _note_what_is_read(state: ChatState, services: TurnServices, read: list[Found]) -> None:
    record = services.record
    record.window, record.summary = state["messages"], state.get("summary")
    record.searched = state.get("searched", NOTHING_SEARCHED)
    record.sources = public_sources(read)


def public_sources(sources: list[Found]) -> list[dict[str, Any]]:
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


def _label(source: Found) -> str:
    page = f"page {source.page}" if source.page is not None else None
    return ", ".join(filter(None, [source.file_name, page, source.heading]))


def _parts(prompt: Prompt, sources: int) -> PromptParts:
    return PromptParts(
        system=str(prompt.messages[0].content),
        history=[str(message.id) for message in prompt.history],
        sources=list(range(1, sources + 1)),
        tokens=prompt.tokens,
        cut_messages=prompt.cut_messages,
        cut_sources=prompt.cut_sources,
    )


def _shown(prompt: Prompt) -> list[dict[str, Any]]:
    """Return the exact prompt for the trace; the history, which is kept already, by its end and length."""
    system, rest = prompt.messages[0], prompt.messages[1 + len(prompt.history) :]
    shown: list[dict[str, Any]] = [{"role": "system", "content": str(system.content)}]
    if prompt.history:
        shown.append({"role": "history", "last_id": prompt.history[-1].id, "count": len(prompt.history)})
    return shown + [{"role": _role(message), "content": str(message.content)} for message in rest]


def _role(message: BaseMessage) -> str:
    return _ROLES.get(message.type, message.type)
