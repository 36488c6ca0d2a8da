"""Markdown: verbatim, with its headings marked; only a long table is cut into groups of rows, each with the header."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestion.documents import Block, Extracted, Limits
from ingestion.loaders.builder import GROUP_CHARS, WIDE_ROW_CHARS, flat, named, unused
from ingestion.loaders.text import read_text, verbatim

_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*)$|^(\S.*)\n(=+|-{3,})[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"^[-:| \t]+$", re.MULTILINE)  # the line under a table's header, if it has a dash and a bar
_BAR = re.compile(r"(?<!\\)\|")


def load_markdown(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read Markdown with its headings and tables marked."""
    pieces: list[str] = []
    blocks: list[Block] = []
    length = 0
    for piece, is_table in _pieces(read_text(path, limits)):
        if is_table:
            blocks.append(Block(length, length + len(piece), "table", ""))
        pieces.append(piece)
        length += len(piece)
    text = "".join(pieces)
    fences = _fences(text)
    for found in _HEADING.finditer(text):
        if not _inside(found.start(), fences):
            level = len(found[1]) if found[1] else 1 if found[4].startswith("=") else 2
            label = flat((found[2] or found[3]).rstrip("# "))
            blocks.append(Block(found.start(), found.end(), "heading", label, level))
    return verbatim(text, tuple(sorted(blocks, key=lambda block: block.start)), mime, limits)


def _fences(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in _FENCE.finditer(text)] if "```" in text or "~~~" in text else []


def _inside(place: int, spans: Sequence[tuple[int, int]]) -> bool:
    before = bisect_right(spans, place, key=lambda span: span[0])
    return before > 0 and place < spans[before - 1][1]


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text into what lies between its tables, and groups of their rows, with whether it is such a group."""
    fences = _fences(text)
    at = 0
    for rule in _RULE.finditer(text):
        start = text.rfind("\n", 0, max(0, rule.start() - 1)) + 1
        head = text[start : rule.start()].rstrip("\n")
        plain = "|" not in head or "|" not in rule[0] or "-" not in rule[0]
        if plain or start < at or _inside(start, fences):
            continue
        rows = list(_rows(text, rule.end() + 1))
        if not rows:
            continue
        yield text[at:start], False
        for number, group in enumerate(_groups(head, rule[0], rows)):
            if number:
                yield "\n\n", False
            yield group, True
        at = rule.end() + sum(len(row) + 1 for row in rows)
    yield text[at:], False


def _rows(text: str, at: int) -> Iterator[str]:
    """Yield the lines from a place on, as long as they have a bar."""
    while at < len(text):
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)]
        if "|" not in line:
            return
        yield line
        at += len(line) + 1


def _groups(head: str, rule: str, rows: Sequence[str]) -> Iterator[str]:
    """Yield groups of rows under the header, each short enough for one passage; wide rows as `column: value`."""
    top = f"{head}\n{rule}"
    whole = "\n".join([top, *rows])
    if len(whole) <= GROUP_CHARS:
        yield whole
        return
    if len(top) + sum(map(len, rows)) // len(rows) > WIDE_ROW_CHARS:
        names, body = _cells(head), [_cells(row) for row in rows]
        yield from filter(None, (unused(names, body), *(named(names, cells) for cells in body)))
        return
    group, size = [top], len(top)
    for row in rows:
        if len(group) > 1 and size + len(row) > GROUP_CHARS:
            yield "\n".join(group)
            group, size = [top], len(top)
        group.append(row)
        size += len(row) + 1
    yield "\n".join(group)


def _cells(row: str) -> list[str]:
    return [flat(cell) for cell in _BAR.split(row.strip().removeprefix("|").removesuffix("|"))]
