"""EPUB books: the chapters in reading order."""

import posixpath
import urllib.parse
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.archive import Archive, open_archive
from ingestion.loaders.builder import Builder
from ingestion.loaders.markup import add_html, decode_marked

_PAGES = ("application/xhtml+xml", "text/html")


def load_epub(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the chapters of a book. Raises ExtractionFailed(encrypted) for books with copy protection."""
    builder = Builder(limits)
    with open_archive(path, limits) as archive:
        chapters = _spine(archive)
        if "META-INF/encryption.xml" in archive.names and "META-INF/rights.xml" in archive.names:
            raise ExtractionFailed("encrypted", "This book is copy-protected.")
        for chapter in chapters:
            data = archive.read(chapter)
            if data:
                add_html(builder, decode_marked(data), title=False)
    return builder.build(mime)


def _spine(archive: Archive) -> list[str]:
    container = archive.required("META-INF/container.xml")
    root = container.find(".//{*}rootfile")
    package = (root.get("full-path") or "") if root is not None else ""
    content = archive.required(package)
    folder = posixpath.dirname(package)
    items = {item.get("id"): item for item in content.iter("{*}item")}
    parts = []
    for reference in content.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is not None and item.get("media-type") in _PAGES:
            target = urllib.parse.unquote(item.get("href") or "")
            parts.append(posixpath.normpath(posixpath.join(folder, target)))
    return parts
