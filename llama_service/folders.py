"""Folders that only their owner may look into, and scratch folders that do not outlive their process."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PRIVATE = 0o700
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder by which processes count as one; `prometheus_client` reads it when imported."""


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may enter, also where it was there already with other rights."""
    folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
    folder.chmod(_PRIVATE)


def make_empty(folder: Path) -> None:
    """Make a folder that nobody else may enter, and delete the files in it."""
    make_private(folder)
    for path in folder.iterdir():
        path.unlink()


class ScratchFolder:
    """A folder of this process below `parent`, for files that are of use to it alone.

    It is gone when the process closes it. What a killed process left is deleted by the next one: the kernel lifts the
    lock on a folder when its last holder dies.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._lock = -1
        self.path: Path | None = None

    def open(self) -> Path:
        """Sweep what others left, then make the folder and return it."""
        self._parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
        for left in self._parent.iterdir():
            self._sweep(left)
        self.path = Path(tempfile.mkdtemp(prefix="process-", dir=self._parent))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self.path

    def close(self) -> None:
        """Delete the folder."""
        if self.path is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self.path = None

    @staticmethod
    def _sweep(left: Path) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, BlockingIOError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)
