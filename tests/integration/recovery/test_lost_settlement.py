"""A settlement whose answer is lost with the connection is repeated, and counted once."""

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest

from llama_service.dsn import PostgresDsn
from persistence.budgets import BudgetKeeper
from persistence.session import Database
from persistence.spending import Spent
from tests.support import eventually, migrated_database

COMMITTED = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, no transaction is open (protocol 3.0, 53.7)


class Cutter:
    """Leads to Postgres. The first committed UPDATE ends the connection before its client hears of it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.cuts = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        await asyncio.gather(self._pass(reader, inner_writer), self._pass(inner_reader, writer, cuts=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, cuts: bool = False) -> None:
        has_updated = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                has_updated = has_updated or b"UPDATE 1\x00" in data
                if cuts and has_updated and data.endswith(COMMITTED) and not self.cuts:
                    self.cuts += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.mark.parametrize("has_lapsed", [False, True])
async def test_it_is_counted_once(has_lapsed: bool, postgres: str) -> None:
    address = await migrated_database(postgres, "settled")
    cutter = Cutter(parse_qs(urlsplit(address).query)["host"][0] + "/.s.PGSQL.5432")
    async with await asyncio.start_server(cutter, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        name = urlsplit(address).path
        pools = Database(PostgresDsn.of(f"postgresql://postgres@127.0.0.1:{port}{name}?sslmode=disable"), pool_size=2)
        keeper = BudgetKeeper(pools)
        with psycopg.connect(address, autocommit=True) as database:
            database.execute(
                "INSERT INTO budgets (id, each, period, tokens) VALUES (%s, true, 'month', 10000)", [uuid4()]
            )
            grant = await keeper.reserve(UUID(int=1), 100, 100, None)
            if has_lapsed:
                database.execute("UPDATE budget_use SET tokens = 0")
                database.execute("DELETE FROM budget_reservations")
            keeper.settle(grant, Spent(150, was_asked=True))

            async def is_settled() -> bool:
                return cutter.cuts == 1 and not keeper._settling

            await eventually(is_settled)
            assert database.execute("SELECT tokens, requests FROM budget_use").fetchall() == [(150, 1)]
            assert database.execute("SELECT count(*) FROM budget_reservations").fetchall() == [(0,)]
        await pools.close()
