"""Zip-based documents: opened only after their table of contents looks harmless."""

import posixpath
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingestion.documents import ExtractionFailed, Limits

# Office files pack text ten to thirty times; a part beyond this ratio that is also large is a bomb.
_MAX_RATIO = 150
_SMALL_PART = 4 * 1024 * 1024
_MAX_PARTS = 20_000
_RELATIONS = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Archive:
    """The parts of a zip file by name; a missing part is None."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        # Some programs part folders by backslashes; there is no other character that may stand for a slash.
        self._stored = {name.replace("\\", "/"): name for name in file.namelist()}
        self.names = frozenset(self._stored)

    def main_part(self, usual: str) -> str:
        """Return an OOXML file's main part, which its package names: Word on the web writes `document2.xml`."""
        relations = self.xml("_rels/.rels")
        for relation in relations if relations is not None else ():
            target = posixpath.normpath(posixpath.join("/", relation.get("Target") or ""))[1:]
            if (relation.get("Type") or "").endswith("/officeDocument") and target in self.names:
                return target
        return usual

    def parts(self) -> list[zipfile.ZipInfo]:
        """Return what is known of each part, folders too."""
        return self._file.infolist()

    def read(self, name: str) -> bytes | None:
        """Return a part's bytes, or None where there is none. Raises ExtractionFailed where it is damaged."""
        if name not in self.names:
            return None
        try:
            return self._file.read(self._stored[name])
        except RuntimeError:
            raise ExtractionFailed("encrypted", "This file is protected by a password.") from None

    def xml(self, name: str) -> Any:
        """Return the root of an XML part, or None where there is none. Raises ExtractionFailed(corrupt)."""
        from ingestion.loaders.markup import parse_xml

        data = self.read(name)
        return parse_xml(data) if data else None

    def targets(self, name: str) -> dict[str, str]:
        """Return the parts that a part of an OOXML file refers to, by the reference's id; none outside of the file."""
        folder, file = posixpath.split(name)
        relations = self.xml(f"{folder}/_rels/{file}.rels")
        if relations is None:
            return {}
        return {
            relation.get("Id"): posixpath.normpath(posixpath.join("/", folder, relation.get("Target") or ""))[1:]
            for relation in relations
            if relation.get("TargetMode") != "External"
        }

    def required(self, name: str) -> Any:
        """Return the root of an XML part without which there is no document."""
        root = self.xml(name)
        if root is None:
            raise ExtractionFailed("corrupt", "This file is damaged: a part of it is missing.")
        return root


def reference(element: Any, name: str = "id") -> str:
    """Return the id of a part that an element refers to, in OOXML's transitional or its strict namespace."""
    return next((found for space in _RELATIONS if (found := element.get(f"{{{space}}}{name}"))), "")


@contextmanager
def open_archive(path: Path, limits: Limits) -> Iterator[Archive]:
    """Open a zip-based document. Raises ExtractionFailed: encrypted, corrupt or too_large."""
    with path.open("rb") as file:
        if file.read(8) == _OLE:
            raise ExtractionFailed("encrypted", "This file is protected by a password.")
    try:
        with zipfile.ZipFile(path) as file:
            check_parts(file, limits)
            yield Archive(file)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError):
        raise ExtractionFailed("corrupt", "This file is damaged and can't be opened.") from None


def check_parts(file: zipfile.ZipFile, limits: Limits) -> None:
    """Refuse archives that would unpack to far more than they look like, before anything is unpacked."""
    parts = file.infolist()
    ceiling = min(8 * limits.output_chars, limits.memory_mb * 1024 * 1024 // 4)
    total = 0
    for part in parts:
        total += part.file_size
        ratio = part.file_size / max(1, part.compress_size)
        if part.file_size > _SMALL_PART and ratio > _MAX_RATIO and not part.filename.endswith(_PICTURES):
            raise ExtractionFailed("too_large", "This file unpacks to far more than its size.")
    if total > ceiling + sum(p.file_size for p in parts if p.filename.endswith(_PICTURES)):
        raise ExtractionFailed("too_large", "This file unpacks to more than the server reads.")
    if len(parts) > _MAX_PARTS:
        raise ExtractionFailed("too_large", "This file has more parts than the server reads.")
    if any(part.flag_bits & 0x1 for part in parts):
        raise ExtractionFailed("encrypted", "This file is protected by a password.")


# Never unpacked here, so their size does not matter.
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf", ".svg", ".mp4", ".wav", ".ttf")
