"""Files of every format that is read, made from a seed: the same text whenever they are asked for."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.words import paragraphs
from tests.files import office
from tests.files.broken import flipped
from tests.files.pdf import pdf

_PAGE_LINES, _LINE_CHARS = 45, 90


@dataclass(frozen=True, slots=True)
class Paper:
    """A file to upload."""

    name: str
    content: bytes


def _rows(texts: Sequence[str]) -> list[list[str]]:
    words = " ".join(texts).replace(".", "").split()
    return [
        ["name", "place", "number"],
        *([a, b, str(len(a) * 7)] for a, b in zip(words[::2], words[1::2], strict=False)),
    ]


def _markdown(texts: Sequence[str]) -> str:
    head = "| name | place | number |\n|---|---|---|\n"
    table = head + "\n".join(f"| {' | '.join(row)} |" for row in _rows(texts[:1])[1:])
    return "\n\n".join(f"## {text.split()[0]}\n\n{text}" for text in texts) + f"\n\n{table}\n"


def _html(texts: Sequence[str]) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in _rows(texts[:1]))
    return (
        "<html><body>"
        + "".join(f"<h2>{t.split()[0]}</h2><p>{t}</p>" for t in texts)
        + f"<table>{rows}</table></body></html>"
    )


def _xml(texts: Sequence[str]) -> str:
    items = "".join(f"<item id='{n}'><text>{escape(text)}</text></item>" for n, text in enumerate(texts))
    return f"<?xml version='1.0'?><items>{items}</items>"


def _rtf(texts: Sequence[str]) -> bytes:
    return b"{\\rtf1\\ansi " + b"\\par ".join(text.encode("ascii") for text in texts) + b"}"


def _source(texts: Sequence[str]) -> str:
    return "\n\n".join(f"def f{n}():\n    '''{text}'''\n    return {n}" for n, text in enumerate(texts))


def pages(texts: Sequence[str]) -> list[str]:
    """Return the texts as pages of short lines."""
    lines = [text[at : at + _LINE_CHARS] for text in texts for at in range(0, len(text), _LINE_CHARS)]
    return ["\n".join(lines[at : at + _PAGE_LINES]) for at in range(0, len(lines), _PAGE_LINES)]


def _odt(texts: Sequence[str]) -> bytes:
    return office.opendocument("text", "".join(f"<text:p>{text}</text:p>" for text in texts))


def _delimited(texts: Sequence[str], sign: str) -> bytes:
    return "\n".join(sign.join(row) for row in _rows(texts)).encode()


def _office_cells(texts: Sequence[str]) -> list[list[str | float]]:
    return [list(row) for row in _rows(texts)]


_MAKERS: dict[str, Callable[[Sequence[str]], bytes]] = {
    "txt": lambda texts: "\n\n".join(texts).encode(),
    "md": lambda texts: _markdown(texts).encode(),
    "csv": lambda texts: _delimited(texts, ";"),
    "tsv": lambda texts: _delimited(texts, "\t"),
    "json": lambda texts: json.dumps([{"text": text} for text in texts]).encode(),
    "jsonl": lambda texts: "\n".join(json.dumps({"text": text}) for text in texts).encode(),
    "xml": lambda texts: _xml(texts).encode(),
    "html": lambda texts: _html(texts).encode(),
    "py": lambda texts: _source(texts).encode(),
    "rtf": _rtf,
    "pdf": lambda texts: pdf(pages(texts)),
    "docx": lambda texts: office.docx([("Normal", text) for text in texts], _rows(texts[:1])),
    "doc": lambda texts: office.doc("\n".join(texts)),
    "pptx": lambda texts: office.pptx([(text.split()[0], text, "") for text in texts[:6]]),
    "xlsx": lambda texts: office.xlsx({"Sheet": _rows(texts)}),
    "xls": lambda texts: office.xls("Sheet", _office_cells(texts)),
    "odt": _odt,
    "epub": lambda texts: office.epub([(text.split()[0], text) for text in texts]),
    "eml": lambda texts: office.eml(texts[0].split()[0], "\n\n".join(texts)),
    "msg": lambda texts: office.msg(texts[0].split()[0], "\n".join(texts)),
}
KINDS = tuple(_MAKERS)


def paper(kind: str, seed: int, characters: int) -> Paper:
    """Return a file of a kind with so much text."""
    return Paper(f"{kind}-{seed}.{kind}", _MAKERS[kind](paragraphs(seed, characters)))


def damaged(kind: str, seed: int, characters: int) -> Paper:
    """Return a file of a kind with some of its bytes lost or changed; it may still be readable."""
    whole = paper(kind, seed, characters)
    return Paper(f"damaged-{whole.name}", flipped(whole.content, seed))


def any_paper(seed: int, share_damaged: float = 0.1) -> Paper:
    """Return a file by chance: every format, small and middling, some of them damaged."""
    dice = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    characters = int(10 ** dice.uniform(2.5, 4.7))
    return (damaged if dice.random() < share_damaged else paper)(kind, seed, characters)
