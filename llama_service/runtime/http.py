"""Just enough HTTP to ask a child on loopback how it is: no client library in the supervisor's memory."""

import asyncio
from urllib.parse import urlsplit


async def get(url: str, *, api_key: str | None = None, timeout_seconds: float = 3) -> tuple[int, bytes]:
    """Return the status and the body of a GET.

    Raises OSError, TimeoutError, asyncio.IncompleteReadError or ValueError where there is no proper answer.
    """
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    head = [f"GET {path or '/'} HTTP/1.0", f"Host: {parts.netloc}", "Connection: close"]
    if api_key:
        head.append(f"Authorization: Bearer {api_key}")
    async with asyncio.timeout(timeout_seconds):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
    first, _, rest = answer.partition(b"\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("not an HTTP answer")
    return int(words[1]), rest.partition(b"\r\n\r\n")[2]
