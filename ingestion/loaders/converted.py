"""Presentations that only LibreOffice opens, through unstructured, which has it convert them; quiet and offline."""

import shutil
from pathlib import Path

from ingestion.documents import Extracted, Limits
from ingestion.loaders.builder import Builder


def load_by_libreoffice(path: Path, mime: str, limits: Limits) -> Extracted | None:
    """Read the slides of a presentation of any kind; None where LibreOffice is missing, or can't open it either."""
    if shutil.which("soffice") is None:
        return None
    from pptx.exc import PackageNotFoundError
    from unstructured.partition.ppt import partition_ppt

    builder = Builder(limits)
    number, start = 0, 0
    with path.open("rb") as file:
        try:
            elements = partition_ppt(file=file)
        except PackageNotFoundError:  # nothing came of the conversion
            return None
    for element in elements:
        page = element.metadata.page_number or 1
        if page != number:
            if number and builder.length > start:
                builder.mark(start, "slide", str(number))
            number, start = page, builder.length
        if element.category == "Title":
            builder.heading(element.text, 1)
        elif element.text.strip():
            builder.add(element.text)
    if number and builder.length > start:
        builder.mark(start, "slide", str(number))
    return builder.build(mime, number or None)
