"""Documents inside of documents: attachments, files in archives. What can't be read is named with its reason."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath

from ingestion.detect import detect_file
from ingestion.documents import ExtractionFailed, Limits
from ingestion.loaders.builder import Builder, flat

DEPTH = 3
"""How deep documents may lie in each other: an archive in an e-mail in an archive."""
MOST = 500
"""Documents that are read of one archive or e-mail."""


def include_all(builder: Builder, parts: Iterable[tuple[str, bytes]], limits: Limits, level: int) -> int:
    """Append documents (name, bytes) under headings of `level`; returns how many could be read.

    Raises ExtractionFailed where there are too many, or too much text.
    """
    inside = replace(limits, depth=limits.depth + 1)
    read = 0
    for number, (name, data) in enumerate(parts, 1):
        label = flat(name) or "?"
        if number > MOST:
            raise ExtractionFailed("too_large", f"This file holds more than {MOST} documents.")
        if inside.depth > DEPTH:
            builder.add(f"{label}: not read, it lies too deep in other files.")
        else:
            read += _include(builder, label, data, inside, level)
    return read


def _include(builder: Builder, name: str, data: bytes, limits: Limits, level: int) -> bool:
    from ingestion.loaders.child import read

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part")
        path.write_bytes(data)
        mime = detect_file(path, PurePath(name).name)
        if mime is None:
            builder.add(f"{name}: not read, files of this type can't be.")
            return False
        if mime.startswith("image/"):
            builder.add(f"{name}: a picture.")
            return False
        try:
            document = read(path, PurePath(name).name, mime, limits)
        except ExtractionFailed as failed:
            builder.add(f"{name}: not read. {failed.message}")
        except (MemoryError, RecursionError):
            raise
        except Exception:  # a parser's own way to say that a part is damaged: the others are read all the same
            builder.add(f"{name}: not read, it is damaged.")
        else:
            builder.include(document, name, level)
            return True
        return False
