"""A server of S3's wire for the tests: moto's, as a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from llama_service.runtime.process import Child, ChildSpec, base_environment, free_port

BUCKET = "llama-files"
KEY_ID, SECRET = "test-key", "test-secret"


@asynccontextmanager
async def s3_server(folder: Path) -> AsyncIterator[int]:
    """Yield the port of a server that has one empty bucket; it forgets everything when it ends."""
    port = free_port()

    async def is_ready() -> bool:
        try:
            async with httpx.AsyncClient() as client:
                made = await client.put(f"http://127.0.0.1:{port}/{BUCKET}")
        except httpx.TransportError:
            return False
        return made.status_code == 200

    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = Child(ChildSpec("s3", argv, base_environment(), folder, is_ready, stop_timeout=2))
    await child.start()
    try:
        yield port
    finally:
        await child.stop()


async def keys(port: int) -> list[str]:
    """Return the names of all objects in the bucket, asked of the server itself."""
    async with httpx.AsyncClient() as client:
        listed = await client.get(f"http://127.0.0.1:{port}/{BUCKET}")
    return [part.partition("</Key>")[0] for part in listed.text.split("<Key>")[1:]]


async def blocks(content: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """Yield content as it comes in from the network."""
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)
