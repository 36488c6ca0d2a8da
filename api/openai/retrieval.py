"""Sources for a chat over OpenAI's wire, where the request asks for them (`file_ids`, `use_rag`); they are not kept."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from langchain_core.messages import BaseMessage, HumanMessage

from api.openai.schemas import ChatCompletionRequest
from api.state import AppState
from chains import prompts
from chains.condense import needs_context, with_context
from chains.types import StreamEnd, StreamItem
from graphs.citations import CitationFilter
from graphs.needs import fits_message
from graphs.sources import public_source, source_text, with_citations
from persistence.access import check_named
from persistence.search import Found, Scope


class Grounding:
    """The sources of one answer: its citations of nothing are taken out, those of sources become annotations."""

    def __init__(self, sources: Sequence[Found]) -> None:
        self._sources = dict(enumerate(sources, 1))
        self._filter = CitationFilter(len(sources))
        self._told: list[str] = []

    async def through(self, items: AsyncGenerator[StreamItem, None]) -> AsyncGenerator[StreamItem, None]:
        """Yield an answer's items, its text without citations of nothing."""
        async with aclosing(items):
            async for item in items:
                if isinstance(item, StreamEnd) and (rest := self._filter.end()):
                    self._told.append(rest)
                    yield rest
                if not isinstance(item, str):
                    yield item
                elif text := self._filter.feed(item):
                    self._told.append(text)
                    yield text

    def annotations(self) -> list[dict[str, Any]]:
        """Return what the answer cites, in the shape of OpenAI's annotations."""
        shown = [public_source(n, source) for n, source in self._sources.items()]
        return citations_of(with_citations("".join(self._told), shown, self._sources))


def citations_of(sources: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of an answer's sources that it cites, in the shape of OpenAI's annotations."""
    cited = [source for source in sources if source["cited"]]
    return [{"type": "file_citation", "file_citation": _citation(source)} for source in cited]


def _citation(source: dict[str, Any]) -> dict[str, Any]:
    place = source["highlight"] or {**source, "text": source["snippet"]}
    return {
        "index": source["n"],
        "file_id": source["file_id"],
        "filename": source["file_name"],
        "page": place["page"],
        "quote": place["text"],
        "start": place["start"],
        "end": place["end"],
        "confidence": source["confidence"],
    }


async def grounded(
    messages: Sequence[BaseMessage], body: ChatCompletionRequest, user_id: UUID, state: AppState
) -> tuple[list[BaseMessage], Grounding]:
    """Return the messages, the last question with the passages for it, from what the request names or all of one's own.

    Raises NotFound for a file or a library that the user may not see.
    """
    if body.names_files:
        async with state.database.reading() as session:
            await check_named(session, user_id, body.file_ids, body.library_ids)
    at = max(number for number, message in enumerate(messages) if isinstance(message, HumanMessage))
    question, before = str(messages[at].text), list(messages[:at])
    query = with_context(question, before) if needs_context(question, before) else question
    settings = state.settings
    found = await state.retriever.retrieve(
        Scope(user_id, None, body.file_ids, library_ids=body.library_ids),
        query,
        budget=settings.retrieval_budget_chars,
        wait=settings.retrieval_wait_seconds,
    )
    sources = found.sources if body.names_files or fits_message(found, question) else []
    text = prompts.question_with_sources(
        question,
        [source_text(n, source) for n, source in enumerate(sources, 1)],
        nothing_found=found.searched and not found.sources,
        fit_badly=found.confidence == "weak",
    )
    return [*before, _with_text(messages[at], text), *messages[at + 1 :]], Grounding(sources)


def _with_text(message: BaseMessage, text: str) -> HumanMessage:
    """Return a question with other words, its pictures as they are."""
    if isinstance(message.content, str):
        return HumanMessage(text)
    pictures = [part for part in message.content if isinstance(part, dict) and part.get("type") != "text"]
    return HumanMessage([*pictures, {"type": "text", "text": text}])
