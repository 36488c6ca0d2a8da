"""Excel workbooks: each sheet under its name, each group of rows with its header."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.archive import open_archive
from ingestion.loaders.builder import Builder


def load_xlsx(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the stored values of a workbook; formulas are never computed, links never followed."""
    with open_archive(path, limits):  # only its checks: openpyxl opens the file itself
        import openpyxl

    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except (KeyError, ValueError, TypeError, SyntaxError, AttributeError):
        raise ExtractionFailed("corrupt", "This workbook is damaged and can't be opened.") from None
    builder = Builder(limits)
    for sheet in workbook.worksheets:
        sheet.reset_dimensions()
        _sheet(builder, sheet.title, ([_shown(cell) for cell in row] for row in sheet.iter_rows(values_only=True)))
    return builder.build(mime)


def load_xls(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read a workbook of Excel 97-2003 and before. Raises ExtractionFailed: encrypted or corrupt."""
    import io

    import xlrd

    try:
        workbook = xlrd.open_workbook(path, on_demand=True, logfile=io.StringIO())
    except xlrd.XLRDError as error:
        if "encrypted" in str(error).lower():
            raise ExtractionFailed("encrypted", "This workbook is protected by a password.") from None
        raise ExtractionFailed("corrupt", "This workbook is damaged and can't be opened.") from None
    builder = Builder(limits)
    for sheet in workbook.sheets():
        _sheet(builder, sheet.name, (_old_row(sheet.row(i), workbook.datemode) for i in range(sheet.nrows)))
    return builder.build(mime)


def _sheet(builder: Builder, title: str, rows: Iterator[list[str]]) -> None:
    start = builder.length
    filled = (trimmed for row in rows if (trimmed := _trimmed(row)))
    first = next(filled, None)
    if first is None:
        return
    builder.add(title)

    def everything() -> Iterator[list[str]]:
        yield first
        yield from filled

    builder.table(everything())
    builder.mark(start, "sheet", title)


def _trimmed(row: list[str]) -> list[str]:
    while row and not row[-1]:
        row.pop()
    return row


def _old_row(cells: Any, datemode: int) -> list[str]:
    import xlrd

    shown = []
    for cell in cells:
        if cell.ctype == xlrd.XL_CELL_DATE:
            try:
                shown.append(_shown(xlrd.xldate_as_datetime(cell.value, datemode)))
            except (ValueError, OverflowError):
                shown.append(_shown(cell.value))
        elif cell.ctype == xlrd.XL_CELL_BOOLEAN:
            shown.append(_shown(bool(cell.value)))
        else:
            shown.append("" if cell.ctype == xlrd.XL_CELL_ERROR else _shown(cell.value))
    return shown


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime) and not (value.hour or value.minute or value.second):
        return value.date().isoformat()
    return value.isoformat(" ") if isinstance(value, datetime.datetime) else str(value)
