"""Shapes of accounts on the wire."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi_users import schemas
from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field

from llama_service.errors import InvalidValue

_NAME = re.compile(r"[\w.\-]{3,64}")


def _user_name(value: str) -> str:
    value = value.strip()
    if not _NAME.fullmatch(value):
        raise InvalidValue("user_name", "3 to 64 letters, digits, dots, dashes or underscores")
    return value


UserName = Annotated[str, AfterValidator(_user_name)]


class UserRead(BaseModel):
    """An account, as its owner and administrators see it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    username: str
    email: str
    is_active: bool
    is_superuser: bool
    is_verified: bool = Field(description="Whether the e-mail address is known to be theirs")
    created_at: datetime


class UserCreate(schemas.BaseUserCreate):
    """What an account is made of."""

    username: UserName


class Registration(BaseModel):
    """A request for an account."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"username": "anna", "email": "anna@example.com", "password": "a long passphrase"}
        }
    )

    username: UserName
    email: EmailStr
    password: str = Field(min_length=8, max_length=256)
    invitation: str | None = Field(default=None, max_length=100, description="The token of an invitation's link")
