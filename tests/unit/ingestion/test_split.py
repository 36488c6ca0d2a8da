"""Passages cover a text exactly, end where people would end them, and know where they stand."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.documents import Block, Extracted, Passage, clean
from ingestion.split import searched_text, split

WORDS = st.text(alphabet="abcdef АБвг.!?,;:\n\t -|1234«»。日本\u0301", max_size=3000)


def of(text: str, *blocks: Block, size: int = 2000, overlap: int = 400, target: int = 450) -> list[Passage]:
    return split(Extracted(text, blocks, "text/plain"), size, overlap, target=target)


def check(text: str, passages: list[Passage], size: int) -> None:
    place = 0
    for number, passage in enumerate(passages):
        assert passage.position == number
        assert text[passage.start : passage.end] == passage.text
        assert passage.text == passage.text.strip() != ""
        assert passage.start >= place
        assert not text[place : passage.start].strip()
        assert passage.context_start <= passage.start < passage.end <= passage.context_end
        assert passage.context_end - passage.context_start <= max(size, len(passage.text))
        place = passage.end
    assert not text[place:].strip()


@given(WORDS, st.integers(200, 3000), st.integers(0, 150), st.integers(40, 600))
@settings(max_examples=200, deadline=None)
def test_covers_every_character_once(text: str, size: int, overlap: int, target: int) -> None:
    text = clean(text)
    check(text, of(text, size=size, overlap=overlap, target=target), size)


@given(
    WORDS, st.lists(st.tuples(st.integers(0, 2999), st.sampled_from(["heading", "page", "table", "sheet", "slide"])))
)
@settings(max_examples=200, deadline=None)
def test_marks_never_lose_text(text: str, marks: list[tuple[int, str]]) -> None:
    text = clean(text)
    blocks = [
        Block(start, min(len(text), start + 9), kind, "7", 1 + start % 3)  # type: ignore[arg-type]
        for start, kind in sorted(marks)
        if start < len(text)
    ]
    check(text, of(text, *blocks), 2000)


def test_an_empty_text_has_no_passages() -> None:
    assert of("") == of(" \n\n ") == []


def test_ends_at_sentences() -> None:
    sentence = "The quick brown fox jumps over the lazy dog near the river bank today. "
    passages = of(sentence * 60)
    assert all(p.text.endswith(".") and p.text.startswith("The") for p in passages)
    assert all(250 <= len(p.text) <= 610 for p in passages)


@pytest.mark.parametrize(
    "stop", ["Dr. Smith", "e.g. Apples", "3.14 Units", "г. Москва", "И. И. Иванов", "т.е. Так", "U.S. Army"]
)
def test_abbreviations_and_numbers_end_no_sentence(stop: str) -> None:
    text = f"{'word ' * 84}{stop} {'word ' * 90}end."
    cut = text.index(stop)
    inner = range(cut + 1, cut + len(stop))
    assert not any(p.end in inner for p in of(text) if p.text.endswith("."))


def test_prefers_paragraphs() -> None:
    paragraph = "One sentence is here. Another one follows it. " * 8
    text = "\n\n".join([paragraph.strip()] * 6)
    assert [p.text for p in of(text)] == [paragraph.strip()] * 6


def test_never_cuts_a_word() -> None:
    text = " ".join(f"word{i}x" for i in range(3000))
    for passage in of(text):
        assert passage.text.startswith("word")
        assert passage.text.endswith("x")


def test_an_unbroken_string_is_cut_hard_and_quickly() -> None:
    began = time.perf_counter()
    passages = of("x" * 1_000_000)
    assert max(len(p.text) for p in passages) <= 610
    assert time.perf_counter() - began < 5


def test_a_heading_opens_its_passage() -> None:
    body = "Some words about it stand here, enough to fill a line. " * 6
    text = f"{body}\n\nChapter\n\nPart\n\n{body}\n\nPart two\n\n{body}"
    first, second, third = text.index("Chapter"), text.index("Part"), text.index("Part two")
    passages = of(
        text,
        Block(first, first + 7, "heading", "Chapter", 1),
        Block(second, second + 4, "heading", "Part", 2),
        Block(third, third + 8, "heading", "Part two", 2),
    )
    assert [p.heading for p in passages] == [None, "Chapter \u203a Part", "Chapter \u203a Part two"]
    assert passages[1].text.startswith("Chapter\n\nPart\n\nSome")
    assert passages[2].text.startswith("Part two\n\nSome")


def test_pages_are_kept() -> None:
    page = "Words of a page that go on for a while, up to its end. " * 9
    text = page + "\n\n" + page
    passages = of(text, Block(0, len(page), "page", "1"), Block(len(page) + 2, len(text), "page", "2"))
    assert [p.page for p in passages] == [1, 2]


def test_sheets_name_their_passages() -> None:
    text = "Plan\n\nname | age\nAnn | 5\n\n" + "Costs\n\nname | sum\nAnn | 7\n\n"
    half = len(text) // 2 - 1
    at = text.index("Costs")
    passages = of(text * 1, Block(0, at, "sheet", "Plan"), Block(at, len(text), "sheet", "Costs"), target=100)
    assert half
    assert [p.heading for p in passages] == ["Plan", "Costs"]


def test_tables_are_cut_between_groups() -> None:
    group = "name | age\n" + "\n".join(f"person number {i} | {i}" for i in range(16))
    text = (group + "\n\n") * 5
    blocks = [Block(i * (len(group) + 2), i * (len(group) + 2) + len(group), "table", "") for i in range(5)]
    assert all(p.text.startswith("name | age") for p in of(text, *blocks))


def test_context_units_share_at_most_the_overlap() -> None:
    text = "A sentence of some forty characters here. " * 400
    units = sorted({(p.context_start, p.context_end) for p in of(text, size=1500, overlap=500)})
    assert len(units) > 5
    for (_, end), (start, _) in itertools.pairwise(units):
        assert end - start <= 500


def test_cuts_megabytes_a_second() -> None:
    text = ("Prices rose by 3.5 % in Q2, e.g. in Oslo. Nobody, as Dr. No says, was glad of it!\n" * 12 + "\n") * 1000
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        of(text)
        best = max(best, len(text) / (time.perf_counter() - began))
    assert best > 2_000_000  # 8 to 11 million alone on a core; tests share theirs


def test_a_short_answer_keeps_its_own_heading() -> None:
    text = (
        "Opening hours\n\nFrom nine to five.\n\nAddress\n\n" + "Main street, behind the old mill and the church. " * 5
    )
    second = text.index("Address")
    marks = (Block(0, 13, "heading", "Opening hours", 1), Block(second, second + 7, "heading", "Address", 1))
    assert of(text, *marks)[0].heading == "Opening hours"


def test_slides_stay_apart_however_short() -> None:
    text = "One\n\nTwo\n\nThree"
    blocks = [Block(0, 5, "slide", "1"), Block(5, 10, "slide", "2"), Block(10, 15, "slide", "3")]
    headings = [Block(b.start, b.start + 3, "heading", text[b.start : b.start + 3], 1) for b in blocks]
    assert [(p.text, p.page) for p in of(text, *blocks, *headings)] == [("One", 1), ("Two", 2), ("Three", 3)]


def test_what_is_searched_carries_the_heading_once() -> None:
    body = "Some words about it stand here, enough to fill a line. " * 20
    passages = of(f"Rates\n\n{body}", Block(0, 5, "heading", "Rates", 1))
    assert searched_text(passages[0]) == passages[0].text
    assert searched_text(passages[1]) == f"Rates\n{passages[1].text}"
