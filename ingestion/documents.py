"""What travels through ingestion: text with marks, passages, and the reasons why a file can't be read."""

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["page", "sheet", "slide", "heading", "table", "recognised"]
FailureCode = Literal[
    "empty",
    "encrypted",
    "corrupt",
    "no_text",
    "too_large",
    "too_many_pages",
    "timeout",
    "unsupported",
    "memory",
    "query",
]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_REPLACED = {"\u2028": "\n", "\u2029": "\n\n"}


class ExtractionFailed(Exception):
    """A file that can't become text: `code` for programs, `message` a sentence for its owner."""

    def __init__(self, code: FailureCode, message: str) -> None:
        self.code: FailureCode = code
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one extraction may use: wall and CPU seconds, memory in MiB, characters, marks, pages, open files.

    `depth` is how many documents a document lies in: those that were read before it is.
    """

    seconds: float = 300
    memory_mb: int = 2048
    output_chars: int = 50_000_000
    marks: int = 200_000
    pages: int = 5000
    open_files: int = 256
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A marked range of a text, `text[start:end]`.

    `page`, `slide` and `sheet` cover their whole text (label: the number, the number, the name); a `heading`
    covers its own line (label: its words; level: 1 is the highest); a `table` covers rows that should stay
    together; `recognised` covers text that was read from a picture.
    """

    start: int
    end: int
    kind: BlockKind
    label: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Extracted:
    """A file's text (NFC, `\\n` line ends, no NUL), its marks in order of their start, and its number of pages."""

    text: str
    blocks: tuple[Block, ...]
    mime: str
    pages: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A searched piece of a text: `text[start:end]`, with the context unit around it as offsets."""

    position: int
    start: int
    end: int
    text: str
    page: int | None
    heading: str | None
    context_start: int
    context_end: int


def clean(text: str) -> str:
    """Return `text` in NFC with `\\n` line ends and without control characters or lone surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROL.search(text):
        text = _CONTROL.sub(lambda found: _REPLACED.get(found[0], ""), text)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def dump(document: Extracted) -> bytes:
    """Serialise for the pipe between sandbox and worker: one line of JSON with the marks, then the text."""
    blocks = [[b.start, b.end, b.kind, b.label, b.level] for b in document.blocks]
    head = {"mime": document.mime, "pages": document.pages, "blocks": blocks}
    return json.dumps(head).encode() + b"\n" + document.text.encode()


def load(data: bytes) -> Extracted:
    """Read what `dump` wrote. Raises ValueError where the marks don't fit the text."""
    head, _, text_bytes = data.partition(b"\n")
    text = text_bytes.decode()
    try:
        fields = json.loads(head)
        blocks = tuple(Block(*values) for values in fields["blocks"])
        mime, pages = fields["mime"], fields["pages"]
    except (KeyError, TypeError):
        raise ValueError("the head is not that of a document") from None
    if any(not 0 <= b.start <= b.end <= len(text) for b in blocks):
        raise ValueError("a mark lies outside of the text")
    return Extracted(text, blocks, mime, pages)
