"""Sources of an answer: as references in the state, as the API shows them, as the model reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from chains.prompts import SourceText
from graphs.citations import cited_numbers
from graphs.context import TurnServices
from graphs.highlights import highlights
from graphs.state import ChatState, SourceReference
from persistence.search import Found

_SNIPPET = 600  # characters: a whole passage, but for the longest


def reference(n: int, source: Found) -> SourceReference:
    """Return what the state keeps of a source."""
    return SourceReference(
        n=n,
        file_id=str(source.file_id),
        file_name=source.file_name,
        chunk_id=str(source.chunk_id),
        position=source.position,
        page=source.page,
        heading=source.heading,
        start=source.start,
        end=source.end,
        score=source.score,
        confidence=source.confidence,
    )


def public_source(n: int, source: Found) -> dict[str, Any]:
    """Return a source as the API shows it."""
    return {
        "n": n,
        "file_id": str(source.file_id),
        "file_name": source.file_name,
        "chunk_id": str(source.chunk_id),
        "page": source.page,
        "start": source.start,
        "end": source.end,
        "snippet": source.matched[:_SNIPPET],
        "score": source.score,
        "confidence": source.confidence,
        "shared": source.shared,
        "available": True,
    }


def with_citations(
    answer: str, sources: Sequence[Mapping[str, Any]], passages: Mapping[int, Found]
) -> list[dict[str, Any]]:
    """Return sources as the API shows them of a whole answer: which are cited, and which sentence it rests on."""
    cited = cited_numbers(answer, max((source["n"] for source in sources), default=0))
    found = highlights(answer, {n: passages[n] for n in cited if n in passages})
    shown = []
    for source in sources:
        highlight = found.get(source["n"])
        shown.append(
            {
                **source,
                "cited": source["n"] in cited,
                "highlight": asdict(highlight) if highlight else None,
            }
        )
    return shown


def source_text(n: int, source: Found) -> SourceText:
    """Return a source as the model reads it."""
    page = f"page {source.page}" if source.page is not None else None
    return SourceText(n, ", ".join(filter(None, [source.file_name, page, source.heading])), source.text)


async def passages_of(state: ChatState, services: TurnServices) -> Mapping[int, Found]:
    """Return the passages of the state's sources by number."""
    retrieval, known = state.get("retrieval"), services.record.passages
    if retrieval is not None and not known:  # a graph without the API has a record for each node
        known.update(enumerate(retrieval.sources, 1))
    return await passages_behind(state.get("sources") or [], services)


async def passages_behind(references: Sequence[SourceReference], services: TurnServices) -> Mapping[int, Found]:
    """Return the passages of references by number.

    A run that goes on elsewhere has the references only: their texts are read again, as far as the caller may still
    see them.
    """
    known = services.record.passages
    missing = [ref for ref in references if ref["n"] not in known]
    if missing:
        numbers = {(ref["chunk_id"], ref["start"], ref["end"]): ref["n"] for ref in missing}
        for passage in await services.files.load(missing):
            known[numbers[str(passage.chunk_id), passage.start, passage.end]] = passage
    return {ref["n"]: known[ref["n"]] for ref in references if ref["n"] in known}
