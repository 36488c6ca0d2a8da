"""Put the prompt together: rules, as much of the history as the model reads, sources, question."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime

from chains import prompts
from chains.prompts import Prompt
from graphs.context import ChatContext, TurnServices
from graphs.pictures import images_of
from graphs.services import services_of
from graphs.sources import passages_of, shown_sources, source_text
from graphs.state import NOTHING_SEARCHED, ChatState, PromptParts, asked_message, history_of, question_of
from graphs.toolbox import reserve
from persistence.search import Found

_ANSWER_SHARE = 4  # of the model's context, at most, is kept for the answer
_ANSWER_TOKENS = 1024  # kept for it where the turn names no limit
_ROLES = {"human": "user", "ai": "assistant"}


async def augment(state: ChatState, runtime: Runtime[ChatContext]) -> dict[str, Any]:
    """Choose what of history and sources the model reads, and send the sources to whoever listens."""
    context, services = runtime.context, await services_of(runtime.context)
    with services.record.step("augment") as step:
        found = await passages_of(state, services)
        prompt = assemble(state, context, services, found)
        # What did not fit was not seen by the model and can't be cited: the worst ones, at the end.
        read = {n: source for n, source in found.items() if n not in prompt.cut_sources}
        _note_what_is_read(state, services, read)
        # What the answer has had before stays its source.
        earlier = {source["n"] for source in services.record.earlier_sources}
        retrieval = state.get("retrieval")
        pending = {"pending": retrieval.pending} if retrieval and retrieval.pending else {}
        if services.record.sources or pending:
            get_stream_writer()({"event": "sources", "sources": services.record.sources, **pending})
        step.output = {
            "prompt": _shown(prompt, read),
            "tokens": prompt.tokens,
            "cut": {"messages": prompt.cut_messages, "sources": prompt.cut_sources},
        }
    return {
        "assembled": prompt,
        "prompt": _parts(prompt, list(read)),
        "sources": [ref for ref in state.get("sources") or [] if ref["n"] in read or ref["n"] in earlier],
    }


def assemble(state: ChatState, context: ChatContext, services: TurnServices, found: Mapping[int, Found]) -> Prompt:
    """Return the prompt for the model that is expected to answer."""
    plan, models = services.plan, services.models
    window, summary = models.context_window(plan.provider, plan.model), state.get("summary")
    tools = services.tools.definitions
    kept_free = reserve(window) + models.count_tokens(str(tools)) if tools else 0
    return prompts.build(
        rules=services.access.system_prompt,
        system_prompt=context.system_prompt,
        personal=services.answer.personal,
        summary=summary["text"] if summary else None,
        history=history_of(state),
        question=question_of(state),
        images=images_of(asked_message(state)),
        sources=[source_text(n, source) for n, source in found.items()],
        nothing_found=bool(state.get("nothing_found")) and not found,
        fit_badly=state.get("searched", NOTHING_SEARCHED).get("confidence") == "weak",
        unfinished=services.answer.unfinished,
        context_tokens=window,
        answer_tokens=answer_tokens(context, window) + kept_free,
        count=models.count_tokens,
        is_demo_model=plan.is_demo_model,
        continues_prefix=models.continues_prefix(plan.provider),
        has_tools=bool(tools),
    )


def answer_tokens(context: ChatContext, window: int) -> int:
    """Return how many tokens of a model's window are left to the answer."""
    return min(context.max_tokens or _ANSWER_TOKENS, window // _ANSWER_SHARE)


async def assemble_again(state: ChatState, context: ChatContext, services: TurnServices) -> Prompt:
    """Return the prompt of a run that goes on in `generate` without what `augment` had in memory."""
    found = await passages_of(state, services)
    _note_what_is_read(state, services, found)
    parts = state.get("prompt")
    beside = parts["sources"] if parts else list(found)
    return assemble(state, context, services, {n: found[n] for n in beside if n in found})


def _note_what_is_read(state: ChatState, services: TurnServices, read: Mapping[int, Found]) -> None:
    record = services.record
    record.window, record.summary = state["messages"], state.get("summary")
    record.searched = state.get("searched", NOTHING_SEARCHED)
    record.sources = shown_sources(record, read)


def _parts(prompt: Prompt, sources: Sequence[int]) -> PromptParts:
    return PromptParts(
        system=str(prompt.messages[0].content),
        history=[str(message.id) for message in prompt.history],
        sources=list(sources),
        tokens=prompt.tokens,
        cut_messages=prompt.cut_messages,
        cut_sources=prompt.cut_sources,
    )


def _shown(prompt: Prompt, sources: Mapping[int, Found]) -> list[dict[str, Any]]:
    """Return the exact prompt for the trace, the passages in it by themselves: who may read them is asked again.

    The history, which is kept already, is named by its end and length.
    """
    system, rest = prompt.messages[0], prompt.messages[1 + len(prompt.history) :]
    shown: list[dict[str, Any]] = [{"role": "system", "content": str(system.content)}]
    if prompt.history:
        shown.append({"role": "history", "last_id": prompt.history[-1].id, "count": len(prompt.history)})
    # The passages are in the question, which the beginning of its answer may follow.
    of: list[Mapping[int, Found]] = [sources, *({} for _ in rest[1:])] if rest else []
    return shown + [
        {"role": _role(message), "content": _pieces(message, found)} for message, found in zip(rest, of, strict=True)
    ]


def _pieces(message: BaseMessage, sources: Mapping[int, Found]) -> list[dict[str, Any]]:
    """Return a message in pieces: what was written around the passages, and each of these with its file.

    Passages stand in the order of their numbers, or in the reverse (`prompts.question_with_sources`), each behind its
    heading; two may have the same words. What can't be told apart is kept as text of all of the files.
    """
    text = str(message.content)
    for numbers in (sorted(sources), sorted(sources, reverse=True)):
        if (pieces := _split(text, [(n, sources[n]) for n in numbers])) is not None:
            return pieces
    files = {str(source.file_id) for source in sources.values()}
    return [{"text": text, "file_ids": sorted(files), "shared": any(source.shared for source in sources.values())}]


def _split(text: str, sources: Sequence[tuple[int, Found]]) -> list[dict[str, Any]] | None:
    pieces: list[dict[str, Any]] = []
    end = 0
    for n, source in sources:
        words = f"{source.heading}\n{source.text}" if source.heading else source.text
        start = text.find(words, end)
        if start < 0:
            return None
        named = {"source": n, "file_id": str(source.file_id), "shared": source.shared}
        pieces += [{"text": text[end:start]}, {**named, "text": words}]
        end = start + len(words)
    return [*pieces, {"text": text[end:]}]


def _role(message: BaseMessage) -> str:
    return _ROLES.get(message.type, message.type)
