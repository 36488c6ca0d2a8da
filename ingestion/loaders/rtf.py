"""Rich Text Format: control words become text; pictures, fonts and embedded objects are left out."""

import re
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder

_PART = re.compile(
    rb"\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\(?P<sign>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\"
)
_BREAKS = {"par": "\n\n", "sect": "\n\n", "page": "\n\n", "line": "\n", "row": "\n", "cell": " | ", "tab": "\t"}
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
_DEEPEST = 2000


def load_rtf(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read an RTF file's text. Raises ExtractionFailed(corrupt) where it isn't one."""
    data = path.read_bytes()
    if not data.lstrip().startswith(b"{\\rtf"):
        raise ExtractionFailed("corrupt", "This file is not Rich Text.")
    text = _Reader().read(data)
    builder = Builder(limits)
    for paragraph in re.split(r"\n{2,}", text):
        if paragraph.strip(" |\n\t"):
            builder.add("\n".join(line.rstrip(" |\t") for line in paragraph.strip("\n").split("\n")))
    return builder.build(mime)


class _Reader:
    """Follows groups, character sets and destinations."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.pending = bytearray()
        self.codepage = "cp1252"
        self.fonts: dict[int, str] = {}
        self.stack: list[tuple[bool, int, str]] = []
        self.silent, self.skip, self.encoding = False, 1, ""
        self.left_out = 0
        self.font = 0
        self.in_fonts = False

    def read(self, data: bytes) -> str:
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
        self._flush()
        # \\u writes characters beyond the first plane as two surrogates.
        return "".join(self.out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _bytes(self, data: bytes) -> None:
        while self.left_out and data:
            data, self.left_out = data[1:], self.left_out - 1
        if not self.silent:
            self.pending += data

    def _flush(self) -> None:
        if self.pending:
            self.out.append(bytes(self.pending).decode(self.encoding or self.codepage, errors="replace"))
            self.pending.clear()

    def _write(self, text: str) -> None:
        self._flush()
        if not self.silent:
            self.out.append(text)

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
        elif sign in b"\r\n":
            self._write("\n\n")

    def _word(self, word: str, number: int | None) -> None:
        if word in _SILENT:
            self._flush()
            self.silent = True
        elif word == "u" and number is not None:
            self._write(chr(number % 0x10000))
            self.left_out = self.skip
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
