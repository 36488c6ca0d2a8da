"""Changes that have to meet a row."""

from typing import Any

from sqlalchemy import Delete, Result, Update, literal_column
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound


async def change_or_not_found(session: AsyncSession, statement: Delete | Update) -> None:
    """Run a DELETE or an UPDATE whose conditions say whose the row has to be. Raises NotFound where it met none."""
    met: Result[Any] = await session.execute(statement.returning(literal_column("1")))
    if met.first() is None:
        raise NotFound
