"""Just enough HTTP to ask a child on loopback how it is, by the standard library: the supervisor stays small."""

import asyncio
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit


async def get(url: str, *, api_key: str | None = None, timeout_seconds: float = 3) -> tuple[int, bytes]:
    """Return the status and the body of a GET.

    Raises OSError (TimeoutError among them) or ValueError where there is no proper answer.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.to_thread(_get, url, api_key, timeout_seconds)
    except HTTPException as error:
        raise ValueError("not an HTTP answer") from error


def _get(url: str, api_key: str | None, timeout_seconds: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_seconds)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path or "/", headers={"Authorization": f"Bearer {api_key}"} if api_key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
