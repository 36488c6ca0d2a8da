"""The database's address as operators paste it: every command takes what a managed service gives."""

import asyncio
import contextlib
import random
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import psycopg
import pytest

from llama_service.dsn import PostgresDsn
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.runtime.process import Child, ChildSpec, base_environment, free_port
from tests.integration.runtime.supervisors import ROOT
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

USER, PASSWORD = "app user", "p@ss:w/rd?#%é&="
# An address of its own on loopback, where nobody else listens at Postgres's port.
HOST = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"


@dataclass(frozen=True)
class Managed:
    """A Postgres as a managed service gives it: TLS by an authority of its own, passwords over the network."""

    socket_dsn: str
    authority: Path
    socket_folder: str
    door: "TlsDoor"

    def url(self, pattern: str) -> str:
        """Fill a pattern of an address."""
        account = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}"
        return pattern.format(account=account, host=HOST, ca=self.authority, socket=self.socket_folder)


def make_certificates(folder: Path) -> None:
    """Write an authority, and a certificate of it for the server."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=db")
    (folder / "ext").write_text(f"subjectAltName=IP:{HOST}")
    authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", "server.csr", *authority, "-out", "server.crt", "-extfile", "ext")


class TlsDoor:
    """What a managed service puts before Postgres: TLS on the network, in front of a server's socket.

    The embedded Postgres is built without TLS. `encrypted` counts the connections that came in.
    """

    SSL_REQUEST, GSS_REQUEST = 80877103, 80877104  # protocol 3.0, 53.2.11

    def __init__(self, socket: Path, folder: Path) -> None:
        self._socket = socket
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "server.crt", folder / "server.key")
        self.encrypted = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; what is not encrypted is turned away."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while (code := struct.unpack("!ii", await reader.readexactly(8))[1]) == self.GSS_REQUEST:
                writer.write(b"N")
            if code == self.SSL_REQUEST:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self._tls)
                self.encrypted += 1
                inner_reader, inner_writer = await asyncio.open_unix_connection(self._socket)
                await asyncio.gather(self._pass(reader, inner_writer), self._pass(inner_reader, writer))
        writer.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
async def managed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Managed]:
    folder = tmp_path_factory.mktemp("tls")
    await asyncio.to_thread(make_certificates, folder)
    async with EmbeddedPostgres(folder, folder, fsync=False) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            literal = PASSWORD.replace("'", "''")
            connection.execute(f"CREATE ROLE \"{USER}\" LOGIN SUPERUSER PASSWORD '{literal}'".encode())
            rules = folder / "postgres" / "data" / "pg_hba.conf"
            rules.write_text(f'local all "{USER}" scram-sha-256\n{rules.read_text()}')
            connection.execute("SELECT pg_reload_conf()")
        socket_folder = server.dsn.partition("host=")[2]
        door = TlsDoor(Path(socket_folder) / ".s.PGSQL.5432", folder)
        async with await asyncio.start_server(door, HOST, 5432):
            yield Managed(server.dsn, folder / "ca.pem", socket_folder, door)


ADDRESSES = {
    "postgres://": "postgres://{account}@{host}/llama",
    "require": "postgresql://{account}@{host}:5432/llama?sslmode=require",
    "prefer": "postgresql://{account}@{host}/llama?sslmode=prefer",
    "verify-full": "postgresql://{account}@{host}/llama?sslmode=verify-full&sslrootcert={ca}",
    "a driver's name": "postgresql+asyncpg://{account}@{host}/llama?sslmode=verify-ca&sslrootcert={ca}",
    "several hosts": "postgresql://{account}@127.0.0.1:9,{host}:5432/llama?target_session_attrs=read-write",
    "a socket": "postgresql://postgres@/llama?host={socket}",
    "a managed service's": (
        "postgres://{account}@{host}/llama?sslmode=require&channel_binding=prefer&connect_timeout=10"
        "&application_name=mine&keepalives=1&keepalives_idle=30&options=-c%20search_path%3Dpublic"
    ),
}


def environment(url: str, folder: Path, openai: OpenAIServer) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "DATA_DIR": str(folder / "data"),
        "JWT_SECRET_KEY": "c" * 40,
        "DEFAULT_MODEL_SOURCE": "openai",
        "MODEL_FALLBACK_SOURCES": "openai",
        "EMBEDDINGS_SOURCE": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.url,
    }


def service(folder: Path, *arguments: str, **variables: str) -> Child:
    """Return a command of the service as a process."""

    async def is_ready() -> bool:
        if "--port" not in arguments:
            return True
        async with httpx.AsyncClient() as client:
            try:
                port = arguments[arguments.index("--port") + 1]
                return (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200
            except httpx.TransportError:
                return False

    argv = [str(ROOT / ".venv" / "bin" / "python"), "-m", "llama_service", *arguments]
    env = {**base_environment(), "PYTHONPATH": str(ROOT), **variables}
    return Child(
        ChildSpec(
            name="-".join(arguments[:1]),
            argv=argv,
            env=env,
            log_dir=folder,
            is_ready=is_ready,
            ready_timeout=60,
            cwd=folder,
        )
    )


@pytest.mark.parametrize("name", ADDRESSES)
async def test_every_command_takes_it(name: str, managed: Managed, openai: OpenAIServer, tmp_path: Path) -> None:
    url = managed.url(ADDRESSES[name])
    variables = environment(url, tmp_path, openai)
    port, before = free_port(), managed.door.encrypted
    for arguments in (("migrate",), ("create-admin", "--username", f"a{port}", "--email", f"a{port}@example.com")):
        command = service(tmp_path, *arguments, **variables)
        await command.spawn()
        assert await command.wait() == 0, command.spec.log_path.read_text()
    serving = service(tmp_path, "serve", "--port", str(port), **variables)
    await serving.start()
    try:
        person = await Person.join(f"http://127.0.0.1:{port}")
        answer = await person.ask("Is anybody there?")
        assert answer["response"].startswith("You asked")
        file = await person.indexed("a.txt", b"The Falcon drill has a warranty of 37 months.")
        assert file["status"] in ("completed", "partial_success"), "the queue has reached the database too"
        states = await person.get(f"/conversations/{answer['conversation_id']}/checkpoints")
        assert states["items"]
        await person.close()
    finally:
        await serving.stop()
    # Pools of two drivers, the listener, the queue, the migrations: all came through the door.
    assert managed.door.encrypted - before >= 8 or name == "a socket"
    assert PASSWORD not in serving.spec.log_path.read_text()


async def test_a_certificate_that_can_not_be_verified_is_refused(
    managed: Managed, openai: OpenAIServer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    await asyncio.to_thread(make_certificates, other)
    url = managed.url(ADDRESSES["verify-full"]).replace(str(managed.authority), str(other / "ca.pem"))
    command = service(tmp_path, "migrate", **environment(url, tmp_path, openai))
    await command.spawn()
    assert await command.wait() != 0
    with pytest.raises(Exception, match=r"(?i)certificate"):
        await asyncpg.connect(**PostgresDsn.of(url).asyncpg())
