"""OpenDocument texts, sheets and presentations, read straight from their XML."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.archive import Archive, open_archive
from ingestion.loaders.builder import HIDDEN, Builder, comment, flat

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ANNOTATION = f"{_OFFICE}annotation"
_SKIPPED = {
    f"{_TEXT}note-citation",
    f"{_TEXT}tracked-changes",
    _ANNOTATION,
    f"{_TEXT}sequence-decls",
    f"{_OFFICE}forms",
}
_MOST_REPEATS = 256
_CHART = "{urn:oasis:names:tc:opendocument:xmlns:chart:1.0}"
_ROW_GROUPS = {f"{TABLE}table-{kind}" for kind in ("header-rows", "rows", "row-group")}


def load_opendocument(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read headings, paragraphs, lists, tables, sheets and slides; charts, comments, headers and footers of pages."""
    with open_archive(path, limits) as archive:
        manifest = archive.read("META-INF/manifest.xml") or b""
        if b"encryption-data" in manifest:
            raise ExtractionFailed("encrypted", "This file is protected by a password.")
        reader = _Reader(archive, Builder(limits))
        slides = reader.read()
    return reader.builder.build(mime, slides or None)


class _Reader:
    """Reads one document; knows which sheets are hidden."""

    def __init__(self, archive: Archive, builder: Builder) -> None:
        self.archive, self.builder = archive, builder
        self.root = archive.required("content.xml")
        self.hidden = {
            style.get(f"{_STYLE}name")
            for style in self.root.iter(f"{_STYLE}style")
            if any(part.get(f"{TABLE}display") == "false" for part in style)
        }
        self.sheets = False

    def read(self) -> int:
        """Append everything; returns the number of slides."""
        body = self.root.find(f"{_OFFICE}body")
        parts = list(body) if body is not None else []
        is_text = any(part.tag == f"{_OFFICE}text" for part in parts)
        self._page_edges("header", is_text)
        slides = 0
        for part in parts:
            self.sheets = part.tag == f"{_OFFICE}spreadsheet"
            slides += self._content(part, slides)
            if not self.sheets:
                self._comments(part)
        self._page_edges("footer", is_text)
        return slides

    def _page_edges(self, kind: str, is_text: bool) -> None:
        """Add what stands on top, or at the foot, of a text's pages: each text once."""
        styles = self.archive.xml("styles.xml") if is_text else None
        edges = [
            flat("\n".join(_text(p) for p in edge.iter(f"{_TEXT}p", f"{_TEXT}h")))
            for page in (styles.iter(f"{_STYLE}master-page") if styles is not None else ())
            for edge in page.iterchildren(*(f"{_STYLE}{kind}{which}" for which in ("", "-left", "-first")))
        ]
        self.builder.page_edges(edges)

    def _comments(self, parent: Any) -> None:
        self.builder.comments([line for note in parent.iter(_ANNOTATION) if (line := _comment(note))])

    def _content(self, parent: Any, slides: int) -> int:
        """Append what stands below `parent`; returns the number of slides met."""
        met = 0
        for element in parent:
            tag = element.tag
            if tag in _SKIPPED or not isinstance(tag, str):
                continue
            if tag in (f"{_TEXT}h", f"{_TEXT}p"):
                self._paragraph(element)
            elif tag == f"{_TEXT}list":
                self._list(element)
            elif tag == f"{TABLE}table":
                self._table(element)
            elif tag == f"{_DRAW}page":
                met += 1
                start = self.builder.length
                self._content(element, 0)
                self.builder.mark(start, "slide", str(slides + met))
            elif tag == f"{_DRAW}object":
                self._chart(element)
            else:
                met += self._content(element, slides + met)
        return met

    def _paragraph(self, element: Any) -> None:
        text = _text(element).strip()
        if element.tag == f"{_TEXT}h":
            self.builder.heading(text, int(element.get(f"{_TEXT}outline-level") or 1))
        elif element.get(f"{_TEXT}style-name") == "Title":
            self.builder.heading(text, 1)
        elif text:
            self.builder.add(text)
        for chart in element.iter(f"{_DRAW}object"):
            self._chart(chart)

    def _list(self, element: Any) -> None:
        """Append the items of a list and of those in it; Word's numbered headings are lists of headings."""
        for item in element.iterchildren(f"{_TEXT}list-item", f"{_TEXT}list-header"):
            lines = [line for p in item.iterchildren(f"{_TEXT}p") if (line := _text(p).strip())]
            if lines:
                self.builder.add("- " + "\n".join(lines), "\n")
            for child in item:
                if child.tag == f"{_TEXT}list":
                    self._list(child)
                elif child.tag != f"{_TEXT}p" and child.tag not in _SKIPPED:
                    self._content([child], 0)

    def _table(self, table: Any) -> None:
        start, label = self.builder.length, table.get(f"{TABLE}name") or ""
        if self.sheets and table.get(f"{TABLE}style-name") in self.hidden:
            label += HIDDEN
        if self.sheets and label:
            self.builder.add(label)
        filled = self.builder.table(_rows(table))
        if self.sheets:
            before = self.builder.length
            for chart in table.iter(f"{_DRAW}object"):
                self._chart(chart)
            self._comments(table)
            if filled or self.builder.length > before:
                self.builder.mark(start, "sheet", label)

    def _chart(self, element: Any) -> None:
        """Append a chart as a table under its title; a sheet's charts show what stands in its cells, and are named."""
        chart = self.archive.xml(f"{(element.get(_HREF) or '').removeprefix('./').rstrip('/')}/content.xml")
        if chart is None:
            return
        for title in chart.iter(f"{_CHART}title"):
            if text := flat(" ".join(_text(p) for p in title.iter(f"{_TEXT}p"))):
                self.builder.add(text)
        for table in () if self.sheets else chart.iter(f"{TABLE}table"):
            self.builder.table(_rows(table))


def _comment(note: Any) -> str:
    author = next((flat(name.text or "") for name in note.iter("{http://purl.org/dc/elements/1.1/}creator")), "")
    text = flat(" ".join(_text(p) for p in note.iter(f"{_TEXT}p")))
    return comment(author, text)


def _row_elements(parent: Any) -> Iterator[Any]:
    """Yield the rows of a table, also those in groups; not those of tables in its cells."""
    for child in parent:
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag in _ROW_GROUPS:
            yield from _row_elements(child)


def _lines(parent: Any) -> Iterator[str]:
    """Yield the paragraphs of a cell; not those of comments on it."""
    for child in parent:
        if child.tag in (f"{_TEXT}p", f"{_TEXT}h"):
            yield _text(child)
        elif child.tag not in _SKIPPED and isinstance(child.tag, str):
            yield from _lines(child)


def _rows(table: Any) -> Iterator[list[str]]:
    for row in _row_elements(table):
        cells: list[str] = []
        for cell in row.iterchildren(f"{TABLE}table-cell", f"{TABLE}covered-table-cell"):
            text = flat(" ".join(_lines(cell)))
            repeats = int(cell.get(f"{TABLE}number-columns-repeated") or 1)
            cells += [text] * min(repeats, _MOST_REPEATS if text else 1 if repeats > _MOST_REPEATS else repeats)
        while cells and not cells[-1]:
            cells.pop()
        repeats = int(row.get(f"{TABLE}number-rows-repeated") or 1)
        for _ in range(min(repeats, _MOST_REPEATS) if cells else 1):
            yield cells


def ods_values(table: Any) -> Iterator[list[Any]]:
    """Yield the rows of a sheet as it stores them: numbers as numbers, dates as dates."""
    for row in _row_elements(table):
        cells: list[Any] = []
        for cell in row.iterchildren(f"{TABLE}table-cell", f"{TABLE}covered-table-cell"):
            value = _value(cell)
            repeats = int(cell.get(f"{TABLE}number-columns-repeated") or 1)
            cells += [value] * min(repeats, _MOST_REPEATS)
        yield from [cells] * min(int(row.get(f"{TABLE}number-rows-repeated") or 1), _MOST_REPEATS)


def _value(cell: Any) -> Any:
    kind, number = cell.get(f"{_OFFICE}value-type"), cell.get(f"{_OFFICE}value")
    if kind in ("float", "currency", "percentage") and number:
        amount = float(number)
        return int(amount) if amount.is_integer() and abs(amount) < 2**53 else amount
    if kind == "boolean":
        return cell.get(f"{_OFFICE}boolean-value") == "true"
    if kind == "date" and (day := cell.get(f"{_OFFICE}date-value")):
        return datetime.datetime.fromisoformat(day[:19])
    return flat(" ".join(_lines(cell))) or None


def _text(element: Any) -> str:
    return "".join(_pieces(element))


def _pieces(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == f"{_TEXT}s":
            yield " " * min(int(child.get(f"{_TEXT}c") or 1), 100)
        elif child.tag == f"{_TEXT}tab":
            yield "\t"
        elif child.tag == f"{_TEXT}line-break":
            yield "\n"
        elif child.tag == f"{_TEXT}note-body":
            yield " (" + " ".join(_text(p).strip() for p in child) + ")"
        elif child.tag not in _SKIPPED and isinstance(child.tag, str):
            yield from _pieces(child)
            if child.tag in (f"{_TEXT}p", f"{_TEXT}h"):  # of a text box in the line
                yield "\n"
        yield child.tail or ""
