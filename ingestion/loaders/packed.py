"""Zip archives: each document in them under a heading with its path."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

from ingestion.documents import Extracted, Limits
from ingestion.loaders.archive import Archive, open_archive
from ingestion.loaders.builder import Builder
from ingestion.loaders.nested import include_all

_UTF8_NAME = 0x800
_PART_BYTES = 256 * 1024 * 1024


def load_zip(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read an archive's documents, sorted by path. Raises ExtractionFailed: encrypted, corrupt, too_large, no_text."""
    builder = Builder(limits)
    with open_archive(path, limits) as archive:
        include_all(builder, _parts(archive), limits, level=1)
    return builder.build(mime)


def _parts(archive: Archive) -> Iterator[tuple[str, bytes]]:
    named = sorted(((_name(part), part) for part in archive.parts() if not part.is_dir()), key=lambda each: each[0])
    for name, part in named:
        folders = PurePosixPath(name).parts
        # What systems add by themselves is no document.
        if any(folder.startswith(".") or folder == "__MACOSX" for folder in folders):
            continue
        if part.file_size <= _PART_BYTES and (data := archive.read(part.filename)) is not None:
            yield name, data


def _name(part: ZipInfo) -> str:
    """Return a part's name; Windows writes it in the old code page of its language, and does not say which."""
    if part.flag_bits & _UTF8_NAME or part.filename.isascii():
        return part.filename
    raw = part.filename.encode("cp437", errors="replace")
    for encoding in ("utf-8", "cp866"):
        try:
            decoded = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or any("а" <= letter <= "я" for letter in decoded.lower()):
            return decoded
    return part.filename
