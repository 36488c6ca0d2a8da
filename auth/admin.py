"""Make administrators from the command line."""

import asyncio

from sqlalchemy import select

from auth import two_factor
from auth.passwords import PasswordHasher
from auth.schemas import UserCreate
from auth.users import UserManager
from llama_service.errors import Conflict
from llama_service.settings import Settings
from persistence import audit
from persistence.session import Database
from persistence.tables import User

_COMMAND_LINE = "command line"


def has_admin(settings: Settings) -> bool:
    """Whether the database has an active administrator."""
    return asyncio.run(_has_admin(settings))


def create_admin(settings: Settings, username: str, email: str, password: str) -> bool:
    """Create an administrator; return False where the name or the address is taken.

    Raises ValidationFailed for a password that is too weak.
    """
    return asyncio.run(_create_admin(settings, username, email, password))


def reset_two_factor(settings: Settings, username: str) -> bool:
    """Switch off the second factor of an account; return False where there is no such account, or none is on."""
    return asyncio.run(_reset_two_factor(settings, username))


async def _reset_two_factor(settings: Settings, username: str) -> bool:
    database = Database(settings.postgres, 1)
    try:
        async with database.transaction() as session:
            user = await UserManager(session, PasswordHasher()).user_db.get_by_name(username)
            if user is None or not await two_factor.switch_off(session, user.id):
                return False
            await audit.note(session, "two_factor_off", None, ("user", user.id), via=_COMMAND_LINE)
            return True
    finally:
        await database.close()


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
            user = await UserManager(session, PasswordHasher()).create(wanted)
            await audit.note(session, "registered", None, ("user", user.id), name=username, via=_COMMAND_LINE)
        return True
    except Conflict:
        return False
    finally:
        await database.close()
