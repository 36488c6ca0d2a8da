"""Checks the audit log from the command line."""

import asyncio

from sqlalchemy import select

from llama_service.settings import Settings
from persistence import audit
from persistence.session import Database
from persistence.tables import AuditEvent


def check(settings: Settings, expect: str | None) -> tuple[int, str | None, str | None]:
    """Return how many rows there are, the last one as `NUMBER:HASH`, and what is wrong; `expect` is such a row."""
    return asyncio.run(_check(settings, expect))


async def _check(settings: Settings, expect: str | None) -> tuple[int, str | None, str | None]:
    database = Database(settings.postgres, 2)
    try:
        async with database.reading() as session:
            found = await audit.verify(session)
            number, _, wanted = (expect or "").partition(":")
            kept = None
            if expect is not None and number.isdecimal():
                kept = await session.scalar(select(AuditEvent.hash).where(AuditEvent.id == int(number)))
    finally:
        await database.close()
    problem = None
    if found.broken is not None:
        problem = f"the audit log was tampered with: row {found.broken} is not what was written, or does not follow"
    elif expect is not None and number.isdecimal() and int(number) <= found.pruned:
        problem = f"row {number} went with the age limit, as all up to {found.pruned} did: compare with a newer one"
    elif expect is not None and (kept is None or kept.hex() != wanted):
        problem = f"the audit log was tampered with: row {number} is gone or is another one"
    return found.rows, f"{found.last[0]}:{found.last[1]}" if found.last else None, problem
