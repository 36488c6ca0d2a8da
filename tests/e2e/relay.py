"""A network that can be cut: a relay of TCP connections between the browser and the server."""

import asyncio
from contextlib import suppress
from typing import Self


class Relay:
    """Passes bytes on to a port of loopback. `async with` starts and stops it.

    While `answers_are_lost`, what the browser sends arrives and what the server says does not.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self.port = 0
        self.answers_are_lost = False

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        await asyncio.gather(*self._relays, return_exceptions=True)

    @property
    def url(self) -> str:
        """The address that the browser opens."""
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        """Take connections, at the same port as before, and pass on both ways."""
        self.answers_are_lost = False
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open.add(far_writer)
        if self._server is None:  # it was cut meanwhile
            far_writer.transport.abort()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, far_writer))
                tasks.create_task(self._pass(far_reader, writer, is_answer=True))
        finally:
            self._open -= {writer, far_writer}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        # Either end may go at any moment: that is what this is for.
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if is_answer and self.answers_are_lost:
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()
