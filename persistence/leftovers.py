"""Bytes that no file may have any more. They are noted with the rows that change, and removed after those have."""

from collections.abc import Sequence

import structlog
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import DependencyUnavailable
from persistence.blobs import BlobStore
from persistence.session import Database
from persistence.tables import BlobLeftover, File

log = structlog.get_logger(__name__)

BACKUP_LOCK = "backup"
"""Who saves everything holds this advisory lock: no bytes are removed meanwhile, a list of them was made."""
_AT_ONCE = 500
# Seconds. Who made a leftover looks at it at once; an upload on its way to a bucket has this long before its bytes are
# looked at, and sends them again where they are gone.
_LEFT_ALONE = 600.0


_NO_BACKUP = text("SELECT pg_try_advisory_xact_lock_shared(hashtextextended(:key, 0))")


def blob_key(sha256: str) -> str:
    """Return what `alone` is to lock for an upload of these bytes, or their removal."""
    return f"blob {sha256}"


async def lock_exclusively(session: AsyncSession, *keys: str) -> None:
    """Let one transaction at a time do what these keys name (an upload of these bytes, their removal)."""
    for key in sorted(keys):
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


async def note(session: AsyncSession, hashes: Sequence[str]) -> None:
    """Note bytes that may be without a file once this transaction is committed."""
    rows = [{"sha256": sha256} for sha256 in hashes]
    await session.execute(upsert(BlobLeftover).values(rows).on_conflict_do_nothing())


async def remove_blobs(database: Database, blobs: BlobStore, hashes: Sequence[str]) -> int:
    """Delete the bytes of those hashes that no file has; return how many. A store that is away is tried again later."""
    removed = 0
    for sha256 in hashes:
        try:
            async with database.transaction() as session:
                if not await session.scalar(_NO_BACKUP, {"key": BACKUP_LOCK}):
                    break  # they stay noted, and go with a later sweep
                # Somebody may be uploading the same bytes right now.
                await lock_exclusively(session, blob_key(sha256))
                if await session.scalar(select(File.id).where(File.sha256 == sha256).limit(1)) is None:
                    await blobs.remove(sha256)
                    removed += 1
                await session.execute(delete(BlobLeftover).where(BlobLeftover.sha256 == sha256))
        except DependencyUnavailable:
            log.warning("blobs_left_behind", hashes=len(hashes) - removed)
            break
    return removed


async def sweep_blobs(database: Database, blobs: BlobStore, older_than: float = _LEFT_ALONE) -> int:
    """Look at what was noted some seconds ago and is still there: its process died, or the store was away.

    Return how many hashes were removed.
    """
    since = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, older_than)
    query = select(BlobLeftover.sha256).where(BlobLeftover.since <= since).limit(_AT_ONCE)
    async with database.reading() as session:
        hashes = list((await session.execute(query)).scalars())
    return await remove_blobs(database, blobs, hashes)
