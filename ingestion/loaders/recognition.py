"""Text recognition by tesseract: English comes with the packages, other languages from the system's, where they are.

The library is the wheel's own; of the system only the languages' data are used.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import ExtractionFailed, clean

_SYSTEM = (
    "/usr/share/tesseract-ocr",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
_FIRST = ("eng", "rus")
_MOST_LANGUAGES = 6  # each takes its time on each word
_SURE = 40  # of a hundred: what tesseract is less sure of is a speck or a drawing
_SHARE_OF_TIME = 0.7  # of what reading a file may take


class Recogniser:
    """Recognises text in pictures for as long as it may. Raises ExtractionFailed where there is no language to read."""

    def __init__(self, seconds: float) -> None:
        import tesserocr

        folder, self.languages = languages()
        if not self.languages:
            raise ExtractionFailed("unsupported", "Text in pictures can't be read here: no language is installed.")
        self._until = time.monotonic() + seconds * _SHARE_OF_TIME
        self._api = tesserocr.PyTessBaseAPI(path=str(folder), lang="+".join(self.languages))

    @property
    def has_time(self) -> bool:
        """Whether there is time for another page."""
        return time.monotonic() < self._until

    def read(self, picture: Any) -> str:
        """Return the text of a picture (PIL), lines and paragraphs as they stand; empty where there is none."""
        self._api.SetImage(picture)
        return _text(self._api.GetTSVText(0))


def languages() -> tuple[Path, list[str]]:
    """Return the folder of languages that knows the most, and its languages, English and Russian first."""
    found: list[tuple[Path, list[str]]] = []
    for folder in _folders():
        known = sorted(file.stem for file in folder.glob("*.traineddata") if file.stem not in ("osd", "equ", "snum"))
        known.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        found.append((folder, known[:_MOST_LANGUAGES]))
    return max(found, key=lambda each: len(each[1]), default=(Path(), []))


def _folders() -> Iterator[Path]:
    yield Path(sys.prefix, "share", "tessdata")
    for folder in map(Path, _SYSTEM):
        yield folder
        yield from sorted(folder.glob("*/tessdata"))


def _text(table: str) -> str:
    """Return the words of tesseract's table that it is sure of: level, page, block, paragraph, line, word, …, text."""
    paragraphs: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in table.splitlines():
        cells = row.split("\t")
        if len(cells) == 12 and cells[0] == "5" and cells[11].strip() and float(cells[10]) >= _SURE:
            paragraphs.setdefault((cells[2], cells[3]), {}).setdefault(cells[4], []).append(cells[11].strip())
    texts = ("\n".join(" ".join(words) for words in lines.values()) for lines in paragraphs.values())
    return clean("\n\n".join(texts))
