"""Announcements: what administrators tell everybody."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict
from persistence.changes import change_or_not_found
from persistence.tables import Announcement

MOST = 20


async def current(session: AsyncSession) -> Sequence[Announcement]:
    """Return what is told now, newest first."""
    lasts = or_(Announcement.until.is_(None), Announcement.until > func.clock_timestamp())
    return (await session.execute(select(Announcement).where(lasts).order_by(Announcement.id.desc()))).scalars().all()


async def create(session: AsyncSession, *, text: str, is_warning: bool, until: datetime | None) -> Announcement:
    """Tell everybody something. Raises Conflict where very much is told already. For administrators."""
    if len(await current(session)) >= MOST:
        raise Conflict.because("too_many_announcements", f"{MOST} things are told already; take one back.", limit=MOST)
    row = Announcement(text=text, is_warning=is_warning, until=until)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def remove(session: AsyncSession, announcement_id: UUID) -> None:
    """Take something back. Raises NotFound. For administrators."""
    await change_or_not_found(session, delete(Announcement).where(Announcement.id == announcement_id))
