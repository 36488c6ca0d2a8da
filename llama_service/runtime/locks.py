"""One owner for a folder: an advisory lock on a file, which the kernel lifts when its last holder dies."""

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType

from llama_service.errors import OperatorError


class FolderInUse(OperatorError):
    """Another process owns this folder; the message says which."""


class FileLock:
    """An exclusive flock(2) on `path`; a child that inherits `fd` holds it too, until it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1

    async def acquire(self, *, wait_seconds: float = 0) -> None:
        """Take the lock, waiting at most `wait_seconds`.

        Raises FolderInUse when somebody else still holds it then.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while not self._try(fd):
            if asyncio.get_running_loop().time() >= deadline:
                owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
                os.close(fd)
                raise FolderInUse(
                    f"{self.path.parent} is in use by another process"
                    + (f" (pid {owner})" if owner else "")
                    + ": stop it, or choose another DATA_DIR"
                )
            await asyncio.sleep(0.05)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self.fd = fd

    def is_held(self) -> bool:
        """Whether somebody holds the lock now."""
        if not self.path.exists():
            return False
        fd = os.open(self.path, os.O_RDWR)
        try:
            return not self._try(fd)
        finally:
            os.close(fd)

    def release(self) -> None:
        """Let go; a child that inherited the descriptor goes on holding the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    async def __aenter__(self) -> "FileLock":
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @staticmethod
    def _try(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
