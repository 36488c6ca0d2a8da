"""MCP servers, which administrators add for everybody. The callers have checked that one asks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict, NotFound
from persistence.changes import change_or_not_found
from persistence.tables import McpServer, User

_TAKEN = "There is a server of this name already."


async def list_all(session: AsyncSession, *, enabled_only: bool = False) -> Sequence[McpServer]:
    """Return the servers by name."""
    query = select(McpServer).order_by(McpServer.name)
    if enabled_only:
        query = query.where(McpServer.enabled)
    return (await session.execute(query)).scalars().all()


async def get(session: AsyncSession, server_id: UUID) -> McpServer:
    """Return a server. Raises NotFound."""
    row = await session.get(McpServer, server_id)
    if row is None:
        raise NotFound
    return row


async def create(session: AsyncSession, values: Mapping[str, Any]) -> McpServer:
    """Add a server. Raises Conflict where the name is taken."""
    row = McpServer(**values)
    session.add(row)
    await _flush(session)
    await session.refresh(row)
    return row


async def change(session: AsyncSession, server_id: UUID, values: Mapping[str, Any]) -> McpServer:
    """Change a server. Raises NotFound, and Conflict where the name is taken."""
    row = await get(session, server_id)
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = datetime.now(UTC)
    await _flush(session)
    return row


async def _flush(session: AsyncSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_mcp_servers_name" in str(error.orig):
            raise Conflict.because("server_taken", _TAKEN) from None
        raise


async def remove(session: AsyncSession, server_id: UUID) -> None:
    """Delete a server. Raises NotFound."""
    await change_or_not_found(session, delete(McpServer).where(McpServer.id == server_id))


async def note_check(
    session: AsyncSession, server_id: UUID, tools: Sequence[Mapping[str, Any]] | None, error: str | None
) -> None:
    """Keep what a server told of its tools, or why it could not be asked: then the tools stay as they were known."""
    values: dict[str, Any] = {"error": error, "checked_at": func.clock_timestamp()}
    if tools is not None:
        values["tools"] = list(tools)
    await session.execute(update(McpServer).where(McpServer.id == server_id).values(values))


async def take_stale(session: AsyncSession, older_than: float) -> Sequence[McpServer]:
    """Return the servers that nobody has asked for some seconds; the caller asks them now, and no other process."""
    old = func.clock_timestamp() - text("make_interval(secs => :old)").bindparams(old=older_than)
    query = (
        update(McpServer)
        .where(McpServer.enabled, or_(McpServer.checked_at.is_(None), McpServer.checked_at < old))
        .values(checked_at=func.clock_timestamp())
        .returning(McpServer)
    )
    return (await session.execute(query)).scalars().all()


async def verified_email(session: AsyncSession, user_id: UUID) -> str | None:
    """Return the address by which a server may know who asks, None where nobody knows that it is theirs."""
    email: str | None = await session.scalar(select(User.email).where(User.id == user_id, User.is_verified))
    return email
