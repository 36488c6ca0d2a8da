"""A database host that vanishes without a word (power cut, partition): what waited for it goes on soon."""

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import text

from llama_service.dsn import PostgresDsn
from persistence.checkpoints import Pool, checkpoint_pool
from persistence.session import DATABASE_AWAY, Database, Statement
from tests.support import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="packets are dropped by a socket filter of Linux")
AWAY = (*DATABASE_AWAY, psycopg.Error)
LONGEST = 25.0  # seconds: 10 to 15, on a machine that may be busy
SO_ATTACH_FILTER = 26


class Host:
    """An address of Postgres whose connections so far can go silent: no packet of them is answered any more.

    Packets are dropped before the system acknowledges them, as where there is no machine. New connections work: a
    name leads to another machine by then.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        self._connections += [writer, inner_writer]
        for there, back in ((reader, inner_writer), (inner_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pass(there, back)))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

    def vanish(self) -> None:
        code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # classic BPF: return 0, keep nothing
        for writer in self._connections:
            transport_socket = writer.get_extra_info("socket")
            if transport_socket.family == socket.AF_INET:
                program = struct.pack("HL", 1, ctypes.addressof(code))
                transport_socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    async def close(self) -> None:
        for writer in self._connections:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)


@pytest.fixture
async def host(postgres: str) -> AsyncIterator[tuple[Host, str]]:
    """A host that may vanish, and the database's address there."""
    made = Host(parse_qs(urlsplit(postgres).query)["host"][0] + "/.s.PGSQL.5432")
    async with await asyncio.start_server(made, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield made, f"postgresql://postgres@127.0.0.1:{port}/llama?sslmode=disable"
        await made.close()


async def in_a_transaction(pools: Database, _: Pool, sql: str) -> None:
    async with pools.transaction() as session:
        await session.execute(text(sql))


async def raw(pools: Database, _: Pool, sql: str) -> None:
    async with pools.raw(transaction=False) as connection:
        await connection.rows(Statement(sql), {})


async def by_the_saver(_: Database, saver: Pool, sql: str) -> None:
    async with saver.connection() as connection:
        await connection.execute(sql.encode())


Way = Callable[[Database, Pool, str], Coroutine[Any, Any, None]]
WAYS: list[Way] = [in_a_transaction, raw, by_the_saver]


async def until_done(way: Way, pools: Database, saver: Pool) -> None:
    while True:
        with contextlib.suppress(*AWAY):
            await way(pools, saver, "SELECT 1")
            return
        await asyncio.sleep(0.1)


async def test_nobody_waits_for_it(host: tuple[Host, str], postgres: str) -> None:
    machine, address = host
    pools = Database(PostgresDsn.of(address), pool_size=4)
    saver = checkpoint_pool(PostgresDsn.of(address), 2)
    await saver.open()
    # Of each way a connection with a statement that goes on, and an idle one.
    await asyncio.gather(*(way(pools, saver, "SELECT pg_sleep(0.2)") for way in WAYS for _ in range(2)))
    under_way = [asyncio.create_task(way(pools, saver, "SELECT pg_sleep(600) /* vanishes */")) for way in WAYS]
    with psycopg.connect(postgres, autocommit=True) as others:
        sleeping = "FROM pg_stat_activity WHERE query LIKE '%vanishes */' AND wait_event = 'PgSleep'"

        async def all_sleep() -> bool:
            return len(others.execute(f"SELECT pid {sleeping}".encode()).fetchall()) == len(WAYS)

        await eventually(all_sleep)
        machine.vanish()
        new = [asyncio.create_task(until_done(way, pools, saver)) for way in WAYS]
        _, hanging = await asyncio.wait([*under_way, *new], timeout=LONGEST)
        others.execute(f"SELECT pg_terminate_backend(pid) {sleeping}".encode())
    await machine.close()
    outcomes = await asyncio.gather(*under_way, *new, return_exceptions=True)
    await saver.close()
    await pools.close()
    assert not hanging
    assert all(isinstance(outcome, AWAY) for outcome in outcomes[: len(WAYS)]), outcomes
    assert outcomes[len(WAYS) :] == [None] * len(WAYS)
