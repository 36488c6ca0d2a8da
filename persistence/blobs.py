"""The bytes of uploaded files, by content hash: the same bytes are stored once, whoever sends them."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llama_service.errors import FileTooLarge, NotFound
from llama_service.settings import Settings


@dataclass(frozen=True, slots=True)
class Received:
    """An upload that lies on disk under a temporary name: its size in bytes, hash and first 64 KiB."""

    path: Path
    size: int
    sha256: str
    head: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """Kept bytes: their number, where they lie on this machine if they do, and how to read a range of them.

    `read(start, end)` yields blocks of the bytes from `start` up to, not including, `end`.
    """

    size: int
    path: Path | None
    read: Callable[[int, int], AsyncIterator[bytes]]


SPOOL_KEPT = 86400.0  # seconds, of an upload that never became a file, and of a copy whose reader was killed


class Spool:
    """A folder on this machine for bytes on their way: uploads whose hash is not known yet, copies to be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def receive(self, blocks: AsyncIterator[bytes], limit: int) -> Received:
        """Write an upload to a temporary file. Raises FileTooLarge as soon as `limit` bytes are passed."""
        digest, size, head = hashlib.sha256(), 0, b""
        path = await self.temporary()
        try:
            with await asyncio.to_thread(path.open, "wb") as file:
                async for block in blocks:
                    size += len(block)
                    if size > limit:
                        raise FileTooLarge.over(limit)
                    if len(head) < 65536:
                        head += block[: 65536 - len(head)]
                    await asyncio.to_thread(self._write, file, digest, block)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        return Received(path, size, digest.hexdigest(), head)

    @staticmethod
    def _write(file: "os._Writer", digest: "hashlib._Hash", block: bytes) -> None:  # type: ignore[name-defined]
        file.write(block)
        digest.update(block)

    async def temporary(self) -> Path:
        """Make an empty file under a name of its own; whoever asked for it removes it."""

        def make() -> Path:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder)
            os.close(handle)
            return Path(name)

        return await asyncio.to_thread(make)

    async def discard(self, received: Received) -> None:
        """Drop received bytes that are not wanted, or that are kept elsewhere by now."""
        await asyncio.to_thread(received.path.unlink, missing_ok=True)

    async def sweep(self, older_than: float) -> None:
        """Delete what processes that died left here, some seconds old."""

        def sweep() -> None:
            limit = time.time() - older_than
            for path in self._folder.glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < limit:
                        path.unlink()

        await asyncio.to_thread(sweep)


class BlobStore(Protocol):
    """Where the bytes of files are kept. Writing is atomic: what is named is complete.

    Every method but the spool's raises DependencyUnavailable where the store does not answer.
    """

    spool: Spool
    remote: bool
    """Whether keeping bytes takes as long as a network does: too long for a transaction to wait."""

    async def keep(self, received: Received) -> None:
        """Give received bytes their name; costs little where they are there already."""

    async def remove(self, sha256: str) -> None:
        """Delete the bytes of a hash that no file refers to any more."""

    async def find(self, sha256: str) -> Stored:
        """Return stored bytes to be sent. Raises NotFound where they are gone."""

    def local(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """Yield a path on this machine that holds the bytes while the block runs. Raises NotFound."""

    async def usage(self) -> int:
        """Return how many bytes are kept."""

    async def ping(self) -> None:
        """Raise where bytes can't be kept now."""


def key_of(sha256: str) -> str:
    """Return the name of a hash within a store; the same in a folder and in a bucket, so that one can be copied."""
    return f"{sha256[:2]}/{sha256}"


def gone() -> NotFound:
    """Return the error for a file whose bytes are missing."""
    return NotFound("The bytes of this file are no longer stored; upload it again.")


def open_blobs(settings: Settings) -> BlobStore:
    """Return the store that `BLOB_URL` names: a bucket, or the folder on this machine."""
    if not settings.blob_url:
        return LocalBlobs(settings.blobs_dir)
    # A library of 15 MB, for those who use it.
    from persistence.s3 import S3Blobs

    return S3Blobs(settings, Spool(settings.blobs_dir / "incoming"))


class LocalBlobs:
    """A folder of files named by their SHA-256."""

    remote = False
    _BLOCK = 1 << 20

    def __init__(self, root: Path) -> None:
        self._root = root
        # In the same file system, so that bytes get their name by a rename.
        self.spool = Spool(root / "incoming")

    def path(self, sha256: str) -> Path:
        """Return where the bytes of this hash lie, or would lie."""
        return self._root / key_of(sha256)

    async def keep(self, received: Received) -> None:
        """Move received bytes to their name."""
        target = self.path(received.sha256)

        def move() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with received.path.open("rb") as file:
                os.fsync(file.fileno())
            received.path.replace(target)

        await asyncio.to_thread(move)

    async def remove(self, sha256: str) -> None:
        """Delete the bytes of a hash that no file refers to any more."""
        path = self.path(sha256)

        def unlink() -> None:
            path.unlink(missing_ok=True)

        await asyncio.to_thread(unlink)

    async def find(self, sha256: str) -> Stored:
        """Return stored bytes to be sent. Raises NotFound where they are gone."""
        path = self.path(sha256)
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
        except FileNotFoundError:
            raise gone() from None

        async def read(start: int, end: int) -> AsyncIterator[bytes]:
            with await asyncio.to_thread(path.open, "rb") as file:
                file.seek(start)
                while start < end and (block := await asyncio.to_thread(file.read, min(self._BLOCK, end - start))):
                    start += len(block)
                    yield block

        return Stored(size, path, read)

    @asynccontextmanager
    async def local(self, sha256: str) -> AsyncIterator[Path]:
        """Yield the path of stored bytes. Raises NotFound where they are gone."""
        path = self.path(sha256)
        if not await asyncio.to_thread(path.is_file):
            raise gone()
        yield path

    async def usage(self) -> int:
        """Return the bytes on disk."""

        def walk() -> int:
            return sum(p.stat().st_size for p in self._root.rglob("*") if p.is_file())

        return await asyncio.to_thread(walk)

    async def ping(self) -> None:
        """Raise OSError where the folder can't be written to."""

        def look() -> None:
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise PermissionError(f"{self._root} can't be written to")

        await asyncio.to_thread(look)
