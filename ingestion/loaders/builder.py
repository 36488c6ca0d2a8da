"""Puts a text together piece by piece and remembers the marks; every loader writes through it."""

import re
from collections.abc import Iterable, Sequence

from ingestion.documents import Block, BlockKind, Extracted, ExtractionFailed, Limits, clean

# A group of rows with its header should be one passage; wider rows are written as `column: value` instead.
GROUP_CHARS = 420
WIDE_ROW_CHARS = 330
HIDDEN = " (hidden sheet)"
"""What stands behind the name of a sheet that its reader does not see."""
_SPACES = re.compile(r"[ \t\n\f\v]+")


class Builder:
    """Collects text. Raises ExtractionFailed as soon as a limit is passed."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.length = 0
        self._pieces: list[str] = []
        self._blocks: list[Block] = []

    def add(self, text: str, after: str = "\n\n") -> tuple[int, int]:
        """Append a cleaned text and what separates it from the next; returns its range."""
        text = clean(text)
        if self._pieces and not self._pieces[-1].endswith("\n\n") and not text.startswith("- "):
            self._append("\n")  # the end of a list
        start = self.length
        self._append(text + after)
        return start, start + len(text)

    def heading(self, text: str, level: int) -> None:
        """Append a heading in a paragraph of its own."""
        label = flat(clean(text))
        if label:
            start, end = self.add(label)
            self._blocks.append(Block(start, end, "heading", label, max(1, min(level, 9))))

    def include(self, document: Extracted, label: str, level: int) -> None:
        """Append another document under a heading; its own headings stand below that one."""
        self.heading(label, level)
        text = document.text.rstrip()
        start, _ = self.add(text)
        for block in document.blocks:
            if block.start < len(text):
                deeper = min(9, block.level + level) if block.kind == "heading" else block.level
                end = start + min(block.end, len(text))
                self._blocks.append(Block(start + block.start, end, block.kind, block.label, deeper))

    def comments(self, comments: Sequence[str]) -> None:
        """Append what readers have written beside the text, if anything, as one paragraph; see `comment`."""
        if comments:
            self.add(comment_list(comments))

    def page_edges(self, texts: Iterable[str]) -> None:
        """Append headers or footers: what stands on many pages once, bare page numbers not at all."""
        for text in dict.fromkeys(text for text in texts if text and not text.isdecimal()):
            self.add(text)

    def mark(self, start: int, kind: BlockKind, label: str, level: int = 0, end: int | None = None) -> None:
        """Mark what was appended since `start` (or up to `end`)."""
        self._blocks.append(Block(start, self.length if end is None else end, kind, clean(label), level))

    def table(self, rows: Iterable[Sequence[str]], *, header: bool = True) -> int:
        """Append rows in groups that each repeat the header; returns the number of rows with content."""
        lines = [cells for row in rows if any(cells := [flat(clean(cell)) for cell in row])]
        if not lines:
            return 0
        if not header or len(lines) == 1:
            self._group([_joined(cells) for cells in lines])
            return len(lines)
        head, body = lines[0], lines[1:]
        widest = len(_joined(head)) + sum(len(_joined(cells)) for cells in body[:50]) // len(body[:50])
        if widest > WIDE_ROW_CHARS:
            if names := unused(head, body):
                self._group([names])
            for cells in body:
                self._group([named(head, cells)])
            return len(lines)
        group: list[str] = [_joined(head)]
        size = len(group[0])
        for cells in body:
            line = _joined(cells)
            if len(group) > 1 and size + len(line) > GROUP_CHARS:
                self._group(group)
                group, size = group[:1], len(group[0])
            group.append(line)
            size += len(line) + 1
        self._group(group)
        return len(lines)

    def build(self, mime: str, pages: int | None = None) -> Extracted:
        """Return what was collected. Raises ExtractionFailed(no_text) where nothing can be read in it."""
        text = "".join(self._pieces)
        if not text.strip():
            raise ExtractionFailed("no_text", "There is no text in this file.")
        blocks = sorted(self._blocks, key=lambda b: (b.start, -b.end, b.level))
        return Extracted(text, tuple(blocks), mime, pages)

    def _group(self, lines: Sequence[str]) -> None:
        start, end = self.add("\n".join(lines))
        self.mark(start, "table", "", end=end)

    def _append(self, text: str) -> None:
        if self.length + len(text) > self.limits.output_chars:
            limit = f"{self.limits.output_chars:,}"
            raise ExtractionFailed("too_large", f"The text of this file is longer than {limit} characters.")
        self.length += len(text)
        self._pieces.append(text)


def flat(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return _SPACES.sub(" ", text).strip()


def _joined(cells: Sequence[str]) -> str:
    return " | ".join(cells).rstrip(" |")


def comment(author: str | None, text: str) -> str:
    """Return a comment with its author, where one is named; nothing where it says nothing."""
    return f"{author}: {text}" if author and text else text


def comment_list(comments: Sequence[str]) -> str:
    """Return comments under their title."""
    return "Comments:\n" + "\n".join(comments)


def unused(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return the names of columns that no row fills, which rows as `column: value` would lose."""
    empty = {at for at, name in enumerate(head) if name}
    for cells in body:
        empty.difference_update(at for at, cell in enumerate(cells) if cell)
    return _joined([head[at] for at in sorted(empty)])


def named(head: Sequence[str], cells: Sequence[str]) -> str:
    """Return a row as `column: value; …`, without its empty cells."""
    names = head if len(cells) <= len(head) else [*head, *([""] * (len(cells) - len(head)))]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell)
