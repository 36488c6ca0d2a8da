"""Rich Text Format: control words become text; pictures, fonts and embedded objects are left out."""

import re
from pathlib import Path
from typing import NamedTuple

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder, comment, flat

_PART = re.compile(
    rb"\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\(?P<sign>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\"
)
_BREAKS = {"line": "\n", "tab": "\t", "nestcell": " ", "nestrow": "\n"}
_ENDS = frozenset(("par", "sect", "page", "row"))
_SIGNS = {
    "emdash": "\u2014",
    "endash": "\u2013",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "ldblquote": "\u201c",
    "rdblquote": "\u201d",
    "bullet": "\u2022",
    "emspace": " ",
    "enspace": " ",
}
_SKIPPED = frozenset(
    re.findall(
        r"\S+",
        """
        fonttbl colortbl stylesheet info pict object themedata datastore listtable listoverridetable rsidtbl
        generator xmlnstbl latentstyles fldinst bkmkstart bkmkend nonshppict nonesttables xe tc atnid
        """,
    )
)
# Windows character sets by \fcharset: Western, Japanese, Korean, Chinese, Greek, Turkish, Cyrillic, Central
# European.
_CHARSETS = {0: "cp1252", 128: "cp932", 129: "cp949", 134: "gb18030", 136: "big5", 161: "cp1253"}
_CHARSETS |= {162: "cp1254", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 238: "cp1250"}
# Destinations with a text of their own beside the running text; each such text is read once, before it or after it.
_DESTINATIONS = {
    **dict.fromkeys(("header", "headerl", "headerr", "headerf"), "header"),
    **dict.fromkeys(("footer", "footerl", "footerr", "footerf"), "footer"),
    "annotation": "comment",
    "atnauthor": "author",
    "shptxt": "box",
}
# Control words that are followed inside of a skipped destination: fonts and their character sets, notes, comments,
# boxes, what an object shows, and how long raw bytes are.
_READ_WHERE_SKIPPED = frozenset(
    ("footnote", "f", "fcharset", "u", "uc", "annotation", "atnauthor", "shptxt", "result", "bin")
)
_DEEPEST = 2000


def load_rtf(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read an RTF file's text. Raises ExtractionFailed(corrupt) where it isn't one."""
    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):
        raise ExtractionFailed("corrupt", "This file is not Rich Text.")
    builder = Builder(limits)
    reader = _Reader()
    paragraphs = reader.read(data)
    builder.page_edges(reader.destinations["header"])
    for content, level in paragraphs:
        if isinstance(content, list):
            builder.table(content)
        elif level:
            builder.heading(content, level)
        else:
            builder.add(content)
    builder.comments(reader.destinations["comment"])
    builder.page_edges(reader.destinations["footer"])
    return builder.build(mime)


class _Interrupted(NamedTuple):
    """The state of the text that a destination interrupts, and the depth of the destination's group."""

    depth: int
    kind: str
    paragraphs: list[tuple[str | list[list[str]], int]]
    line: list[str]
    row: list[str]
    rows: list[list[str]]
    in_table: bool
    level: int


class _Reader:
    """Follows groups, character sets and destinations."""

    def __init__(self) -> None:
        self.paragraphs: list[tuple[str | list[list[str]], int]] = []
        self.line: list[str] = []
        self.row: list[str] = []
        self.rows: list[list[str]] = []
        self.level = 0
        self.in_table = False
        self.pending = bytearray()
        self.codepage = "cp1252"
        self.fonts: dict[int, str] = {}
        self.stack: list[tuple[bool, int, str]] = []
        self.skipping, self.fallback_size, self.encoding = False, 1, ""
        self.fallback = 0
        self.font = 0
        self.destinations: dict[str, list[str]] = {"header": [], "footer": [], "comment": []}
        self.interrupted: list[_Interrupted] = []
        self.author = ""

    def read(self, data: bytes) -> list[tuple[str | list[list[str]], int]]:
        """Return the paragraphs and the tables' rows, each paragraph with its level as a heading (0: none)."""
        place = 0
        while part := _PART.match(data, place):
            place, kind = part.end(), part.lastgroup
            if kind == "hex":
                self._bytes(bytes.fromhex(part["hex"].decode()))
            elif kind == "text":
                self._bytes(part["text"])
            elif kind == "brace":
                self._brace(part["brace"] == b"{")
            elif kind == "sign":
                self._sign(part["sign"])
            elif kind in ("word", "number"):
                number = int(part["number"]) if part["number"] else None
                self._word(part["word"].decode(), number)
                if part["word"] == b"bin" and number:
                    place += max(0, number)
        while self.interrupted:
            self._close_destination()
        self._end("par")
        self._end_table()
        return self.paragraphs

    def _bytes(self, data: bytes) -> None:
        while self.fallback and data:
            data, self.fallback = data[1:], self.fallback - 1
        if not self.skipping:
            self.pending += data

    def _flush(self) -> None:
        if self.pending:
            self.line.append(bytes(self.pending).decode(self.encoding or self.codepage, errors="replace"))
            self.pending.clear()

    def _write(self, text: str) -> None:
        self._flush()
        if not self.skipping:
            self.line.append(text)

    def _end(self, word: str) -> None:
        """End a paragraph, a cell or a row."""
        self._flush()
        # \\u writes characters beyond the first plane as two surrogates.
        text = "".join(self.line).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip(" \n")
        if word == "row":
            self.rows.append(self.row + [text] * bool(text))
            self.row, self.line = [], []
        elif word == "cell":
            self.row.append(text)
            self.line = []
        elif self.in_table:
            self.line = [text, " "]
        else:
            self._end_table()
            if text:
                self.paragraphs.append((text, self.level))
            self.line = []

    def _end_table(self) -> None:
        if self.rows:
            self.paragraphs.append((self.rows, 0))
            self.rows = []

    def _brace(self, opens: bool) -> None:
        self._flush()
        self.fallback = 0
        if opens:
            if len(self.stack) > _DEEPEST:
                raise ExtractionFailed("corrupt", "This file is nested too deeply to be read.")
            self.stack.append((self.skipping, self.fallback_size, self.encoding))
        elif self.stack:
            while self.interrupted and self.interrupted[-1].depth == len(self.stack):
                self._close_destination()
            self.skipping, self.fallback_size, self.encoding = self.stack.pop()

    def _open_destination(self, kind: str) -> None:
        self._flush()
        here = (self.paragraphs, self.line, self.row, self.rows, self.in_table, self.level)
        self.interrupted.append(_Interrupted(len(self.stack), kind, *here))
        self.paragraphs, self.line, self.row, self.rows, self.in_table, self.level = [], [], [], [], False, 0
        self.skipping = False

    def _close_destination(self) -> None:
        """Keep a destination's text, and go on with the text that it interrupted."""
        self._end("par")
        self._end_table()
        found = self.paragraphs
        _, kind, self.paragraphs, self.line, self.row, self.rows, self.in_table, self.level = self.interrupted.pop()
        if kind == "box":
            self.paragraphs += found
            return
        texts = [c if isinstance(c, str) else "\n".join(" ".join(row) for row in c) for c, _ in found]
        text = flat("\n".join(texts))
        if kind == "author":
            self.author = text
        elif kind == "comment":
            if text:
                self.destinations[kind].append(comment(self.author, text))
        else:
            self.destinations[kind].append(text)

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self.skipping = True
        elif sign == b"~":
            self._write("\u00a0")
        elif sign == b"_":
            self._write("-")
        elif sign in b"\\{}":
            self._bytes(sign)
        elif sign in b"\r\n" and not self.skipping:
            self._end("par")

    def _word(self, word: str, number: int | None) -> None:
        if self.skipping and word not in _READ_WHERE_SKIPPED:
            return
        if word in _ENDS or word == "cell":
            self._end(word)
        elif word in _SIGNS or word in _BREAKS:
            self._write(_SIGNS.get(word) or _BREAKS[word])
        elif word == "u" and number is not None:
            self._write(chr(number % 0x10000))
            self.fallback = self.fallback_size
        elif word in ("pard", "trowd", "intbl"):
            self.level = 0
            self.in_table = word != "pard"
        elif number is not None:
            self._setting(word, number)
        else:
            self._destination(word)

    def _destination(self, word: str) -> None:
        """Enter a destination that is read beside the running text, or skipped."""
        if word in _DESTINATIONS:
            self._open_destination(_DESTINATIONS[word])
        elif word == "footnote":
            self.skipping = self.stack[-1][0] if self.stack else False
        elif word == "result":  # what an object shows is read where the object itself would be
            self.skipping = self.stack[-2][0] if len(self.stack) > 1 else False
        elif word in _SKIPPED:
            self._flush()
            self.skipping = True

    def _setting(self, word: str, number: int) -> None:
        self._flush()
        if word == "ansicpg" and 0 < number < 100_000:
            self.codepage = _known(f"cp{number}")
        elif word == "uc":
            self.fallback_size = max(0, min(number, 8))
        elif word == "outlinelevel" and 0 <= number < 9:
            self.level = number + 1
        elif word == "f":
            self.font = number
            self.encoding = self.fonts.get(number, "")
        elif word == "fcharset" and number in _CHARSETS and number != 0:
            self.fonts[self.font] = _CHARSETS[number]


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except LookupError:
        return "cp1252"
    return encoding
