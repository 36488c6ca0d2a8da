"""The database engine and the one place where a transaction is committed."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import orjson
import structlog
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from llama_service.dsn import PostgresDsn
from llama_service.errors import AppError, Conflict, LegalHold, NotFound
from llama_service.settings import SettingsError

log = structlog.get_logger(__name__)

IDLE = 3.0  # seconds


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


def _remember(_: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _look(connection: Any, record: Any, _: Any) -> None:
    """Have a connection replaced whose server has gone; ask a server where it was not used for a while.

    A restarted Postgres must not cost the next caller an error; SQLAlchemy's own ping is three round trips each time.
    """
    if record.driver_connection.is_closed():
        raise DisconnectionError
    if time.monotonic() - record.info.get("used", time.monotonic()) > IDLE:
        try:
            connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=5))
        except (OSError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError) as lost:
            raise DisconnectionError from lost


def _forget_read_only(context: ExceptionContext) -> None:
    """Close connections to a server that takes no writes any more: one of several hosts may by now."""
    if isinstance(getattr(context.original_exception, "__cause__", None), asyncpg.ReadOnlySQLTransactionError):
        context.is_disconnect = True


# What the drivers raise where the database is away, has no room for one more, or takes no writes, as while another
# server takes its place. OSError: no socket, no connection.
DATABASE_AWAY: tuple[type[Exception], ...] = (
    OSError,
    OperationalError,
    InterfaceError,
    PoolTimeout,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


# What Postgres refuses because of what others do at the same moment. Who was looked up before is gone, or there by now.
_REFUSED: Mapping[str | None, type[AppError]] = {
    "LH001": LegalHold,  # of the triggers that refuse to delete what is held (migration 0016)
    "23503": NotFound,  # foreign_key_violation: what is referred to was deleted
    "23505": Conflict,  # unique_violation
}


@contextmanager
def _errors_by_name() -> Iterator[None]:
    """Raise errors of ours where Postgres refuses (NotFound, Conflict, LegalHold), ConnectionError where it was lost.

    SQLAlchemy wraps what asyncpg raises in classes that stand for several things (DBAPIError, InternalError), so that
    nobody could tell a restart of Postgres from a fault of ours.
    """
    try:
        yield
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        refusal = _REFUSED.get(getattr(cause, "sqlstate", None))
        if refusal is not None:
            log.info("refused_by_database", error=refusal.code, constraint=getattr(cause, "constraint_name", None))
            raise refusal from error
        if error.connection_invalidated or isinstance(cause, DATABASE_AWAY):
            raise ConnectionError("the connection to Postgres is lost") from error
        raise


class Statement:
    """SQL with `:names`, written once for asyncpg's numbered parameters."""

    def __init__(self, sql: str) -> None:
        self.names: list[str] = []
        self.sql = re.sub(r"(?<!:):([a-z_]+)", self._number, sql)

    def _number(self, match: re.Match[str]) -> str:
        if match[1] not in self.names:
            self.names.append(match[1])
        return f"${self.names.index(match[1]) + 1}"


class RawConnection:
    """A connection for the few statements that every turn runs: ten times less work around each than the ORM's."""

    def __init__(self, connection: Any, counted: Callable[[], None]) -> None:
        self._connection = connection
        self._counted = counted

    async def rows(self, statement: Statement, values: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows; columns are read by name (`row["id"]`)."""
        self._counted()
        found: list[Any] = await self._connection.fetch(statement.sql, *[values[name] for name in statement.names])
        return found

    async def row(self, statement: Statement, values: Mapping[str, Any]) -> Any | None:
        """Run a statement and return its only row, or None."""
        found = await self.rows(statement, values)
        return found[0] if found else None


class StatelessConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection without settings, locks or listeners: given back, it costs no round trip.

    What asyncpg does besides stays: a transaction that was cancelled at its BEGIN or COMMIT is rolled back. Left open,
    it would take in what the next ones write, tell them that it is written, and lose it.
    """

    used = 0.0

    def get_reset_query(self) -> str:
        """Return the SQL that forgets settings, locks and listeners: none, nobody makes any."""
        return ""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  (asyncpg's signature)
        """Roll back what is open, and remember when it was used."""
        self.used = time.monotonic()
        await super().reset(timeout=timeout)


async def _alive(connection: Any) -> None:
    if connection.used and time.monotonic() - connection.used > IDLE:
        await connection.execute("SELECT 1", timeout=5)


async def check_no_pooler(dsn: PostgresDsn) -> None:
    """Raise SettingsError where a pooler in transaction mode stands before the database and nothing says so.

    A database that is away is no reason: it may come.
    """
    try:
        connection = await asyncpg.connect(**dsn.asyncpg(jit="off"))
    except asyncpg.ProtocolViolationError as refused:
        if "startup parameter" in str(refused):
            raise SettingsError(
                "DATABASE_URL leads to a pooler (PgBouncer): set DATABASE_SESSION_URL to the address of the database "
                "itself, for what needs a session"
            ) from None
        raise
    except (OSError, asyncpg.PostgresError):
        return
    await connection.close()


class Database:
    """Connections, `pool_size` of them at most: half for the ORM's sessions, half for raw statements.

    Every unit of work is one `transaction()`: all of it lands or none.
    """

    def __init__(self, dsn: PostgresDsn, pool_size: int = 10) -> None:
        half = max(1, pool_size // 2)
        # asyncpg reads the operator's string itself: SQLAlchemy's dialect would hand its options on as arguments.
        self._arguments = dsn.asyncpg(jit="off")
        self._socket_options = dsn.socket_options()
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=max(1, pool_size - half),
            max_overflow=0,
            pool_timeout=10,
            json_serializer=_dumps,
            json_deserializer=orjson.loads,
            hide_parameters=True,  # which messages are among
        )
        event.listen(self.engine.sync_engine, "checkout", _look)
        event.listen(self.engine.sync_engine, "checkin", _remember)
        event.listen(self.engine.sync_engine, "handle_error", _forget_read_only)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._size = half
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self.raw_statements = 0

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(**self._arguments)
        await self._watch(connection)
        return connection

    async def _watch(self, connection: Any) -> None:
        """Have the system tell of a host that has vanished. asyncpg knows no options of sockets."""
        transport_socket = connection._transport.get_extra_info("socket")
        if transport_socket.family != socket.AF_UNIX:
            for option in self._socket_options:
                transport_socket.setsockopt(*option)

    async def _raw_pool(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    **self._arguments,
                    min_size=1,
                    max_size=self._size,
                    connection_class=StatelessConnection,
                    init=self._watch,
                    setup=_alive,
                    command_timeout=30,
                )
            return self._pool

    def _count(self) -> None:
        self.raw_statements += 1

    def pools(self) -> dict[str, dict[str, int]]:
        """Return by pool how many connections are busy and idle, and how many there may be."""
        orm: Any = self.engine.sync_engine.pool
        size, idle = (self._pool.get_size(), self._pool.get_idle_size()) if self._pool is not None else (0, 0)
        return {
            "orm": {"busy": orm.checkedout(), "idle": orm.checkedin(), "most": orm.size()},
            "raw": {"busy": size - idle, "idle": idle, "most": self._size},
        }

    @asynccontextmanager
    async def raw(self, *, transaction: bool = True) -> AsyncIterator[RawConnection]:
        """Yield a connection for `Statement`s, in a transaction of its own (or none, for a single one)."""
        pool = self._pool or await self._raw_pool()
        connection = await self._acquired(pool)
        try:
            if transaction:
                async with connection.transaction():
                    yield RawConnection(connection, self._count)
            else:
                yield RawConnection(connection, self._count)
        except asyncpg.ReadOnlySQLTransactionError:
            await pool.expire_connections()
            raise
        except RuntimeError as gone:
            if not connection.is_closed():
                raise
            # What uvloop says of a transport that has gone.
            raise ConnectionError("the connection to Postgres is lost") from gone
        finally:
            # A statement that was cancelled is waited for here; asyncpg closes the connection where that takes longer.
            await pool.release(connection, timeout=5)

    async def _acquired(self, pool: Any) -> Any:
        """Return a live connection. After Postgres was restarted each pooled one may turn out to be dead, once."""
        # asyncpg's own time-out makes a task for each call.
        async with asyncio.timeout(10):
            for _ in range(self._size):
                try:
                    return await pool.acquire()
                except (OSError, RuntimeError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
                    # uvloop raises RuntimeError on a transport that has gone.
                    continue
            return await pool.acquire()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Yield a session; commit when the block ends, roll back when it raises."""
        with _errors_by_name():
            async with AsyncSession(self.engine, expire_on_commit=False) as session:
                yield session
                await session.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for single statements: no BEGIN and COMMIT around them, nothing to roll back."""
        with _errors_by_name():
            async with AsyncSession(self._autocommit, expire_on_commit=False) as session:
                yield session

    async def close(self) -> None:
        """Close every pooled connection."""
        if self._pool is not None:
            await self._pool.close()
        await self.engine.dispose()
