# ruff: noqa: RUF001  (punctuation and abbreviations of several alphabets are this module's subject)
"""Cut a text into small passages that are searched, each inside a context unit that is read.

A passage ends at the best boundary near the target: paragraph before sentence before line before clause
before word. A heading opens a passage. Sizes are characters; the target of 450 comes from measuring retrieval
with several sizes.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingestion.documents import Block, Extracted, Passage

TARGET = 450

# How far from the target a cut may lie, as factors of it, and when a rest is too small to stand alone.
_SHORTEST, _LONGEST, _REST = 0.55, 1.35, 0.35
_HEADING_PATH_CHARS = 300
_TINY = 0.3

_PARAGRAPH, _SENTENCE, _LINE = 3, 2, 1
_BREAK = re.compile(
    r"(?P<paragraph>\n[ \t\f\v\xa0]*\n\s*)"
    r"|(?P<item>\n(?=[ \t]*(?:[-*•–—|]|\d{1,3}[.)])[ \t|]))"
    r"|(?P<line>\n[ \t]*)"
    r"|(?P<sentence>(?<=[.!?…])[\"'”’»)\]]*\s+)"
    r"|(?P<cjk>(?<=[。！？])[」』”）]*)"
)
_CLAUSE = re.compile(r"[;:,–—，；、][ \t\n]*")
_SPACE = re.compile(r"\s+")
_WORD_BEFORE = re.compile(r"[\w.]+\Z")
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        """
    mr mrs ms dr prof sr jr st vs etc e.g i.e cf al fig figs eq no nos vol pp ed eds inc ltd co corp dept
    approx est u.s u.k a.m p.m jan feb mar apr jun jul aug sep sept oct nov dec gen col sen rep gov capt lt
    sgt rev hon г гг в вв т.е т.к т.д т.п т.н и.о ул пр стр рис табл гл ст п пп см ср др руб коп тыс млн млрд
    трлн им акад проф доц д.р н.э до.н.э кв м ч мин сек напр обл г.н у.е кг
    """,
    )
)


@dataclass(frozen=True, slots=True)
class _Section:
    """A range under one heading; `path` is the line of headings above it, `body` where the text after it begins."""

    start: int
    end: int
    path: str | None
    body: int


@dataclass(frozen=True, slots=True)
class _Edge:
    """Where a section may begin, the headings above it, where its own text begins, and whether it stands alone."""

    start: int
    path: str | None
    body: int
    alone: bool


def split(document: Extracted, chunk_size: int, chunk_overlap: int, *, target: int = TARGET) -> list[Passage]:
    """Return the passages of a document in order; only white space lies between them, and none overlap.

    `chunk_size` bounds the context unit around a passage (a passage that is longer is its own unit),
    `chunk_overlap` is what neighbouring units share at most. `target` is the wished length of a passage.
    """
    target = max(40, min(target, chunk_size))
    text = document.text
    breaks = _Breaks(text, document.blocks)
    pages = [b for b in document.blocks if b.kind in ("page", "slide")]
    page_starts = [b.start for b in pages]
    passages: list[Passage] = []
    for section in _sections(document, target):
        spans = [t for s, e in _cut(text, section, breaks, target) if (t := _trim(text, s, e))]
        units = _units(spans, chunk_size, chunk_overlap)
        for (start, end), (first, last) in zip(spans, units, strict=True):
            page = _page(pages, page_starts, start)
            passages.append(Passage(len(passages), start, end, text[start:end], page, section.path, first, last))
    return passages


def searched_text(passage: Passage) -> str:
    """Return what is indexed and embedded for a passage: its text, under the headings that it lacks."""
    if not passage.heading or passage.heading.rpartition(" › ")[2] in passage.text:
        return passage.text
    return f"{passage.heading}\n{passage.text}"


def _sections(document: Extracted, target: int) -> list[_Section]:
    """Cut a document where passages may not cross: at headings, pages, sheets and slides.

    A heading without text of its own joins what follows, and so does a tiny section; the others stay apart.
    """
    sections: list[_Section] = []
    edges = _edges(document)
    ends = [edge.start for edge in edges[1:]] + [len(document.text)]
    alone = True
    for edge, end in zip(edges, ends, strict=True):
        alone = alone or edge.alone
        if end <= edge.start:
            continue
        previous = sections[-1] if sections and not alone else None
        bare = previous is not None and not document.text[previous.body : previous.end].strip()
        if previous and bare:
            sections[-1] = _Section(previous.start, end, edge.path or previous.path, edge.body)
        elif previous and previous.end - previous.start < target * _TINY:
            sections[-1] = _Section(previous.start, end, previous.path or edge.path, edge.body)
        else:
            sections.append(_Section(edge.start, end, edge.path, edge.body))
        alone = False
    return sections


def _edges(document: Extracted) -> list[_Edge]:
    marks = [b for b in document.blocks if b.kind in ("heading", "page", "sheet", "slide")]
    edges = [_Edge(0, None, 0, True)]
    path: list[tuple[int, str]] = []
    for mark in sorted(marks, key=lambda b: (b.start, b.kind == "heading")):
        if mark.kind == "page":  # a chapter goes on over the page
            edges.append(_Edge(mark.start, edges[-1].path, mark.start, True))
            continue
        level = max(1, mark.level) if mark.kind == "heading" else 0
        while path and path[-1][0] >= level:
            path.pop()
        if mark.kind != "slide":
            path.append((level, mark.label.strip()))
        line = " › ".join(label for _, label in path if label)[:_HEADING_PATH_CHARS] or None
        body = mark.end if mark.kind == "heading" else mark.start
        edges.append(_Edge(mark.start, line, body, level == 0))
    return edges


class _Breaks:
    """All places of a text where a passage may end, with their strength, found in one pass."""

    def __init__(self, text: str, blocks: Sequence[Block]) -> None:
        found: dict[int, int] = {}
        for match in _BREAK.finditer(text):
            strength = _strength(text, match)
            if strength:
                found[match.end()] = strength
        for block in blocks:
            if block.kind in ("page", "table"):
                found[block.start] = _PARAGRAPH
                found[block.end] = _PARAGRAPH
        self.at = sorted(found)
        self.strength = [found[place] for place in self.at]
        self.text = text

    def best(self, low: int, wished: int, high: int) -> int | None:
        """Return the strongest place in (low, high], the nearest to `wished` among equals."""
        first, last = bisect_right(self.at, low), bisect_right(self.at, high)
        if first == last:
            return self._weak(low, wished, high)
        chosen = max(range(first, last), key=lambda i: (self.strength[i], -abs(self.at[i] - wished)))
        return self.at[chosen]

    def _weak(self, low: int, wished: int, high: int) -> int | None:
        for pattern in (_CLAUSE, _SPACE):
            places = [m.end() for m in pattern.finditer(self.text, low, high)]
            if pattern is _CLAUSE:
                places = [p for p in places if self.text[p - 1].isspace()]
            if places:
                return min(places, key=lambda place: abs(place - wished))
        return None


def _strength(text: str, match: re.Match[str]) -> int:
    kind = match.lastgroup
    if kind == "paragraph":
        return _PARAGRAPH
    if kind == "line":
        return _LINE
    if kind == "sentence" and text[match.start() - 1] == "." and not _ends_sentence(text, match):
        return _LINE if "\n" in match[0] else 0
    return _PARAGRAPH if kind == "sentence" and match[0].count("\n") > 1 else _SENTENCE


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Tell whether the full stop before `match` ends a sentence, rather than an abbreviation or an initial."""
    after = text[match.end() : match.end() + 1]
    if after.islower():
        return False
    word = _WORD_BEFORE.search(text, max(0, match.start() - 16), match.start() - 1)
    if word is None:
        return True
    before = word[0].lower()
    initial = len(before) == 1 and before.isalpha() and word[0].isupper()
    return not (initial or before in _ABBREVIATIONS)


def _cut(text: str, section: _Section, breaks: _Breaks, target: int) -> Iterator[tuple[int, int]]:
    start = section.start
    while True:
        start = _skip_space(text, start, section.end)
        rest = section.end - start
        if rest <= target * _LONGEST:
            if rest:
                yield start, section.end
            return
        high = start + int(target * _LONGEST)
        if rest < target * (_LONGEST + _REST):  # two halves rather than one piece and a crumb
            high = start + int(rest * 0.65)
            wished = start + rest // 2
        else:
            wished = start + target
        low = start + int(target * _SHORTEST)
        place = breaks.best(low, wished, high)
        if place is None:
            place = _hard(text, wished)
        yield start, place
        start = place


def _hard(text: str, place: int) -> int:
    """Move a cut inside an unbroken string before any combining marks, so that no character is torn."""
    while place < len(text) and unicodedata.combining(text[place]):
        place += 1
    return place


def _skip_space(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    return start


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if end > start else None


def _units(spans: Sequence[tuple[int, int]], chunk_size: int, chunk_overlap: int) -> list[tuple[int, int]]:
    """Assign each passage its context unit: runs of whole passages of at most `chunk_size` characters.

    The next run begins up to `chunk_overlap` characters before the end of the last one; a passage in two runs
    belongs to the one in which it lies nearer to the middle.
    """
    units: list[tuple[int, int]] = []
    first = 0
    while first < len(spans):
        last = first
        while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] <= chunk_size:
            last += 1
        units.append((spans[first][0], spans[last][1]))
        if last + 1 == len(spans):
            break
        following = last + 1
        while following - 1 > first and spans[last][1] - spans[following - 1][0] <= chunk_overlap:
            following -= 1
        first = following
    starts = [start for start, _ in units]
    return [_unit_of(span, units, starts) for span in spans]


def _unit_of(span: tuple[int, int], units: Sequence[tuple[int, int]], starts: Sequence[int]) -> tuple[int, int]:
    index = bisect_right(starts, span[0]) - 1
    middle = span[0] + span[1]
    around = [u for u in units[max(0, index - 1) : index + 1] if u[0] <= span[0] and span[1] <= u[1]]
    return min(around, key=lambda unit: abs(unit[0] + unit[1] - middle))


def _page(pages: Sequence[Block], starts: Sequence[int], place: int) -> int | None:
    index = bisect_left(starts, place + 1) - 1
    if index < 0:
        return None
    label = pages[index].label
    return int(label) if label.isdecimal() else None
