"""Word 97-2003: the text by the piece table of [MS-DOC] 2.4.1; nothing is converted or run."""

import re
import struct
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits, clean
from ingestion.loaders.builder import Builder

_FIB_MAGIC = 0xA5EC
_FLAGS_AT, _LENGTHS_AT, _CLX_AT = 0x0A, 0x4C, 0x01A2
# The stories of a file lie one behind the other, in this order ([MS-DOC] 2.5.4); the third is no text.
_STORIES = ("main", "footnotes", "edges", "", "comments", "endnotes", "boxes", "boxes on edges")
_ENCRYPTED, _TABLE_ONE = 0x0100, 0x0200
_FIELD = re.compile(r"\x13[^\x13\x14\x15]*(?:\x14([^\x13\x14\x15]*))?\x15")
_ROW_END = re.compile(r"\x07\x07")
_SIGNS = {"\x07": " | ", "\x0b": "\n", "\x0c": "\n\n", "\r": "\n\n", "\x1e": "-", "\x1f": "", "\xa0": " "}


def load_doc(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read text, notes, text boxes, comments, headers and footers. Raises ExtractionFailed: encrypted or corrupt."""
    import olefile

    with path.open("rb") as file, olefile.OleFileIO(file) as container:
        main = container.openstream("WordDocument").read()
        if len(main) < _CLX_AT + 8 or struct.unpack_from("<H", main)[0] != _FIB_MAGIC:
            raise ExtractionFailed("corrupt", "This Word file is damaged or older than Word 97.")
        flags = struct.unpack_from("<H", main, _FLAGS_AT)[0]
        if flags & _ENCRYPTED:
            raise ExtractionFailed("encrypted", "This Word file is protected by a password.")
        table = container.openstream("1Table" if flags & _TABLE_ONE else "0Table").read()
    stories, place = {}, 0
    text = _pieces(main, table)
    for story, length in zip(_STORIES, struct.unpack_from("<8i", main, _LENGTHS_AT), strict=True):
        stories[story] = text[place : place + max(0, length)]
        place += max(0, length)
    builder = Builder(limits)
    for story in ("main", "footnotes", "endnotes", "boxes"):
        for paragraph in _paragraphs(stories[story]):
            builder.add(paragraph)
    builder.comments(_paragraphs(stories["comments"]))
    # Headers and footers: one for each kind of page and section, mostly the same.
    edges = [*_paragraphs(stories["edges"]), *_paragraphs(stories["boxes on edges"])]
    for edge in {re.sub(r"\d+", "#", edge): edge for edge in edges if any(map(str.isalpha, edge))}.values():
        builder.add(edge)
    return builder.build(mime)


def _paragraphs(text: str) -> list[str]:
    paragraphs = (clean(paragraph).strip(" \n") for paragraph in re.split(r"\n{2,}", _readable(text)))
    return [paragraph for paragraph in paragraphs if paragraph.strip(" |\n")]


def _pieces(main: bytes, table: bytes) -> str:
    """Put the text together from the pieces that the table lists ([MS-DOC] 2.9.38 Clx, 2.8.35 PlcPcd)."""
    start, size = struct.unpack_from("<II", main, _CLX_AT)
    clx = table[start : start + size]
    place = 0
    while place < len(clx) and clx[place] == 1:
        place += 3 + struct.unpack_from("<H", clx, place + 1)[0]
    if place >= len(clx) or clx[place] != 2:
        raise ExtractionFailed("corrupt", "This Word file is damaged: its text can't be found.")
    length = struct.unpack_from("<I", clx, place + 1)[0]
    plc = clx[place + 5 : place + 5 + length]
    count = (len(plc) - 4) // 12
    edges = struct.unpack_from(f"<{count + 1}I", plc)
    parts = []
    for index in range(count):
        position = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * index + 2)[0]
        characters = edges[index + 1] - edges[index]
        if position & 0x40000000:
            first = (position & 0x3FFFFFFF) // 2
            parts.append(main[first : first + characters].decode("cp1252", errors="replace"))
        else:
            parts.append(main[position : position + 2 * characters].decode("utf-16-le", errors="replace"))
    return "".join(parts)


def _readable(text: str) -> str:
    while (shown := _FIELD.sub(lambda field: field[1] or "", text)) != text:
        text = shown
    text = _ROW_END.sub("\n", text)
    return re.sub(r"[\x07\x0b\x0c\r\x1e\x1f\xa0]", lambda sign: _SIGNS[sign[0]], text)
