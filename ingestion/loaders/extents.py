"""How far the cells of a workbook reach, told before calamine makes a grid of all that lies between them."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from ingestion.documents import ExtractionFailed, Limits
from ingestion.loaders.archive import open_archive

_MOST_CELLS = 10_000_000  # of a sheet, the empty ones between those that are filled as well
_REFERENCE = re.compile(r"([A-Za-z]{0,3})([0-9]{1,7})")
_ROW_HEADER, _CELL_RECORDS = 0, range(2, 12)  # [MS-XLSB] 2.3.1; 1 is an empty cell


def check_extents(path: Path, limits: Limits) -> None:
    """Refuse a workbook with cells so far apart that a grid of all between them would be huge."""
    with open_archive(path, limits) as archive:
        binary = "xl/workbook.bin" in archive.names
        main = "xl/workbook.bin" if binary else archive.main_part("xl/workbook.xml")
        for part in archive.targets(main).values():
            data = archive.read(part) if "sheet" in part.lower() else None
            places = (_binary_places(data) if binary else _places(data)) if data else ()
            rows = columns = 0
            for row, column in places:
                rows, columns = max(rows, row), max(columns, column)
            if rows * columns > _MOST_CELLS:
                message = "The cells of a sheet lie too far apart; save them closer together and upload the file again."
                raise ExtractionFailed("too_large", message)


def _places(sheet: bytes) -> Iterator[tuple[int, int]]:
    """Yield the row and column, from 1, of each cell with a value; one that does not say it stands behind the last."""
    row = column = 0
    tags = ("{*}row", "{*}c")
    # What is damaged, calamine says in its own way.
    for event, element in etree.iterparse(
        io.BytesIO(sheet), ("start", "end"), tag=tags, resolve_entities=False, recover=True
    ):
        at = _REFERENCE.fullmatch(element.get("r") or "")
        if element.tag.endswith("}row"):
            if event == "start":
                row, column = int(at[2]) if at else row + 1, 0
            else:
                element.clear()
        elif event == "start":
            column = _column(at[1]) if at and at[1] else column + 1
            row = int(at[2]) if at and at[1] else row
        elif len(element):
            yield row, column


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - 64
    return number


def _binary_places(sheet: bytes) -> Iterator[tuple[int, int]]:
    """Yield the row and column, from 1, of each cell with a value ([MS-XLSB] 2.1.4, 2.4: BrtRowHdr, BrtCell…)."""
    place, row = 0, 0
    while place + 2 <= len(sheet):
        kind, place = _variable(sheet, place, 2)
        size, place = _variable(sheet, place, 4)
        if kind == _ROW_HEADER or kind in _CELL_RECORDS:
            number = int.from_bytes(sheet[place : place + 4], "little")
            if kind == _ROW_HEADER:
                row = number + 1
            else:
                yield row, number + 1
        place += size


def _variable(data: bytes, place: int, most: int) -> tuple[int, int]:
    """Return a number of up to `most` bytes with seven bits each, and the place behind it."""
    number = 0
    for index, byte in enumerate(data[place : place + most]):
        number |= (byte & 0x7F) << 7 * index
        place += 1
        if byte < 0x80:
            break
    return number, place
