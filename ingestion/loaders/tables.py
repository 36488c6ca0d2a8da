"""Sheets and CSV files as SQL tables, and one read-only query over them. Runs in the sandbox's child process."""

import csv
import datetime
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.detect import CSV, TSV, XLS, XLSB, XLSX
from ingestion.documents import ExtractionFailed, Limits
from ingestion.loaders.archive import open_archive
from ingestion.loaders.opendocument import TABLE, ods_values
from ingestion.loaders.sheets import OPENPYXL_ERRORS, calamine_sheets, open_xls, xls_value
from ingestion.loaders.text import delimiter_of, read_text

_ROWS = 200  # of an answer
_CELL = 300  # characters of a cell of an answer
_SAMPLE = 3  # rows of each table that a listing shows
_MOST_ROWS = 1_000_000  # of a table
_MEMORY_MB = 768
_DECIMAL_COMMA = re.compile(r"(?<![\d,.])-?\d+,\d{1,2}(?![\d,])")
_DECIMAL_POINT = re.compile(r"(?<![\d,.])-?\d+\.\d+(?![\d.])")


class QueryFailed(Exception):
    """A query that gives nothing; the words are for who wrote it."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    origin: str
    columns: list[str]
    rows: list[list[Any]]


def answer(files: Sequence[Mapping[str, str]], sql: str | None, limits: Limits) -> str:
    """Return the rows that `sql` gives over the tables of `files` (path, name, mime), or a list of the tables.

    Raises QueryFailed.
    """
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": f"{_MEMORY_MB}MB"})
    listing = _load(connection, files, limits)
    # From here on nothing but what was loaded can be reached, and nothing can be switched back on.
    for setting in ("enable_external_access = false", "max_temp_directory_size = '0KB'", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    if not listing:
        raise QueryFailed("There is no table in these files.")
    if sql is None:
        return "\n\n".join(listing)
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryFailed("Only a single SELECT is answered.")
        result = connection.execute(statements[0])
        names = [column[0] for column in result.description]
        rows = result.fetchmany(_ROWS + 1)
    except duckdb.Error as error:
        heads = "\n".join(text.split("\n", 1)[0] for text in listing)
        raise QueryFailed(f"{str(error)[:1000]}\n\nThe tables are:\n{heads}") from None
    shown = _shown(names, rows[:_ROWS])
    return f"{shown}\n\n(The first {_ROWS} rows; there are more.)" if len(rows) > _ROWS else shown


def _load(connection: Any, files: Sequence[Mapping[str, str]], limits: Limits) -> list[str]:
    """Make the tables, and return a description of each: name and columns in its first line, then some rows."""
    listing, taken = [], set[str]()
    for file in files:
        for table in _tables(Path(file["path"]), file["name"], file["mime"], limits, taken):
            schema = _create(connection, table)
            head = connection.execute(f'SELECT * FROM "{table.name}" LIMIT {_SAMPLE}').fetchall()  # noqa: S608  (a name made here)
            count = len(table.rows)
            listing.append(
                f"{table.name} ({', '.join(schema)}): {count} rows of {table.origin}\n{_shown(table.columns, head)}"
            )
    return listing


def _tables(path: Path, name: str, mime: str, limits: Limits, taken: set[str]) -> Iterator[_Table]:
    for sheet, rows in _sheets(path, mime, limits):
        columns, body = _header(rows)
        if columns:
            plain = _identifier(f"{Path(name).stem} {sheet}" if sheet else Path(name).stem, taken, "table")
            origin = f"“{name}”, sheet “{sheet}”" if sheet else f"“{name}”"
            yield _Table(plain, origin, columns, body)


def _sheets(path: Path, mime: str, limits: Limits) -> Iterator[tuple[str, list[list[Any]]]]:
    """Yield each sheet's name (empty for a CSV file) and its rows as they are stored: numbers, dates, texts."""
    if mime in (CSV, TSV):
        yield "", _csv_rows(read_text(path, limits), mime)
        return
    if mime in (XLSX, XLSB):
        # As when they are read: what openpyxl can't open, or finds nothing in, calamine may.
        found = _openpyxl_sheets(path) if mime == XLSX else []
        yield from found or _calamine_sheets(path, limits)
        return
    if mime == XLS:
        book = open_xls(path.read_bytes())
        for sheet in book.sheets():
            yield sheet.name, _bounded([xls_value(book, cell) for cell in sheet.row(row)] for row in range(sheet.nrows))
        return
    with open_archive(path, limits) as archive:
        for table in archive.required("content.xml").iter(f"{TABLE}table"):
            yield table.get(f"{TABLE}name") or "", _bounded(ods_values(table))


def _openpyxl_sheets(path: Path) -> list[tuple[str, list[list[Any]]]]:
    import openpyxl

    found = []
    with path.open("rb") as file:
        try:
            for sheet in openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False).worksheets:
                sheet.reset_dimensions()
                found.append((sheet.title, _bounded(list(row) for row in sheet.iter_rows(values_only=True))))
        except OPENPYXL_ERRORS:
            return []
    return found if any(rows for _, rows in found) else []


def _calamine_sheets(path: Path, limits: Limits) -> Iterator[tuple[str, list[list[Any]]]]:
    damaged = ExtractionFailed("corrupt", "One of these files is damaged and can't be read.")
    for title, _, rows in calamine_sheets(path, limits, damaged):
        yield title, _bounded(rows)


def _bounded(rows: Any) -> list[list[Any]]:
    kept: list[list[Any]] = []
    for row in rows:
        if len(kept) == _MOST_ROWS:
            break
        if any(cell is not None and cell != "" for cell in row):
            kept.append([_plain(cell) for cell in row])
    return kept


def _plain(cell: Any) -> Any:
    if isinstance(cell, datetime.datetime) and not (cell.hour or cell.minute or cell.second or cell.microsecond):
        return cell.date()
    if isinstance(cell, int | float | str | bool | datetime.date | datetime.time) or cell is None:
        return cell
    return str(cell)


def _csv_rows(text: str, mime: str) -> list[list[Any]]:
    delimiter = "\t" if mime == TSV else delimiter_of(text)
    comma = delimiter != "," and len(_DECIMAL_COMMA.findall(text[:65536])) > len(_DECIMAL_POINT.findall(text[:65536]))
    rows = _bounded(csv.reader(io.StringIO(text), delimiter=delimiter))
    return [[_typed(cell, comma=comma) for cell in row] for row in rows]


_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(\d{1,18}(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _typed(cell: str, *, comma: bool) -> Any:
    """Return a cell of a CSV file as number or date where it plainly is one; `007` and phone numbers stay text."""
    text = cell.strip()
    if not text:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    number = text.replace("\u00a0", "").replace(" ", "").replace(",", ".") if comma else text
    if _NUMBER.fullmatch(number) and not re.match(r"-?0\d", number):
        return float(number)
    if _DAY.fullmatch(text):
        try:
            return datetime.date.fromisoformat(text)
        except ValueError:
            return text
    return text


def _header(rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns' names and the rows below them; a title above a table is one cell, a header several."""
    width = max((_filled(row) for row in rows), default=0)
    if not width:
        return [], []
    first = next(at for at, row in enumerate(rows) if _filled(row) >= min(2, width))
    taken: set[str] = set()
    length = max(len(row) for row in rows[first:])
    head = list(rows[first]) + [None] * (length - len(rows[first]))
    used = [at for at in range(length) if any(at < len(row) and row[at] is not None for row in rows[first:])]
    columns = [_identifier(str(head[at]) if head[at] is not None else "", taken, f"column_{at + 1}") for at in used]
    return columns, [[row[at] if at < len(row) else None for at in used] for row in rows[first + 1 :]]


def _filled(row: Sequence[Any]) -> int:
    return sum(cell is not None and cell != "" for cell in row)


def _identifier(words: str, taken: set[str], otherwise: str) -> str:
    """Return a name for SQL that needs no quotes, in the words' own script, and is not taken yet."""
    plain = re.sub(r"\W+", "_", words.strip().lower()).strip("_")[:60] or otherwise
    plain = f"_{plain}" if plain[0].isdigit() else plain
    name, number = plain, 1
    while name in taken:
        number += 1
        name = f"{plain}_{number}"
    taken.add(name)
    return name


def _create(connection: Any, table: _Table) -> list[str]:
    kinds = [_kind([row[at] for row in table.rows]) for at in range(len(table.columns))]
    schema = [f'"{name}" {kind}' for name, kind in zip(table.columns, kinds, strict=True)]
    connection.execute(f'CREATE TABLE "{table.name}" ({", ".join(schema)})')
    if table.rows:
        # Through a file: a hundred times faster than row by row.
        with Path("rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for row in table.rows:
                writer.writerow([_as_text(cell) for cell in row])
        connection.execute(
            f"INSERT INTO \"{table.name}\" SELECT * FROM read_csv('rows.csv', header = false, all_varchar = true,"  # noqa: S608
            " delim = ',', quote = '\"', escape = '\"', nullstr = '\\N', null_padding = true)"
        )
    return schema


def _kind(cells: list[Any]) -> str:
    kinds = {type(cell) for cell in cells if cell is not None and cell != ""}
    if kinds and kinds <= {int}:
        return "BIGINT" if all(abs(cell) < 2**62 for cell in cells if isinstance(cell, int)) else "DOUBLE"
    if kinds and kinds <= {int, float}:
        return "DOUBLE"
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {datetime.date}:
        return "DATE"
    if kinds and kinds <= {datetime.date, datetime.datetime}:
        return "TIMESTAMP"
    return "VARCHAR"


def _as_text(cell: Any) -> str:
    if cell is None or cell == "":
        return "\\N"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return cell.isoformat() if isinstance(cell, datetime.date) else str(cell)


def _shown(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [" | ".join(names)] + [" | ".join(_cell(value) for value in row) for row in rows]
    return "\n".join(lines) if rows else f"{lines[0]}\n(no rows)"


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
    text = text.replace("\n", " ").replace("|", "\u2502")
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"
