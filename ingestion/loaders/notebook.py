"""Jupyter notebooks: Markdown and code cells in their order, with what the code has printed; no pictures."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder
from ingestion.loaders.text import read_text

_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colours of tracebacks


def load_notebook(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read a notebook of format 3 or 4. Raises ExtractionFailed(corrupt) for JSON that is none."""
    try:
        book = json.loads(read_text(path, limits))
        cells = book["cells"] if "cells" in book else [cell for sheet in book["worksheets"] for cell in sheet["cells"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ExtractionFailed("corrupt", "This notebook is damaged and can't be read.") from None
    builder = Builder(limits)
    for cell in cells:
        source = _text(cell.get("source", cell.get("input")))
        if cell.get("cell_type") == "markdown":
            _markdown(builder, source)
        elif source.strip():
            builder.add(source.strip())
        for output in cell.get("outputs") or ():
            printed = "\n".join(_printed(output)).strip()
            if printed:
                builder.add(printed)
    return builder.build(mime)


def _markdown(builder: Builder, source: str) -> None:
    paragraph: list[str] = []
    for line in [*source.splitlines(), "# "]:  # the last one only ends the paragraph
        heading = _HEADING.match(line)
        if heading or line == "# ":
            if text := "\n".join(paragraph).strip():
                builder.add(text)
            paragraph = []
            if heading:
                builder.heading(heading[2].rstrip("# "), len(heading[1]))
        else:
            paragraph.append(line)


def _printed(output: Any) -> Iterator[str]:
    """Yield what an output shows as text: a stream, a value, the last line of an error."""
    if output.get("output_type") == "stream":
        yield _ANSI.sub("", _text(output.get("text")))
    elif output.get("output_type") in ("error", "pyerr"):
        yield f"{output.get('ename', 'Error')}: {_ANSI.sub('', _text(output.get('evalue')))}"
    else:
        data = output.get("data") or output
        yield _text(data.get("text/plain") or data.get("text/markdown") or data.get("text"))


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else ""
