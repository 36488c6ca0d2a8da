"""Old PowerPoint files through unstructured, which has LibreOffice convert them; quiet and offline."""

import shutil
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder


def load_ppt(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the slides. Raises ExtractionFailed(unsupported) where LibreOffice is missing."""
    if shutil.which("soffice") is None:
        message = "PowerPoint files of this old kind can't be read here; save the file as .pptx and upload it again."
        raise ExtractionFailed("unsupported", message)
    from unstructured.partition.ppt import partition_ppt

    builder = Builder(limits)
    number, start = 0, 0
    with path.open("rb") as file:
        elements = partition_ppt(file=file)
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
