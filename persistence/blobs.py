"""The bytes of uploaded files, by content hash: the same bytes are stored once, whoever sends them."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from llama_service.errors import FileTooLarge, NotFound

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """An upload that lies on disk under a temporary name: its size in bytes, hash and first 64 KiB."""

    path: Path
    size: int
    sha256: str
    head: bytes


class BlobStore:
    """A folder of files named by their SHA-256. Writing is atomic; what is named is complete."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, sha256: str) -> Path:
        """Return where the bytes of this hash lie, or would lie."""
        return self._root / sha256[:2] / sha256

    async def receive(self, blocks: AsyncIterator[bytes], limit: int) -> Received:
        """Write an upload to a temporary file. Raises FileTooLarge as soon as `limit` bytes are passed."""
        incoming = self._root / "incoming"
        await asyncio.to_thread(incoming.mkdir, parents=True, exist_ok=True)
        handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=incoming)
        path, digest, size, head = Path(name), hashlib.sha256(), 0, b""
        try:
            with os.fdopen(handle, "wb") as file:
                async for block in blocks:
                    size += len(block)
                    if size > limit:
                        raise FileTooLarge(f"The file is larger than {limit / 1048576:g} MB.")
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

    async def keep(self, received: Received) -> Path:
        """Give received bytes their name; bytes that are there already stay as they are."""
        target = self.path(received.sha256)

        def move() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with received.path.open("rb") as file:
                os.fsync(file.fileno())
            received.path.replace(target)

        await asyncio.to_thread(move)
        return target

    async def discard(self, received: Received) -> None:
        """Drop received bytes that are not wanted."""
        await asyncio.to_thread(received.path.unlink, missing_ok=True)

    async def remove(self, sha256: str) -> None:
        """Delete the bytes of a hash that no file refers to any more."""
        path = self.path(sha256)

        def unlink() -> None:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()

        await asyncio.to_thread(unlink)

    async def existing(self, sha256: str) -> Path:
        """Return the path of stored bytes. Raises NotFound where they are gone."""
        path = self.path(sha256)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound("The bytes of this file are no longer stored; upload it again.")
        return path

    async def sweep(self, older_than: float) -> None:
        """Delete what is left of uploads that never became files, some seconds old."""

        def sweep() -> None:
            limit = time.time() - older_than
            for path in (self._root / "incoming").glob("*"):
                if path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)

        await asyncio.to_thread(sweep)

    async def usage(self) -> int:
        """Return the bytes on disk."""

        def walk() -> int:
            return sum(p.stat().st_size for p in self._root.rglob("*") if p.is_file())

        return await asyncio.to_thread(walk)
