"""Files made of binary records, which no installed library writes: PowerPoint 97 and Excel's binary workbooks."""

import struct
from collections.abc import Sequence

from tests.files.compound import compound
from tests.files.office import archive


def ppt(slides: Sequence[tuple[str, str, str]], rows: Sequence[Sequence[str]], comment: tuple[str, str]) -> bytes:
    """Return a presentation of (title, body, notes) slides, saved twice: what was there first is in the file still.

    The last slide has a table and a comment (author, text); all have a footer. [MS-PPT] 2.3, 2.4, 2.5.
    """
    earlier = _saved([("Draft", "This was deleted before it was saved again", "")], (), ("", ""), b"")
    stream = _saved(slides, rows, comment, earlier)
    user = struct.pack("<IIIHHBBH", 0x14, 0xE391C05F, _last_edit(stream), 0, 0x03F4, 3, 0, 0)
    return compound({"PowerPoint Document": stream, "Current User": _record(0x0FF6, user)})


def _last_edit(stream: bytes) -> int:
    return stream.rindex(_EDIT_HEAD)


_EDIT_HEAD = struct.pack("<HHI", 0, 0x0FF5, 28)


def _saved(
    slides: Sequence[tuple[str, str, str]], rows: Sequence[Sequence[str]], comment: tuple[str, str], before: bytes
) -> bytes:
    """Append a document, its slides and notes, and where they lie."""
    stream, places, lists = before, {}, {0: b"", 2: b""}
    for number, (title, body, notes) in enumerate(slides):
        last = number == len(slides) - 1
        slide, note, name = 10 + number, 100 + number, 256 + number
        # The title lies in the document's list, as PowerPoint keeps it; the rest in the slide's shapes.
        lists[0] += _record(0x03F3, struct.pack("<IIIII", slide, 0, 1, name, 0)) + _text(0, title)
        shapes = _shape(_record(0x0F9E, struct.pack("<I", 0))) + _shape(_text(1, body))
        extra = b""
        if last and rows:
            shapes += _table(rows)
            strings = b"".join(_record(0x0FBA, words.encode("utf-16-le"), at) for at, words in enumerate(comment))
            tag = _record(0x0FBA, "___PPT10".encode("utf-16-le")) + _record(0x138B, _container(0x2EE0, strings))
            extra = _container(0x1388, _container(0x138A, tag))
        atom = _record(0x03EF, struct.pack("<I8sIIHH", 0, bytes(8), 0, name if notes else 0, 0, 0))
        places[slide] = len(stream)
        stream += _container(0x03EE, atom + _drawing(shapes) + extra)
        if notes:
            lists[2] += _record(0x03F3, struct.pack("<IIIII", note, 0, 0, name, 0))
            places[note] = len(stream)
            stream += _container(0x03F0, _drawing(_shape(_text(2, notes))))
    places[1] = len(stream)
    footer = _container(0x0FD9, _record(0x0FBA, "Walnut Trading 2025".encode("utf-16-le"), 2), 3)
    stream += _container(0x03E8, footer + b"".join(_container(0x0FF0, each, kind) for kind, each in lists.items()))
    directory = b"".join(struct.pack("<II", 1 << 20 | identity, place) for identity, place in places.items())
    at = len(stream)
    stream += _record(0x1772, directory)
    earlier = _last_edit(before) if before else 0
    return stream + _EDIT_HEAD + struct.pack("<IHBBIIIIHH", 0, 0, 0, 3, earlier, at, 1, 200, 0, 0)


def _table(rows: Sequence[Sequence[str]]) -> bytes:
    """Return a group of shapes that says it is a table; each cell's place tells its row and column."""
    shapes = _shape(_record(0xF122, struct.pack("<HI", 0x039F, 1), 1))
    for down, row in enumerate(rows):
        for along, words in enumerate(row):
            place = struct.pack("<iiii", 100 * along, 100 * down, 100 * along + 100, 100 * down + 100)
            shapes += _shape(_text(4, words), _record(0xF00F, place))
    return _container(0xF003, shapes)


def _drawing(shapes: bytes) -> bytes:
    return _container(0x040C, _container(0xF002, _container(0xF003, shapes)))


def _shape(text: bytes, anchor: bytes = b"") -> bytes:
    return _container(0xF004, anchor + (text if text[2:4] == b"\x22\xf1" else _container(0xF00D, text)))


def _text(kind: int, words: str) -> bytes:
    data = words.replace("\n", "\r")
    if data.isascii():
        return _record(0x0F9F, struct.pack("<I", kind)) + _record(0x0FA8, data.encode())
    return _record(0x0F9F, struct.pack("<I", kind)) + _record(0x0FA0, data.encode("utf-16-le"))


def _record(kind: int, data: bytes, instance: int = 0) -> bytes:
    return struct.pack("<HHI", instance << 4, kind, len(data)) + data


def _container(kind: int, data: bytes, instance: int = 0) -> bytes:
    return struct.pack("<HHI", instance << 4 | 0xF, kind, len(data)) + data


def xlsb(sheet: str, rows: Sequence[Sequence[str | float]]) -> bytes:
    """Return a binary workbook with one sheet ([MS-XLSB] 2.1.7, 2.4)."""

    def record(kind: int, data: bytes = b"") -> bytes:
        head = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
        assert len(data) < 128
        return head + bytes([len(data)]) + data

    def words(text: str) -> bytes:
        return struct.pack("<I", len(text)) + text.encode("utf-16-le")

    book = record(131) + record(143) + record(156, struct.pack("<II", 0, 1) + words("rId1") + words(sheet))
    cells = b""
    for down, row in enumerate(rows):
        cells += record(0, struct.pack("<IIHHBI", down, 0, 300, 0, 0, 0))
        for along, value in enumerate(row):
            place = struct.pack("<II", along, 0)
            if isinstance(value, str):
                cells += record(6, place + words(value))
            else:
                cells += record(5, place + struct.pack("<d", value))
    size = struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)
    body = record(129) + record(148, size) + record(145) + cells + record(146) + record(130)
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    binary = "application/vnd.ms-excel"
    return archive(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="bin" '
            f'ContentType="{binary}.sheet.binary.macroEnabled.main"/><Override PartName="/xl/worksheets/sheet1.bin" '
            f'ContentType="{binary}.worksheet"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
            f'Type="{relations}/officeDocument" Target="xl/workbook.bin"/></Relationships>',
            "xl/workbook.bin": book + record(144) + record(132),
            "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
            f'Type="{relations}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>',
            "xl/worksheets/sheet1.bin": body,
        }
    )
