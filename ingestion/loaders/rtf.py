"""Rich Text Format: control words become text; pictures, fonts and embedded objects are left out."""

import re
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder

_PART = re.compile(
    rb"\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\(?P<sign>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\"
)
_BREAKS = {"line": "\n", "tab": "\t"}
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
_SILENT = frozenset(
    re.findall(
        r"\S+",
        """
        fonttbl colortbl stylesheet info pict object themedata datastore header footer headerl headerr footerl
        footerr listtable listoverridetable rsidtbl generator xmlnstbl latentstyles fldinst bkmkstart bkmkend
        nonshppict
        """,
    )
)
# Windows character sets by \fcharset: Western, Japanese, Korean, Chinese, Greek, Turkish, Cyrillic, Central
# European.
_CHARSETS = {0: "cp1252", 128: "cp932", 129: "cp949", 134: "gb18030", 136: "big5", 161: "cp1253"}
_CHARSETS |= {162: "cp1254", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 238: "cp1250"}
# What is heard inside a part that is left out: fonts and their character sets, and notes.
_HEARD = frozenset(("footnote", "f", "fcharset", "u", "uc"))
_DEEPEST = 2000


def load_rtf(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read an RTF file's text. Raises ExtractionFailed(corrupt) where it isn't one."""
    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):
        raise ExtractionFailed("corrupt", "This file is not Rich Text.")
    builder = Builder(limits)
    for content, level in _Reader().read(data):
        if isinstance(content, list):
            builder.table(content)
        elif level:
            builder.heading(content, level)
        else:
            builder.add(content)
    return builder.build(mime)


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
        self.silent, self.skip, self.encoding = False, 1, ""
        self.left_out = 0
        self.font = 0
        self.in_fonts = False

    def read(self, data: bytes) -> list[tuple[str | list[list[str]], int]]:
        """Return the paragraphs and the tables' rows, each paragraph with its level as a heading (0: none)."""
        for part in _PART.finditer(data):
            kind = part.lastgroup
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
        self._end("par")
        self._end_table()
        return self.paragraphs

    def _bytes(self, data: bytes) -> None:
        while self.left_out and data:
            data, self.left_out = data[1:], self.left_out - 1
        if not self.silent:
            self.pending += data

    def _flush(self) -> None:
        if self.pending:
            self.line.append(bytes(self.pending).decode(self.encoding or self.codepage, errors="replace"))
            self.pending.clear()

    def _write(self, text: str) -> None:
        self._flush()
        if not self.silent:
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
        self.left_out = 0
        if opens:
            if len(self.stack) > _DEEPEST:
                raise ExtractionFailed("corrupt", "This file is nested too deeply to be read.")
            self.stack.append((self.silent, self.skip, self.encoding))
        elif self.stack:
            self.silent, self.skip, self.encoding = self.stack.pop()

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self.silent = True
        elif sign == b"~":
            self._write("\u00a0")
        elif sign in b"\\{}":
            self._bytes(sign)
        elif sign in b"\r\n" and not self.silent:
            self._end("par")

    def _word(self, word: str, number: int | None) -> None:
        if self.silent and word not in _HEARD:
            return
        if word == "footnote":
            self.silent = self.stack[-1][0] if self.stack else False
        elif word in _SILENT:
            self._flush()
            self.silent = True
        elif word == "u" and number is not None:
            self._write(chr(number % 0x10000))
            self.left_out = self.skip
        elif word in _ENDS or word == "cell":
            self._end(word)
        elif word in ("pard", "trowd", "intbl"):
            self.level = 0
            self.in_table = word != "pard"
        elif word in _BREAKS:
            self._write(_BREAKS[word])
        elif word in _SIGNS:
            self._write(_SIGNS[word])
        elif number is not None:
            self._setting(word, number)

    def _setting(self, word: str, number: int) -> None:
        self._flush()
        if word == "ansicpg" and 0 < number < 100_000:
            self.codepage = _known(f"cp{number}")
        elif word == "uc":
            self.skip = max(0, min(number, 8))
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
