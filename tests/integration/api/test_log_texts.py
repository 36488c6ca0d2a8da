"""What people say is in no line of the log, also where a database refuses it and says why."""

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
import structlog
from sqlalchemy import text
from structlog.stdlib import ProcessorFormatter

from llama_service.dsn import PostgresDsn
from llama_service.settings import Settings
from persistence.checkpoints import checkpoint_pool
from persistence.session import Database as Pools
from persistence.session import Statement
from tests.support import Person, new_database

SECRET = "the patient has measles"


@pytest.fixture
def logged(settings: Settings) -> Iterator[io.StringIO]:
    """What the process logs, as an operator reads it."""
    root, told = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(told)
    handler.setFormatter(next(one.formatter for one in root.handlers if isinstance(one.formatter, ProcessorFormatter)))
    root.addHandler(handler)
    yield told
    root.removeHandler(handler)


@pytest.fixture
def address(postgres: str) -> str:
    """A database with a table of texts."""
    made = new_database(postgres, "said")
    with psycopg.connect(made) as connection:
        connection.execute("CREATE TABLE said (words text UNIQUE, length int)")
        connection.execute("INSERT INTO said VALUES (%s)", (SECRET,))
    return made


@asynccontextmanager
async def pools(address: str) -> AsyncIterator[Pools]:
    made = Pools(PostgresDsn.of(address), pool_size=2)
    try:
        yield made
    finally:
        await made.close()


async def by_the_orm(address: str, sql: str, value: str) -> None:
    async with pools(address) as made, made.reading() as session:
        await session.execute(text(sql.replace("$1", ":value")), {"value": value})


async def by_raw_statements(address: str, sql: str, value: str) -> None:
    async with pools(address) as made, made.raw(transaction=False) as connection:
        await connection.rows(Statement(sql.replace("$1", ":value")), {"value": value})


async def by_the_saver(address: str, sql: str, value: str) -> None:
    async with checkpoint_pool(PostgresDsn.of(address), 1) as pool, pool.connection() as connection:
        await connection.execute(sql.replace("$1", "%s").encode(), (value,))


Path = Callable[[str, str, str], Awaitable[None]]
REFUSED = {
    "a character that Postgres can't keep": ("INSERT INTO said VALUES ($1)", f"{SECRET}\x00"),
    "half a character": ("INSERT INTO said VALUES ($1)", f"{SECRET} \ud83d"),
    "a row that is there": ("INSERT INTO said VALUES ($1)", SECRET),
    "no number": ("INSERT INTO said (length) VALUES (CAST(CAST($1 AS text) AS int))", SECRET),
    "no JSON": ("SELECT CAST(CAST($1 AS text) AS jsonb)", f'{{"a": {SECRET}}}'),
}


@pytest.mark.parametrize("refusal", REFUSED)
@pytest.mark.parametrize("path", [by_the_orm, by_raw_statements, by_the_saver])
async def test_what_a_database_refuses_is_not_quoted(
    path: Path, refusal: str, address: str, logged: io.StringIO
) -> None:
    sql, value = REFUSED[refusal]
    try:
        await path(address, sql, value)
    except Exception:
        structlog.get_logger("test").exception("refused")
    told = logged.getvalue()
    assert "Traceback" in told
    assert "measles" not in told


async def test_an_import_that_the_database_refuses_is_not_quoted(anna: Person, logged: io.StringIO) -> None:
    step = {"id": "1", "name": "n", "title": "t", "arguments": {"a\x00": 1}, "status": "done"}
    message = {"id": "2", "role": "assistant", "content": SECRET, "steps": [step]}
    saved = {"format": "llama-service/conversation", "version": 1, "conversation": {"title": "x"}}
    await anna.http.post("/conversations/import", content=json.dumps(saved | {"messages": [message]}))
    assert "measles" not in logged.getvalue()
