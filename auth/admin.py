"""Make administrators from the command line."""

import asyncio

from sqlalchemy import select

from auth.passwords import PasswordHasher
from auth.schemas import UserCreate
from auth.users import UserManager
from llama_service.errors import Conflict
from llama_service.settings import Settings
from persistence.session import Database
from persistence.tables import User


def has_admin(settings: Settings) -> bool:
    """Whether the database has an active administrator."""
    return asyncio.run(_has_admin(settings))


def create_admin(settings: Settings, username: str, email: str, password: str) -> bool:
    """Create an administrator; return False where the name or the address is taken.

    Raises ValidationFailed for a password that is too weak.
    """
    return asyncio.run(_create_admin(settings, username, email, password))


async def _has_admin(settings: Settings) -> bool:
    database = Database(settings.postgres, 1)
    try:
        async with database.transaction() as session:
            query = select(User.id).where(User.is_superuser, User.is_active).limit(1)
            return await session.scalar(query) is not None
    finally:
        await database.close()


async def _create_admin(settings: Settings, username: str, email: str, password: str) -> bool:
    database = Database(settings.postgres, 1)
    try:
        async with database.transaction() as session:
            wanted = UserCreate(username=username, email=email, password=password, is_superuser=True, is_verified=True)
            await UserManager(session, PasswordHasher()).create(wanted)
        return True
    except Conflict:
        return False
    finally:
        await database.close()
