"""Excel workbooks: each sheet under its name, each group of rows with its header."""

import io
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.archive import Archive, open_archive
from ingestion.loaders.builder import Builder, flat
from ingestion.loaders.number_format import shown

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_HIDDEN = " (hidden sheet)"


def load_xlsx(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the stored values of a workbook as its formats show them, and the comments.

    Formulas are never computed, links never followed.
    """
    import openpyxl

    with open_archive(path, limits) as archive:
        comments = _comments(archive)
    with path.open("rb") as file:  # of a path, openpyxl would look at the suffix, and a blob has none
        try:
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except (KeyError, ValueError, TypeError, SyntaxError, AttributeError):
            raise ExtractionFailed("corrupt", "This workbook is damaged and can't be opened.") from None
        builder = Builder(limits)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()
            title = sheet.title if sheet.sheet_state == "visible" else sheet.title + _HIDDEN
            rows = ([shown(cell.value, _format(cell)) for cell in row] for row in sheet.iter_rows())
            _sheet(builder, title, rows, comments.get(sheet.title, []))
        return builder.build(mime)


def _format(cell: Any) -> str:
    # An empty cell of a read-only sheet has no format.
    return str(getattr(cell, "number_format", "General") or "General")


def _comments(archive: Archive) -> dict[str, list[str]]:
    """Return the comments of each sheet, as `cell: text`."""
    book = archive.xml("xl/workbook.xml")
    parts = archive.targets("xl/workbook.xml")
    found: dict[str, list[str]] = {}
    for sheet in book.iter("{*}sheet") if book is not None else ():
        part = parts.get(sheet.get(f"{_R}id") or "")
        for target in archive.targets(part).values() if part else ():
            if posixpath.basename(target).lower().startswith("comment") and target.endswith(".xml"):
                found.setdefault(sheet.get("name") or "", []).extend(_texts(archive.xml(target)))
    return found


def _texts(comments: Any) -> Iterator[str]:
    for comment in comments.iter("{*}comment") if comments is not None else ():
        text = flat("".join(piece.text or "" for piece in comment.iter("{*}t")))
        if text:
            yield f"{comment.get('ref')}: {text}"


def load_xls(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read a workbook of Excel 97-2003 and before. Raises ExtractionFailed: encrypted or corrupt."""
    import xlrd

    try:
        workbook = open_xls(path.read_bytes())
    except xlrd.XLRDError as error:
        if "encrypted" in str(error).lower():
            raise ExtractionFailed("encrypted", "This workbook is protected by a password.") from None
        raise ExtractionFailed("corrupt", "This workbook is damaged and can't be opened.") from None
    builder = Builder(limits)
    for sheet in workbook.sheets():
        title = sheet.name if not sheet.visibility else sheet.name + _HIDDEN
        notes = getattr(sheet, "cell_note_map", {})
        comments = [f"{xlrd.cellname(*place)}: {flat(note.text)}" for place, note in sorted(notes.items()) if note.text]
        _sheet(builder, title, (_old_row(workbook, sheet, row) for row in range(sheet.nrows)), comments)
    return builder.build(mime)


def open_xls(content: bytes) -> Any:
    """Open a workbook of Excel 97-2003 or before. Raises XLRDError."""
    import xlrd

    try:
        return xlrd.open_workbook(file_contents=content, formatting_info=True, logfile=io.StringIO())
    except (NotImplementedError, IndexError, AssertionError, KeyError):
        # Before Excel 97, or with formats that xlrd can't read: the plain values.
        return xlrd.open_workbook(file_contents=content, logfile=io.StringIO())


def _old_row(workbook: Any, sheet: Any, number: int) -> list[str]:
    return [
        shown(xls_value(workbook, cell), _old_format(workbook, sheet, number, column))
        for column, cell in enumerate(sheet.row(number))
    ]


def xls_value(workbook: Any, cell: Any) -> object:
    """Return the value of a cell: a number, a text, a date, a truth, or None for an error or nothing."""
    import xlrd

    if cell.ctype in (xlrd.XL_CELL_ERROR, xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK):
        return None
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            date: object = xlrd.xldate_as_datetime(cell.value, workbook.datemode)
        except (ValueError, OverflowError):
            date = cell.value
        return date
    value: object = cell.value
    return value


def _old_format(workbook: Any, sheet: Any, row: int, column: int) -> str:
    place = sheet.cell_xf_index(row, column) if workbook.formatting_info else None
    if place is None or place >= len(workbook.xf_list):
        return "General"
    style = workbook.xf_list[place]
    found = workbook.format_map.get(style.format_key)
    return found.format_str if found else "General"


def _sheet(builder: Builder, title: str, rows: Iterator[list[str]], comments: list[str]) -> None:
    start = builder.length
    filled = (trimmed for row in rows if (trimmed := _trimmed(row)))
    first = next(filled, None)
    if first is None and not comments:
        return
    builder.add(title)

    def everything() -> Iterator[list[str]]:
        if first is not None:
            yield first
            yield from filled

    builder.table(everything())
    if comments:
        builder.add("Comments:\n" + "\n".join(comments))
    builder.mark(start, "sheet", title)


def _trimmed(row: list[str]) -> list[str]:
    while row and not row[-1]:
        row.pop()
    return row
