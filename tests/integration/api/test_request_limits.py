"""What is too long is refused while it comes in: nobody has said yet who they are."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from api.protocol import MAX_HEAD
from llama_service.settings import Settings
from tests.integration.api.test_auth import envelope
from tests.support import Person, Server, eventually, serving

MB = 1024 * 1024


async def until_closed(server: Server, head: bytes, part: bytes, most: int) -> tuple[int, bytes]:
    """Send a head and then one part after the other; return how many bytes were sent, and what was answered."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    sent = 0
    writer.write(head)
    try:
        while sent < most and not reader.at_eof():
            writer.write(part)
            await writer.drain()
            sent += len(part)
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.read(4096), 10)
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    return sent, answer


@pytest.mark.parametrize("part", [b"X-Filler: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
async def test_a_head_without_end_is_cut_off(server: Server, part: bytes) -> None:
    """Many headers, and one that does not end."""
    sent, answer = await until_closed(server, b"GET /health HTTP/1.1\r\nHost: x\r\nX-First: ", part, 64 * MB)
    assert sent < 16 * MB
    assert answer[:12] in (b"HTTP/1.1 431", b"")
    async with httpx.AsyncClient(base_url=server.url) as http:
        long = await http.get("/health", headers={"X-Filler": "a" * (MAX_HEAD - 1000)})
    assert long.status_code == 200


@pytest.mark.parametrize("part", [b"X-Filler: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
async def test_trailers_without_end_are_cut_off(server: Server, part: bytes) -> None:
    """Headers behind a body that comes in chunks, which nobody reads."""
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-First: "
    sent, _ = await until_closed(server, head, part, 64 * MB)
    assert sent < 16 * MB


@pytest.mark.parametrize(
    "path", ["/api/v1/auth/login", "/api/v1/auth/register", "/api/v1/auth/refresh", "/v1/chat/completions"]
)
@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_body_that_is_too_long_is_cut_off(server: Server, path: str, framing: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    part = b"a" * 65536
    if framing == "chunked":
        head += "Transfer-Encoding: chunked\r\n\r\n"
        part = b"10000\r\n" + part + b"\r\n"
    else:
        head += f"Content-Length: {400 * MB}\r\n\r\n"
    sent, answer = await until_closed(server, head.encode(), part, 400 * MB)
    assert sent < 64 * MB
    assert answer[:12] in (b"HTTP/1.1 413", b"")


async def test_the_refusal_is_told_in_the_envelope_before_anything_is_sent(server: Server) -> None:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (5 * MB))
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    assert (head[:12], json.loads(body)["error"]["code"]) == (b"HTTP/1.1 413", "file_too_large")
    assert b"x-content-type-options: nosniff" in head.lower()
    assert b"connection: close" in head.lower()


async def test_what_has_limits_of_its_own_keeps_them(anna: Person) -> None:
    """An upload and an import may be longer than a request otherwise."""
    file = await anna.upload("damaged.pdf", b"%PDF-1.7\n" + bytes(5 * MB))
    assert file["size"] > 4 * MB
    refused = await anna.http.post("/conversations/import", content=b"[" + b" " * (5 * MB) + b"]")
    assert refused.status_code in (201, 400, 422), refused.text
    too_long = await anna.http.post("/conversations/import", content=b" " * (9 * MB))
    assert (too_long.status_code, envelope(too_long)["code"]) == (413, "file_too_large")


async def test_the_longest_message_fits(anna: Person) -> None:
    body = json.dumps({"message": "\u20ac" * 32_000}).encode()
    answer = await anna.http.post("/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code != 413


class Mailbox:
    """A mail server that takes everything: just enough of SMTP for one mail a connection."""

    def __init__(self) -> None:
        self.recipients: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                self.recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 ok\r\n")
        writer.close()


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, int]]:
    made = Mailbox()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()


async def test_nobodys_mailbox_is_filled_by_who_knows_the_address(
    settings: Settings, mailbox: tuple[Mailbox, int]
) -> None:
    box, port = mailbox
    changes = {"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}"), "inline_worker": False}
    async with serving(settings.model_copy(update=changes)) as running:
        anna, boris = await Person.join(running.url), await Person.join(running.url)
        for address in (anna.email, anna.email, anna.name, anna.email.upper(), boris.email):
            answer = await boris.http.post("/auth/forgot-password", json={"email": address})
            assert answer.status_code in (202, 422)

        async def both() -> bool:
            return boris.email in box.recipients

        await eventually(both)
        assert box.recipients.count(anna.email) == 1
        await anna.close()
        await boris.close()
