"""What stands on a PDF's page beside its text: the values of form fields, and the comments of readers."""

import ctypes
from collections.abc import Iterator
from typing import Any

from ingestion.documents import clean
from ingestion.loaders.builder import comment, flat

_MOST = 5_000  # annotations of a page
_LONGEST = 20_000  # characters of one


def with_fields(document: Any, page: Any, reader: Any, text: str) -> str:
    """Return a page's text with each field's value behind the label that stands before it, or at the end."""
    behind_last: dict[str, int] = {}  # the same label may stand before several fields
    for name, value, before, behind in _fields(document, page, reader):
        label = before or behind
        at = text.find(label, behind_last.get(label, 0)) if label else -1
        if at < 0:
            text = f"{text}\n{name}: {value}" if name else f"{text}\n{value}"
            continue
        end = at + len(label)
        text = f"{text[:end]} {value}{text[end:]}" if before else f"{text[:at]}{value} {text[at:]}"
        behind_last[label] = end + len(value) + 1
    return text


def comments(page: Any) -> list[str]:
    """Return what readers have written on a page, each with its author where one is named."""
    import pypdfium2.raw as pdfium

    kinds = {
        getattr(pdfium, f"FPDF_ANNOT_{kind}")
        for kind in ("TEXT", "FREETEXT", "HIGHLIGHT", "UNDERLINE", "SQUIGGLY", "STRIKEOUT", "SQUARE", "CIRCLE", "INK")
    }
    found = []
    for annotation in _annotations(page):
        if pdfium.FPDFAnnot_GetSubtype(annotation) in kinds:
            written = flat(_string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents"))
            author = flat(_string(pdfium.FPDFAnnot_GetStringValue, annotation, b"T"))
            if written:
                found.append(comment(author, written))
    return found


def _fields(document: Any, page: Any, reader: Any) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, value, and the words before and behind each field that holds something."""
    import pypdfium2.raw as pdfium

    form = document.formenv
    if form is None:
        return
    boxes = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
    for annotation in _annotations(page):
        if pdfium.FPDFAnnot_GetSubtype(annotation) != pdfium.FPDF_ANNOT_WIDGET:
            continue
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
        if kind in (pdfium.FPDF_FORMFIELD_PUSHBUTTON, pdfium.FPDF_FORMFIELD_SIGNATURE):
            continue
        value = flat(_string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation))
        if kind in boxes:
            value = "[x]" if pdfium.FPDFAnnot_IsChecked(form, annotation) else ""
        place = pdfium.FS_RECTF()
        if not value or not pdfium.FPDFAnnot_GetRect(annotation, place):
            continue
        name = flat(_string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation))
        low, high = min(place.bottom, place.top), max(place.bottom, place.top)
        before = _line(reader, 0, low, place.left, high, last=True)
        behind = _line(reader, place.right, low, page.get_width(), high, last=False)
        yield name, value, "" if kind in boxes and behind else before, behind


def _line(reader: Any, left: float, bottom: float, right: float, top: float, *, last: bool) -> str:
    """Return the words of one line in a rectangle, as they stand in the page's text."""
    if right - left < 1 or top - bottom < 1:
        return ""
    lines = [line.strip() for line in clean(reader.get_text_bounded(left, bottom, right, top)).split("\n")]
    lines = [line for line in lines if line]
    return lines[-1 if last else 0] if lines else ""


def _annotations(page: Any) -> Iterator[Any]:
    import pypdfium2.raw as pdfium

    for number in range(min(_MOST, pdfium.FPDFPage_GetAnnotCount(page))):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if annotation:
            yield annotation
            pdfium.FPDFPage_CloseAnnot(annotation)


def _string(read: Any, *arguments: Any) -> str:
    """Return a string of pdfium's, which tells its length in bytes first, with two for the end."""
    import pypdfium2.raw as pdfium

    size = read(*arguments, None, 0)
    if not 2 < size <= 2 * _LONGEST:
        return ""
    buffer = ctypes.create_string_buffer(size)
    read(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return clean(buffer.raw[: size - 2].decode("utf-16-le", errors="replace"))
