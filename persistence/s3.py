"""Uploaded bytes in a bucket of S3, or of any server of its wire."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from obstore.exceptions import BaseError

from llama_service.errors import DependencyUnavailable
from llama_service.settings import Settings
from persistence.blobs import Received, Spool, Stored, gone, key_of
from persistence.object_store import open_bucket

log = structlog.get_logger(__name__)

_PART = 8 << 20  # bytes: of an upload; S3 takes no parts below 5 MiB
_PARTS_AT_ONCE = 4
_BLOCK = 2 << 20  # bytes: what a reader of a file holds in memory
_LISTED = 500


class S3Blobs:
    """A bucket, below a prefix. The keys are those of the local folder."""

    remote = True

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self.spool = spool
        self._store = open_bucket(settings.blob_url, settings)

    async def keep(self, received: Received) -> None:
        """Send received bytes, unless they are there already; a large file goes in parts, and is named at the end."""
        key = key_of(received.sha256)
        with _reaching("keep"):
            try:
                if (await self._store.head_async(key))["size"] == received.size:
                    return
            except FileNotFoundError:
                pass
            await self._store.put_async(key, received.path, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE)

    async def remove(self, sha256: str) -> None:
        """Delete the bytes of a hash that no file refers to any more."""
        with _reaching("remove"):
            try:
                await self._store.delete_async(key_of(sha256))
            except FileNotFoundError:
                log.info("blob_gone_already", sha256=sha256)

    async def find(self, sha256: str) -> Stored:
        """Return stored bytes to be sent. Raises NotFound where they are gone."""
        key = key_of(sha256)
        with _reaching("find"):
            try:
                size = int((await self._store.head_async(key))["size"])
            except FileNotFoundError:
                raise gone() from None

        async def read(start: int, end: int) -> AsyncIterator[bytes]:
            # A request for each block: a reader who is slow holds no connection to the store, and meets no time-out.
            while start < end:
                upto = min(start + _BLOCK, end)
                with _reaching("read"):
                    block = await self._store.get_range_async(key, start=start, end=upto)
                yield bytes(block)
                start = upto

        return Stored(size, None, read)

    @asynccontextmanager
    async def local(self, sha256: str) -> AsyncIterator[Path]:
        """Yield a copy on this machine, which is removed afterwards. Raises NotFound where the bytes are gone."""
        stored = await self.find(sha256)
        path = await self.spool.temporary()
        try:
            with await asyncio.to_thread(path.open, "wb") as file:
                async for block in stored.read(0, stored.size):
                    await asyncio.to_thread(file.write, block)
            yield path
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def usage(self) -> int:
        """Return the bytes below the prefix."""
        total = 0
        with _reaching("list"):
            async for batch in self._store.list(chunk_size=_LISTED):
                total += sum(item["size"] for item in batch)
        return total

    async def ping(self) -> None:
        """Raise DependencyUnavailable where the bucket can't be listed."""
        with _reaching("ping"):
            # Nothing has this name: the answer is short, and unlike a look for one key it tells a missing bucket.
            await self._store.list("ping").collect_async()


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    """Turn what the library raises into our own error; its text may name the bucket and goes to the log alone."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        log.warning("blob_store_failed", what=what, error=type(error).__name__, detail=str(error).partition("\n")[0])
        raise DependencyUnavailable("The store of uploaded files can't be reached; try again later.") from error
