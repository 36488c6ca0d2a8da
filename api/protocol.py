"""How requests come in: uvicorn's protocol, with an end to the head of a request.

Uvicorn collects request line and headers for as long as they come, and a request is nobody's before they have ended.
"""

import asyncio
from typing import Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger(__name__)

MAX_HEAD: Final = 64 * 1024  # bytes of request line and headers; proxies take 8 to 32 KiB
_REFUSAL: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection on which more than `MAX_HEAD` bytes come that are neither of a body nor of a complete head.

    So a head has an end, and so have the trailers behind a body that comes in chunks.
    """

    _unread = 0

    def data_received(self, data: bytes) -> None:
        """Read what has come, then look how much of it belongs to nothing that is complete."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread <= MAX_HEAD or self.transport.is_closing():
            return
        log.warning("request_head_too_long", client=self.client[0] if self.client else None)
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.write(_REFUSAL)
        self.transport.close()

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body, which the application bounds."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; what comes now is the next one's head."""
        self._unread = 0
        super().on_message_complete()
