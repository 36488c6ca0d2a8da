"""Sources of an answer are numbered once: those of its first part keep their numbers when it is gone on with."""

from typing import Any
from uuid import UUID, uuid4

from graphs.record import TurnRecord
from graphs.sources import earlier_references, next_number, numbered, public_source, shown_sources
from persistence.relevance import best_confidence
from persistence.search import Found

FILE, CHUNK = uuid4(), uuid4()


def passage(start: int, end: int, chunk: UUID = CHUNK, file: UUID = FILE) -> Found:
    text = "x" * (end - start)
    return Found(file, "oak.txt", chunk, 0, None, None, start, end, text, 0.5, text)


def gone_on_with(*sources: Found, **fields: Any) -> tuple[list[Any], TurnRecord]:
    """Return the references of an answer's first part, and the record of the rest."""
    shown = [public_source(n, source) | fields for n, source in enumerate(sources, 1)]
    return earlier_references(shown), TurnRecord(earlier_sources=shown)


def test_the_first_sources_of_an_answer_are_numbered_from_one() -> None:
    record = TurnRecord()
    found = [passage(0, 9), passage(20, 30, uuid4())]
    assert [ref["n"] for ref in numbered(found, [], record)] == [1, 2]
    assert record.passages == {1: found[0], 2: found[1]}


def test_a_passage_within_one_that_is_there_has_its_number() -> None:
    earlier, record = gone_on_with(passage(0, 90))
    record.passages[1] = passage(0, 90)
    assert numbered([passage(10, 20, uuid4())], earlier, record) == earlier
    assert record.passages[1].end == 90


def test_the_longer_text_of_a_passage_that_is_found_again_counts() -> None:
    earlier, record = gone_on_with(passage(10, 20))
    record.passages[1] = passage(10, 20)
    (ref, new) = numbered([passage(0, 90), passage(200, 210, uuid4())], earlier, record)
    assert (ref["n"], ref["start"], ref["end"], new["n"]) == (1, 0, 90, 2)
    assert record.passages[1].text == "x" * 90


def test_what_can_not_be_read_again_by_its_old_reference_is_found_under_its_number() -> None:
    """A file that was indexed anew has other chunks."""
    earlier, record = gone_on_with(passage(0, 90))
    again = passage(10, 20, uuid4())
    (ref,) = numbered([again], earlier, record)
    assert (ref["n"], ref["chunk_id"], record.passages) == (1, str(again.chunk_id), {1: again})


def test_numbers_of_imported_sources_are_taken_though_they_are_no_files_here() -> None:
    earlier, record = gone_on_with(passage(0, 90), passage(100, 110, uuid4()), imported=True)
    assert (earlier, next_number(earlier, record)) == ([], 3)
    references = numbered([passage(0, 90)], earlier, record)
    assert [ref["n"] for ref in references] == [3]
    assert [source["n"] for source in shown_sources(record, record.passages)] == [1, 2, 3]


def test_sources_together_are_as_likely_as_the_better_of_them() -> None:
    assert best_confidence("weak", "likely") == best_confidence("likely", None) == "likely"
    assert best_confidence(None, "weak") == "weak"
    assert best_confidence(None, None) is None
