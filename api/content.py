"""The bytes of a file as an HTTP answer, whole or a range of them, wherever they are kept."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response, StreamingResponse

from persistence.blobs import Stored
from persistence.tables import File

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)
# A file is shown by the page or saved; opened by itself it may do nothing.
# A right may be taken away: whoever keeps a copy has to ask whether it still stands.
_INERT = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}


def content_response(stored: Stored, file: File, asked: Headers) -> Response:
    """Return the answer to a request for a file with these headers (`Range`, `If-Range`).

    206 with a range of it, 416 where the range lies outside. Several ranges at once, which nobody needs to answer,
    get the whole file where it does not lie on this machine.
    """
    headers = {**_INERT, "ETag": f'"{file.sha256}"'}
    if stored.path is not None:
        return FileResponse(stored.path, media_type=file.mime, filename=file.name, headers=headers)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(file.name, safe='')}",
    }
    wanted = asked.get("range", "")
    if asked.get("if-range", headers["ETag"]) != headers["ETag"]:
        wanted = ""
    part = _part(wanted, stored.size)
    if part is None:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{stored.size}"})
    start, end = part
    headers["Content-Length"] = str(end - start)
    status = 200
    if (start, end) != (0, stored.size) or _RANGE.fullmatch(wanted):
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    body: AsyncIterator[bytes] = stored.read(start, end)
    return StreamingResponse(body, status_code=status, media_type=file.mime, headers=headers)


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Return where the bytes begin and end that a `Range` header asks for (RFC 9110, 14.1.2), None for none of them."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    start = int(first)
    end = min(size, int(last) + 1) if last else size
    return (start, end) if start < min(end, size) else None
