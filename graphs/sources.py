"""Sources of an answer: as references in the state, as the API shows them, as the model reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from chains.prompts import SourceText
from graphs.citations import cited_numbers
from graphs.context import TurnServices
from graphs.highlights import highlights
from graphs.record import TurnRecord
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


def earlier_references(sources: Iterable[Mapping[str, Any]]) -> list[SourceReference]:
    """Return what the state keeps of sources that an answer has had before.

    Their positions and headings are read again with the passages. Those that came with an imported answer are no files
    of this server.
    """
    return [
        SourceReference(
            n=source["n"],
            file_id=source["file_id"],
            file_name=source["file_name"],
            chunk_id=source["chunk_id"],
            position=0,
            page=source.get("page"),
            heading=None,
            start=source["start"],
            end=source["end"],
            score=source["score"],
            confidence=source.get("confidence"),
        )
        for source in sources
        if not source.get("imported")
    ]


def holding(references: Iterable[SourceReference], passage: Found) -> SourceReference | None:
    """Return the first of these references whose passage holds all of this one."""
    for known in references:
        inside = known["start"] <= passage.start and passage.end <= known["end"]
        if known["file_id"] == str(passage.file_id) and inside:
            return known
    return None


def next_number(references: Iterable[SourceReference], record: TurnRecord) -> int:
    """Return the number of the next source of an answer, behind all that it has or has had."""
    taken = [*(ref["n"] for ref in references), *(source["n"] for source in record.earlier_sources)]
    return max(taken, default=0) + 1


def numbered(found: Sequence[Found], earlier: Sequence[SourceReference], record: TurnRecord) -> list[SourceReference]:
    """Return the sources of an answer when passages were found for it, numbered behind the earlier ones.

    A passage that is found again keeps its number, with the longer text of the two.
    """
    references = {ref["n"]: ref for ref in earlier}
    following = next_number(earlier, record)
    for passage in found:
        known = holding(earlier, passage)
        if known is not None and known["n"] in record.passages:
            continue
        known = known or next((ref for ref in earlier if ref["chunk_id"] == str(passage.chunk_id)), None)
        n = known["n"] if known is not None else following
        references[n], record.passages[n] = reference(n, passage), passage
        following = max(following, n + 1)
    return list(references.values())


def shown_sources(record: TurnRecord, passages: Mapping[int, Found]) -> list[dict[str, Any]]:
    """Return the sources of an answer as the API shows them: those of its first part, and these passages."""
    shown = {source["n"]: source for source in record.earlier_sources}
    shown |= {n: public_source(n, passage) for n, passage in passages.items()}
    return [shown[n] for n in sorted(shown)]


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
                # What can't be read again keeps the sentence that was found in it.
                "highlight": asdict(highlight) if highlight else source.get("highlight"),
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
        found = {(str(passage.chunk_id), passage.start, passage.end): passage for passage in retrieval.sources}
        places = {ref["n"]: (ref["chunk_id"], ref["start"], ref["end"]) for ref in state.get("sources") or []}
        known.update({n: found[place] for n, place in places.items() if place in found})
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
