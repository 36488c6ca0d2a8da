"""Plain text, source code, CSV and JSON."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from ingestion.documents import Block, Extracted, ExtractionFailed, Limits, clean
from ingestion.loaders.builder import Builder, flat
from ingestion.loaders.encoding import decode

# Definitions at the start of a line in the usual languages; their label goes up to a bracket.
_DEFINITION = re.compile(
    r"^(?:(?:export|default|public|private|protected|internal|static|abstract|final|async|pub|unsafe|sealed) )*"
    r"(?:def|class|interface|enum|struct|trait|impl|fn|func|function|module|namespace|object|type|record)\b"
    r"[^\n{(:=;]*",
    re.MULTILINE,
)
_CSV_SAMPLE = 16_384
csv.field_size_limit(16 * 1024 * 1024)


def load_text(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read text in any encoding, verbatim."""
    return verbatim(read_text(path, limits), (), mime, limits)


def load_source(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read source code verbatim, with classes and functions at the start of a line as headings."""
    text = read_text(path, limits)
    blocks = [Block(found.start(), found.end(), "heading", flat(found[0]), 1) for found in _DEFINITION.finditer(text)]
    return verbatim(text, tuple(blocks), mime, limits)


def load_csv(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read comma-, semicolon-, tab- or bar-separated rows; each group of rows repeats the header."""
    text = read_text(path, limits)
    builder = Builder(limits)
    delimiter = "\t" if mime == "text/tab-separated-values" else delimiter_of(text)
    try:
        builder.table(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        raise ExtractionFailed("corrupt", "This table can't be read: its rows are damaged.") from None
    return builder.build(mime)


def load_json(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read JSON or JSON lines as lines of `path: value`; objects in a list become paragraphs."""
    text = read_text(path, limits)
    builder = Builder(limits)
    try:
        for record in _records(text, mime):
            lines = list(_leaves(record, ""))
            if lines:
                builder.add("\n".join(lines))
    except RecursionError:
        raise ExtractionFailed("corrupt", "This JSON is nested too deeply to be read.") from None
    except ValueError:
        raise ExtractionFailed("corrupt", "This is not valid JSON.") from None
    return builder.build(mime)


def read_text(path: Path, limits: Limits) -> str:
    """Return a file's text in its clean form. Raises ExtractionFailed(too_large)."""
    data = path.read_bytes()
    if len(data) > 4 * limits.output_chars:
        raise ExtractionFailed("too_large", "This file is larger than the server reads as text.")
    return clean(decode(data))


def verbatim(text: str, blocks: tuple[Block, ...], mime: str, limits: Limits) -> Extracted:
    """Return a text as it is. Raises ExtractionFailed: too_large or no_text."""
    if len(text) > limits.output_chars:
        limit = f"{limits.output_chars:,}"
        raise ExtractionFailed("too_large", f"The text of this file is longer than {limit} characters.")
    if not text.strip():
        raise ExtractionFailed("no_text", "There is no text in this file.")
    return Extracted(text, blocks, mime)


def delimiter_of(text: str) -> str:
    """Return the sign that cuts most of the first lines of a table into the same number of fields, above one."""
    lines = [line for line in text[:_CSV_SAMPLE].splitlines()[:50] if line.strip()]
    best, best_score = ",", 0.0
    for sign in ";\t|,":  # where decimals have a comma, it cuts as evenly as the semicolon does
        counts = [len(row) for row in csv.reader(lines, delimiter=sign)]
        usual = max(set(counts), key=counts.count) if counts else 1
        score = counts.count(usual) / len(counts) * min(usual, 8) if usual > 1 else 0.0
        if score > best_score:
            best, best_score = sign, score
    return best


def _records(text: str, mime: str) -> Iterator[object]:
    if mime == "application/x-ndjson":
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
        return
    value = json.loads(text)
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from ({key: item} for key, item in value.items())
    else:
        yield value


def _leaves(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        if all(isinstance(item, str | int | float) for item in value):
            if value:
                yield f"{path}: " + ", ".join(str(item) for item in value)
            return
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    elif value is not None and value != "":
        yield f"{path}: {value}" if path else str(value)
