"""FastAPI-Users' manager, with what it lacks: user names, hashing off the loop, one transaction per request."""

from typing import Any
from uuid import UUID

from fastapi import Request
from fastapi_users import BaseUserManager, InvalidPasswordException, UUIDIDMixin, exceptions, schemas
from fastapi_users_db_sqlalchemy import SQLAlchemyUserDatabase
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from auth.passwords import PasswordHasher
from llama_service.errors import Conflict, ValidationFailed
from persistence.tables import User

MIN_PASSWORD = 8
MAX_PASSWORD = 256
NO_PASSWORD = ""  # in place of a hash: this account is signed in to through a provider only


def _taken(column: str) -> Conflict:
    words = {"username": "user name", "email": "e-mail address"}[column]
    return Conflict.because(f"{column}_taken", f"This {words} is taken.", field=column)


class UserDatabase(SQLAlchemyUserDatabase[User, UUID]):  # type: ignore[type-var]  # our own table class
    """FastAPI-Users' adapter, flushing where the original commits: the request is the unit of work."""

    async def create(self, create_dict: dict[str, Any]) -> User:
        """Insert an account. Raises Conflict where the name or the address is taken, also in a race."""
        user = User(**create_dict)
        self.session.add(user)
        await self._flush()
        await self.session.refresh(user)
        return user

    async def update(self, user: User, update_dict: dict[str, Any]) -> User:
        """Change an account. Raises Conflict as `create` does."""
        for key, value in update_dict.items():
            setattr(user, key, value)
        self.session.add(user)
        await self._flush()
        return user

    async def delete(self, user: User) -> None:
        """Delete an account and, by cascade, everything in the database that it owns."""
        await self.session.delete(user)
        await self.session.flush()

    async def get_by_name(self, name: str) -> User | None:
        """Return the account of this user name or e-mail address, in any case of letters."""
        column = User.email if "@" in name else User.username
        return (await self.session.execute(select(User).where(func.lower(column) == name.lower()))).scalar_one_or_none()

    async def _flush(self) -> None:
        try:
            await self.session.flush()
        except IntegrityError as error:
            raise _taken("email" if "email" in str(error.orig) else "username") from None


class UserManager(UUIDIDMixin, BaseUserManager[User, UUID]):  # type: ignore[type-var]  # our own table class
    """Creates, finds and changes accounts."""

    user_db: UserDatabase

    def __init__(self, session: AsyncSession, hasher: PasswordHasher) -> None:
        super().__init__(UserDatabase(session, User))
        self.hasher = hasher

    async def validate_password(self, password: str, user: Any) -> None:
        """Refuse passwords that are too short, too long, or the account's own name."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise InvalidPasswordException(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
        if password.lower() in {user.username.lower(), user.email.lower()}:
            raise InvalidPasswordException("a password must differ from the name")

    async def checked(self, password: str, user: Any, field: str = "password") -> str:
        """Return the hash of a password that satisfies the rules. Raises ValidationFailed."""
        try:
            await self.validate_password(password, user)
        except InvalidPasswordException as refused:
            code = "password_is_name" if MIN_PASSWORD <= len(password) <= MAX_PASSWORD else "password_length"
            detail = {"loc": ["body", field], "msg": str(refused.reason), "type": "value_error", "code": code}
            raise ValidationFailed(details=[detail]) from None
        return await self.hasher.hash(password)

    async def create(
        self, user_create: schemas.BaseUserCreate, safe: bool = False, request: Request | None = None
    ) -> User:
        """Create an account. Raises Conflict, ValidationFailed."""
        make = user_create.create_update_dict if safe else user_create.create_update_dict_superuser
        values: dict[str, Any] = make()  # type: ignore[no-untyped-call]  # FastAPI-Users leaves these untyped
        password = values.pop("password")
        for column in (User.username, User.email):
            wanted = values[column.key].lower()
            found = await self.user_db.session.scalar(select(User.id).where(func.lower(column) == wanted))
            if found is not None:
                raise _taken(column.key)
        values["hashed_password"] = await self.checked(password, user_create)
        user = await self.user_db.create(values)
        await self.on_after_register(user, request)
        return user

    async def by_id(self, user_id: UUID) -> User | None:
        """Return the account, or None."""
        try:
            return await self.get(user_id)
        except exceptions.UserNotExists:
            return None
