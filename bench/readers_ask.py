"""Ask one reader for the text of files: `python readers_ask.py NAME`, by the Python in which that reader is installed.

Reads a path from each line of stdin and answers with a line of JSON: its text, CPU seconds, or why it failed. Imports
nothing of the project but for its own reader.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Read = Callable[[str], str]


def ours() -> Read:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    detect, documents = importlib.import_module("ingestion.detect"), importlib.import_module("ingestion.documents")
    child = importlib.import_module("ingestion.loaders.child")

    def read(path: str) -> str:
        name = Path(path).name
        mime = detect.detect_file(Path(path), name)
        if mime is None:
            raise ValueError("refused")
        return str(child.read(Path(path), name, mime, documents.Limits()).text)

    return read


def unstructured() -> Read:
    """Its readers without models of pages; a blank model of English in place of the one that it would download."""
    spacy: Any = importlib.import_module("spacy")
    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    spacy.load = lambda *_, **__: blank
    auto = importlib.import_module("unstructured.partition.auto")
    return lambda path: "\n\n".join(_table_or_text(element) for element in auto.partition(path, strategy="fast"))


def _table_or_text(element: Any) -> str:
    shown = getattr(element.metadata, "text_as_html", None)
    if not shown:
        return str(element.text)
    rows = importlib.import_module("lxml.html").fromstring(shown).iter("tr")
    return "\n".join(" | ".join(cell.text_content() for cell in row) for row in rows)


def markitdown() -> Read:
    reader = importlib.import_module("markitdown").MarkItDown()
    return lambda path: str(reader.convert(path).text_content)


def kreuzberg() -> Read:
    package = importlib.import_module("kreuzberg")
    return lambda path: str(package.extract_file_sync(path).content)


def docling() -> Read:
    """Its readers of formats that need no model: all but PDF and pictures."""
    base, documents = (importlib.import_module(f"docling.datamodel.{name}") for name in ("base_models", "document"))
    # Suffix to module, class, and kind of input.
    classes = {
        ".docx": ("msword", "MsWordDocumentBackend", "DOCX"),
        ".pptx": ("mspowerpoint", "MsPowerpointDocumentBackend", "PPTX"),
        ".xlsx": ("msexcel", "MsExcelDocumentBackend", "XLSX"),
        ".html": ("html", "HTMLDocumentBackend", "HTML"),
        ".md": ("md", "MarkdownDocumentBackend", "MD"),
        ".csv": ("csv", "CsvDocumentBackend", "CSV"),
        ".epub": ("epub", "EpubDocumentBackend", "EPUB"),
        ".eml": ("email", "EmailDocumentBackend", "EMAIL"),
    }
    for kind in ("Odt", "Ods", "Odp"):
        classes[f".{kind.lower()}"] = ("opendocument", f"{kind}DocumentBackend", kind.upper())

    def read(path: str) -> str:
        module, name, kind = classes[Path(path).suffix.lower()]
        backend = getattr(importlib.import_module(f"docling.backend.{module}_backend"), name)
        format_ = getattr(base.InputFormat, kind)
        given = documents.InputDocument(path_or_stream=Path(path), format=format_, backend=backend, filename=path)
        return str(backend(given, Path(path)).convert().export_to_markdown())

    return read


READERS = {each.__name__: each for each in (ours, unstructured, markitdown, kreuzberg, docling)}


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print
    read = READERS[sys.argv[1]]()
    for line in sys.stdin:
        path, began = line.rstrip("\n"), _spent()
        try:
            answer: dict[str, Any] = {"text": read(path).encode("utf-8", "replace").decode()}
        except Exception as error:
            answer = {"text": "", "failed": f"{type(error).__name__}: {error}"[:200]}
        answers.write(json.dumps({**answer, "seconds": _spent() - began}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
