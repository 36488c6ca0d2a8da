"""PDF by pdfium: the text of each page in reading order, its fields and comments, and the outline as headings."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, ExtractionFailed, Limits, clean
from ingestion.loaders.builder import Builder, comment_list, flat
from ingestion.loaders.layout import Box, columns
from ingestion.loaders.nested import MOST, include_all
from ingestion.loaders.pdf_marks import comments, with_fields
from ingestion.loaders.recognition import Recogniser

# pdfium writes a hyphen at a line's end as U+FFFE or U+0002, with the rest of the word on the next line.
_HYPHEN = re.compile(r"[\ufffe\x02](?:\r?\n)?")
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_OUTLINE_ENTRIES = 20_000
_BOXES = 5_000  # of a page; one with more is a drawing
_FEWEST_LETTERS = 10  # of a page's text; a scan may have a stamp or a page number as text
_DOTS_PER_INCH, _LONGEST_SIDE = 200, 4000
_REPEATED = 3  # pages, at least, that begin or end alike where that line is a header or footer


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
    if document.get_formtype():
        document.init_forms()
    outline = _outline(document)
    builder = Builder(limits)
    texts = _texts(document, pages, limits)
    recognised, unread = _recognised(document, texts, limits)
    for number, text in _without_repeats(texts | recognised).items():
        start = builder.length
        _add_page(builder, text, number + 1, outline.get(number, []))
        if number in recognised and builder.length > start:
            builder.mark(start, "recognised", "")
    written = builder.length
    attached = _include_attached(document, builder, limits)
    if unread:
        builder.add(f"{unread} scanned pages of this file were not read: there was no time left for them.")
    if pages and not texts:
        raise ExtractionFailed("corrupt", "None of this PDF's pages can be read.")
    if not (written or attached or unread):
        message = "This PDF holds no text, only pictures; it may be a scan that needs text recognition first."
        raise ExtractionFailed("no_text", message)
    return builder.build(mime, pages)


def _include_attached(document: Any, builder: Builder, limits: Limits) -> int:
    """Append the files that lie in a PDF, and return how many could be read; they are no reason to refuse its pages."""
    written = builder.length
    try:
        read = include_all(builder, islice(_attached(document), MOST), limits, level=1)
    except ExtractionFailed:  # more text than may be kept
        if not written:
            raise
        builder.add("Not read: there is too much text in the files attached to this PDF.")
        return 0
    if document.count_attachments() > MOST:
        builder.add(f"Of the files attached to this PDF, {MOST} were read; there are more.")
    return read


def _attached(document: Any) -> Iterator[tuple[str, bytes]]:
    """Yield the names and bytes of files that lie in a PDF: an invoice's data, the parts of a portfolio."""
    import pypdfium2

    for number in range(document.count_attachments()):
        with suppress(pypdfium2.PdfiumError):  # one that is damaged is no reason to refuse the pages
            attachment = document.get_attachment(number)
            yield attachment.get_name(), bytes(attachment.get_data())


def _texts(document: Any, pages: int, limits: Limits) -> dict[int, str]:
    """Return the text of each page that can be read, until there is more than may be kept."""
    import pypdfium2

    texts: dict[int, str] = {}
    length = 0
    for number in range(pages):
        with suppress(pypdfium2.PdfiumError):
            texts[number] = _page_text(document, number)
            length += len(texts[number])
        if length > limits.output_chars:
            break  # the builder says so
    return texts


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    reader = page.get_textpage()
    try:
        boxes = [Box(*reader.get_rect(n)) for n in range(min(_BOXES, reader.count_rects()))]
        parts = [
            reader.get_text_bounded(region.left - 1, region.bottom - 1, region.right + 1, region.top + 1)
            for region in columns(boxes)
        ]
        raw = "\n".join(part.strip() for part in parts) if parts else reader.get_text_range()
        text = clean(_HYPHEN.sub("", raw)).strip()
        text = with_fields(document, page, reader, text)
        remarks = comments(page)
        return "\n\n".join([text, comment_list(remarks)]).strip() if remarks else text
    finally:
        reader.close()
        page.close()


def _recognised(document: Any, texts: Mapping[int, str], limits: Limits) -> tuple[dict[int, str], int]:
    """Return what is recognised on pages that show pictures and have no text, or rubbish; and how many were left."""
    wanted = [number for number, text in texts.items() if not _is_text(text) and _shows_pictures(document, number)]
    found: dict[int, str] = {}
    if not wanted:
        return found, 0
    try:
        recogniser = Recogniser(limits.seconds)
    except (ImportError, ExtractionFailed):  # no reader here: the pages that have text are worth having
        return found, 0
    for number in wanted:
        if not recogniser.has_time:
            break
        page = document[number]
        # Letters of ten points are 28 pixels high; a page of a poster's size is not rendered larger than it helps.
        scale = min(_DOTS_PER_INCH / 72, _LONGEST_SIDE / max(*page.get_size(), 1))
        found[number] = recogniser.read(page.render(scale=scale, grayscale=True).to_pil())
        page.close()
    return found, len(wanted) - len(found)


def _is_text(text: str) -> bool:
    """Whether a page's text layer is worth reading: a broken one has letters without a meaning in them."""
    letters = [letter for letter in text if not letter.isspace()]
    rubbish = sum(letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" for letter in letters)
    return len(letters) >= _FEWEST_LETTERS and rubbish < 0.3 * len(letters)


def _shows_pictures(document: Any, number: int) -> bool:
    import pypdfium2.raw as pdfium

    page = document[number]
    try:
        return any(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3))
    finally:
        page.close()


def _without_repeats(texts: Mapping[int, str]) -> dict[int, str]:
    """Return the pages' texts, a line that begins or ends most of them on the first of these pages only.

    The number of the page does not make it another line.
    """
    lines = {number: text.split("\n") for number, text in texts.items()}
    for end in (0, -1):
        counts = Counter(_shape(page[end]) for page in lines.values() if len(page) > 1)
        repeated = {shape for shape, count in counts.items() if shape and count >= max(_REPEATED, len(texts) * 0.6)}
        seen: set[str] = set()
        for page in lines.values():
            shape = _shape(page[end])
            if len(page) > 1 and shape in repeated:
                if shape in seen:
                    del page[end]
                seen.add(shape)
    return {number: "\n".join(page).strip() for number, page in lines.items()}


def _shape(line: str) -> str:
    return re.sub(r"\d+", "#", flat(line))


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
