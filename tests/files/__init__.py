"""Files for tests, made on the spot."""

import hashlib
import shutil
from pathlib import Path


def as_blob(path: Path) -> Path:
    """Return a copy of a file as the store keeps it: named by its hash, without the suffix that libraries look at."""
    blob = path.parent / hashlib.sha256(path.read_bytes()).hexdigest()
    shutil.copyfile(path, blob)
    return blob
