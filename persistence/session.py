"""The database engine and the one place where a transaction is committed."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

IDLE = 3.0  # seconds


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


def _remember(_: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _look_at_idle(connection: Any, record: Any, _: Any) -> None:
    """Look whether a connection is alive where it was not used for a while.

    A restarted Postgres must not cost the next caller an error; SQLAlchemy's own ping is three round trips each time.
    """
    if time.monotonic() - record.info.get("used", time.monotonic()) > IDLE:
        try:
            connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=5))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as lost:
            raise DisconnectionError from lost


class Database:
    """A pool of connections. Every unit of work is one `transaction()`: all of it lands or none."""

    def __init__(self, dsn: str, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            dsn,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            json_serializer=_dumps,
            json_deserializer=orjson.loads,
            connect_args={"server_settings": {"application_name": "llama-service", "jit": "off"}},
        )
        event.listen(self.engine.sync_engine, "checkout", _look_at_idle)
        event.listen(self.engine.sync_engine, "checkin", _remember)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Yield a session; commit when the block ends, roll back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for single statements: no BEGIN and COMMIT around them, nothing to roll back."""
        async with AsyncSession(self._autocommit, expire_on_commit=False) as session:
            yield session

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()
