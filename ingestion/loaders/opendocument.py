"""OpenDocument texts, sheets and presentations, read straight from their XML."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.archive import open_archive
from ingestion.loaders.builder import Builder, flat

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_SKIPPED = {
    f"{_TEXT}note-citation",
    f"{_TEXT}tracked-changes",
    f"{_OFFICE}annotation",
    f"{_TEXT}sequence-decls",
    f"{_OFFICE}forms",
}
_MOST_REPEATS = 256


def load_opendocument(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read headings, paragraphs, lists, tables, sheets and slides."""
    with open_archive(path, limits) as archive:
        manifest = archive.read("META-INF/manifest.xml") or b""
        if b"encryption-data" in manifest:
            raise ExtractionFailed("encrypted", "This file is protected by a password.")
        root = archive.required("content.xml")
    builder = Builder(limits)
    body = root.find(f"{_OFFICE}body")
    slides = 0
    for part in body if body is not None else ():
        slides += _content(builder, part, part.tag == f"{_OFFICE}spreadsheet", slides)
    return builder.build(mime, slides or None)


def _content(builder: Builder, parent: Any, sheets: bool, slides: int) -> int:
    """Append what stands below `parent`; returns the number of slides met."""
    met = 0
    for element in parent:
        tag = element.tag
        if tag in _SKIPPED or not isinstance(tag, str):
            continue
        if tag == f"{_TEXT}h":
            builder.heading(_text(element), int(element.get(f"{_TEXT}outline-level") or 1))
        elif tag == f"{_TEXT}p":
            text = _text(element).strip()
            if element.get(f"{_TEXT}style-name") == "Title":
                builder.heading(text, 1)
            elif text:
                builder.add(text)
        elif tag == f"{_TEXT}list":
            _list(builder, element)
        elif tag == f"{TABLE}table":
            _table(builder, element, sheets)
        elif tag == f"{_DRAW}page":
            met += 1
            start = builder.length
            _content(builder, element, False, 0)
            builder.mark(start, "slide", str(slides + met))
        else:
            met += _content(builder, element, sheets, slides + met)
    return met


def _list(builder: Builder, element: Any) -> None:
    for item in element.iter(f"{_TEXT}list-item"):
        lines = [line for p in item.iterchildren(f"{_TEXT}p") if (line := _text(p).strip())]
        if lines:
            builder.add("- " + "\n".join(lines), "\n")


def _table(builder: Builder, table: Any, sheet: bool) -> None:
    start, label = builder.length, table.get(f"{TABLE}name") or ""
    if sheet and label:
        builder.add(label)
    if builder.table(_rows(table)) and sheet:
        builder.mark(start, "sheet", label)


def _rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter(f"{TABLE}table-row"):
        cells: list[str] = []
        for cell in row.iterchildren(f"{TABLE}table-cell", f"{TABLE}covered-table-cell"):
            text = flat(" ".join(_text(p) for p in cell.iter(f"{_TEXT}p")))
            repeats = int(cell.get(f"{TABLE}number-columns-repeated") or 1)
            cells += [text] * min(repeats, _MOST_REPEATS if text else 1 if repeats > _MOST_REPEATS else repeats)
        while cells and not cells[-1]:
            cells.pop()
        repeats = int(row.get(f"{TABLE}number-rows-repeated") or 1)
        for _ in range(min(repeats, _MOST_REPEATS) if cells else 1):
            yield cells


def ods_values(table: Any) -> Iterator[list[Any]]:
    """Yield the rows of a sheet as it stores them: numbers as numbers, dates as dates."""
    for row in table.iter(f"{TABLE}table-row"):
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
    return flat(" ".join(_text(p) for p in cell.iter(f"{_TEXT}p"))) or None


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
        yield child.tail or ""
