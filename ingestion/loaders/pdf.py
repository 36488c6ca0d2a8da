"""PDF by pdfium: the text of each page, and the outline's entries as headings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits, clean
from ingestion.loaders.builder import Builder, flat

# pdfium writes a hyphen at a line's end as U+FFFE or U+0002, with the rest of the word on the next line.
_HYPHEN = re.compile(r"[\ufffe\x02](?:\r?\n)?")
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_OUTLINE_ENTRIES = 20_000


def load_pdf(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read a PDF's pages. Raises ExtractionFailed: encrypted, corrupt, too_many_pages or no_text."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_ERROR or "password" in str(error).lower():
            raise ExtractionFailed("encrypted", "This PDF is protected by a password.") from None
        raise ExtractionFailed("corrupt", "This PDF is damaged and can't be opened.") from None
    pages = len(document)
    if pages > limits.pages:
        message = f"This PDF has {pages:,} pages; at most {limits.pages:,} are read."
        raise ExtractionFailed("too_many_pages", message)
    outline = _outline(document)
    builder = Builder(limits)
    broken = 0
    for number in range(pages):
        try:
            text = _page_text(document, number)
        except pypdfium2.PdfiumError:
            broken += 1
            continue
        _add_page(builder, text, number + 1, outline.get(number, []))
    if pages and broken == pages:
        raise ExtractionFailed("corrupt", "None of this PDF's pages can be read.")
    if not builder.length:
        message = "This PDF holds no text, only pictures; it may be a scan that needs text recognition first."
        raise ExtractionFailed("no_text", message)
    return builder.build(mime, pages)


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    reader = page.get_textpage()
    try:
        return clean(_HYPHEN.sub("", reader.get_text_range())).strip()
    finally:
        reader.close()
        page.close()


def _add_page(builder: Builder, text: str, number: int, titles: list[tuple[str, int]]) -> None:
    if not text:
        return
    start, end = builder.add(text)
    builder.mark(start, "page", str(number), end=end)
    place = 0
    for title, level in titles:
        words = [re.escape(word) for word in title.split()][:30]
        found = re.compile(r"\s+".join(words)).search(text, place) if words else None
        if found and text[: found.start()].rstrip(" \t")[-1:] in ("", "\n"):
            builder.mark(start + found.start(), "heading", title, level, end=start + found.end())
            place = found.end()


def _outline(document: Any) -> dict[int, list[tuple[str, int]]]:
    """Return titles and levels by page index; an outline that is damaged is no reason to refuse the text."""
    import pypdfium2

    found: dict[int, list[tuple[str, int]]] = {}
    try:
        for page, title, level in _entries(document):
            found.setdefault(page, []).append((title, level))
    except (pypdfium2.PdfiumError, UnicodeDecodeError):
        return {}
    return found


def _entries(document: Any) -> Iterator[tuple[int, str, int]]:
    for count, entry in enumerate(document.get_toc(max_depth=6)):
        if count >= _OUTLINE_ENTRIES:
            return
        target = entry.get_dest()
        page = target.get_index() if target else None
        title = flat(clean(entry.get_title() or ""))
        if page is not None and title:
            yield page, title, entry.level + 1
