"""Excel workbooks: each sheet under its name, each group of rows with its header."""

import io
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.archive import Archive, open_archive, reference
from ingestion.loaders.builder import HIDDEN, Builder, flat
from ingestion.loaders.extents import check_extents
from ingestion.loaders.number_format import shown

OPENPYXL_ERRORS = (KeyError, ValueError, TypeError, SyntaxError, AttributeError, IndexError)
"""What openpyxl raises for workbooks that it can't open; others may."""


def load_xlsx(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the stored values of a workbook as its formats show them, its comments, text boxes and charts' titles.

    Formulas are never computed, links never followed. What openpyxl can't open, or finds nothing in (the strict
    variant, damaged styles), is read by calamine, without formats.
    """
    with open_archive(path, limits) as archive:
        extras = _extras(archive)
    try:
        return _by_openpyxl(path, extras, Builder(limits)).build(mime)
    except ExtractionFailed as failed:
        if failed.code not in ("corrupt", "no_text"):
            raise
        return _by_calamine(path, extras, Builder(limits), failed).build(mime)


def load_xlsb(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the values of a binary workbook of Excel's (.xlsb). Raises ExtractionFailed: encrypted, corrupt, no_text."""
    with open_archive(path, limits):
        damaged = ExtractionFailed("corrupt", "This workbook is damaged and can't be opened.")
    return _by_calamine(path, {}, Builder(limits), damaged).build(mime)


def _by_openpyxl(path: Path, extras: "Mapping[str, _Extras]", builder: Builder) -> Builder:
    import openpyxl

    with path.open("rb") as file:  # of a path, openpyxl would look at the suffix, and a blob has none
        try:
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            for sheet in workbook.worksheets:
                sheet.reset_dimensions()
                title = sheet.title if sheet.sheet_state == "visible" else sheet.title + HIDDEN
                rows = ([shown(cell.value, _format(cell)) for cell in row] for row in sheet.iter_rows())
                _sheet(builder, title, rows, extras.get(sheet.title, _NONE))
        except OPENPYXL_ERRORS:
            raise ExtractionFailed("corrupt", "This workbook is damaged and can't be opened.") from None
        for chart in workbook.chartsheets:
            _sheet(builder, chart.title, iter(()), extras.get(chart.title, _NONE))
    return builder


def _by_calamine(path: Path, extras: "Mapping[str, _Extras]", builder: Builder, failed: ExtractionFailed) -> Builder:
    for title, visible, rows in calamine_sheets(path, builder.limits, failed):
        texts = ([shown(value, "General") for value in row] for row in rows)
        _sheet(builder, title if visible else title + HIDDEN, texts, extras.get(title, _NONE))
    return builder


def calamine_sheets(
    path: Path, limits: Limits, failed: ExtractionFailed
) -> Iterator[tuple[str, bool, Iterator[list[Any]]]]:
    """Yield each sheet of an .xlsx or .xlsb workbook: its name, whether it is visible, its rows.

    Raises what it was given, or ExtractionFailed(too_large) where calamine's grid of a sheet would fill the memory.
    """
    import python_calamine

    check_extents(path, limits)
    try:
        with path.open("rb") as file:
            book = python_calamine.CalamineWorkbook.from_filelike(file)
            for sheet in book.sheets_metadata:
                if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet:
                    visible = sheet.visible == python_calamine.SheetVisibleEnum.Visible
                    yield sheet.name, visible, iter(book.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False))
    except (python_calamine.CalamineError, ValueError, OSError):
        raise failed from None
    except BaseException as error:  # a panic of Rust's is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise failed from None


def _format(cell: Any) -> str:
    # An empty cell of a read-only sheet has no format.
    return str(getattr(cell, "number_format", "General") or "General")


class _Extras(NamedTuple):
    """What a sheet has beside its cells: comments as `cell: text`, and the texts of boxes and charts' titles."""

    comments: list[str]
    texts: list[str]


_NONE = _Extras([], [])


def _extras(archive: Archive) -> dict[str, _Extras]:
    main = archive.main_part("xl/workbook.xml")
    book, parts = archive.xml(main), archive.targets(main)
    found: dict[str, _Extras] = {}
    for sheet in book.iter("{*}sheet") if book is not None else ():
        part = parts.get(reference(sheet))
        extras = found.setdefault(sheet.get("name") or "", _Extras([], []))
        for target in archive.targets(part).values() if part else ():
            folder, file = posixpath.split(target.lower())
            if file.startswith("comment") and file.endswith(".xml"):
                extras.comments.extend(_texts(archive.xml(target)))
            elif folder.endswith("/drawings") and file.endswith(".xml"):
                extras.texts.extend(_drawn(archive, target))
    return found


def _drawn(archive: Archive, part: str) -> Iterator[str]:
    """Yield the text of each box of a drawing, and the titles of its charts: their values stand in the cells."""
    drawing, targets = archive.xml(part), archive.targets(part)
    for element in drawing.iter("{*}txBody", "{*}chart") if drawing is not None else ():
        if element.tag.endswith("}txBody"):
            yield "\n".join(filter(None, (_run(paragraph) for paragraph in element.iter("{*}p"))))
        elif (target := targets.get(reference(element))) and (chart := archive.xml(target)) is not None:
            yield "\n".join(filter(None, (_run(title) for title in chart.iter("{*}title"))))


def _run(element: Any) -> str:
    return flat("".join(piece.text or "" for piece in element.iter("{*}t")))


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
        title = sheet.name if not sheet.visibility else sheet.name + HIDDEN
        notes = getattr(sheet, "cell_note_map", {})
        comments = [f"{xlrd.cellname(*place)}: {flat(note.text)}" for place, note in sorted(notes.items()) if note.text]
        rows = (_old_row(workbook, sheet, row) for row in range(sheet.nrows))
        _sheet(builder, title, rows, _Extras(comments, []))
    return builder.build(mime)


def open_xls(content: bytes) -> Any:
    """Open a workbook of Excel 97-2003 or before. Raises XLRDError."""
    import xlrd

    def opened(*, formats: bool) -> Any:
        # Ragged: a sheet with cells in two far corners is not filled up between them.
        options = {"formatting_info": formats, "ragged_rows": True, "logfile": io.StringIO()}
        return xlrd.open_workbook(file_contents=content, **options)

    try:
        return opened(formats=True)
    except (NotImplementedError, IndexError, AssertionError, KeyError):
        # Before Excel 97, or with formats that xlrd can't read: the plain values.
        return opened(formats=False)


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


def _sheet(builder: Builder, title: str, rows: Iterator[list[str]], extras: _Extras) -> None:
    start = builder.length
    filled = (trimmed for row in rows if (trimmed := _trimmed(row)))
    first = next(filled, None)
    texts = [text for text in extras.texts if text]
    if first is None and not extras.comments and not texts:
        return
    builder.add(title)

    def everything() -> Iterator[list[str]]:
        if first is not None:
            yield first
            yield from filled

    builder.table(everything())
    for text in texts:
        builder.add(text)
    builder.comments(extras.comments)
    builder.mark(start, "sheet", title)


def _trimmed(row: list[str]) -> list[str]:
    while row and not row[-1]:
        row.pop()
    return row
