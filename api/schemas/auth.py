"""Shapes of signing in."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, EmailStr, Field

from api.schemas.common import Body, Future, Shape
from auth.keys import Scope
from auth.schemas import UserName
from persistence.tables import Identity


class Login(Body):
    """A user name or e-mail address, and the password."""

    model_config = ConfigDict(json_schema_extra={"example": {"username": "anna", "password": "a long passphrase"}})

    username: str = Field(min_length=1, max_length=320)
    password: str = Field(min_length=1, max_length=256)
    code: str | None = Field(default=None, max_length=64, description="Of the authenticator app, or a recovery code")


class InvitationCreate(Body):
    """A link by which `uses` people make accounts, in these groups, until it expires."""

    note: str | None = Field(default=None, max_length=100, description="For whom it is; administrators see it")
    group_ids: list[UUID] = Field(default=[], max_length=100)
    uses: int = Field(default=1, ge=1, le=10_000)
    expires_at: Future | None = Field(default=None, description="A week from now where it is absent")


class InvitationRead(Shape):
    """An invitation; its link is told once, when it is made."""

    id: UUID
    note: str | None
    group_ids: list[UUID]
    uses_left: int
    expires_at: datetime
    created_at: datetime


class InvitationCreated(InvitationRead):
    """A new invitation; `token` is what its link ends with: `/sign-in?invitation={token}`."""

    token: str


class InvitationsRead(Shape):
    """All invitations, newest first."""

    items: list[InvitationRead]


class InvitationState(Shape):
    """Whether an invitation still makes an account."""

    is_good: bool


class BulkAction(Body):
    """The same done to several accounts."""

    user_ids: list[UUID] = Field(min_length=1, max_length=200)
    action: Literal["activate", "deactivate", "confirm", "sign_out", "delete"]


class BulkFailure(Shape):
    """An account that something was not done to, and why."""

    user_id: UUID
    code: str


class BulkResult(Shape):
    """Which accounts it was done to, and which not."""

    done: list[UUID]
    failed: list[BulkFailure]


class TokenPair(Shape):
    """An access token for the Authorization header; `expires_in` is in seconds. The refresh token is used once."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int
    refresh_token: str


class Refresh(Body):
    """The refresh token to spend."""

    refresh_token: str = Field(min_length=1, max_length=400)


class SignInProvider(Shape):
    """A provider to sign in through; the button says `label`, the address has `name`."""

    name: str
    label: str


class SignInMethods(Shape):
    """How one can sign in, and whether one can make an account."""

    password: bool
    registration: bool
    oidc: list[SignInProvider]


class IdentityRead(Shape):
    """An account at a provider that this one is signed in to by."""

    id: UUID
    provider: str
    label: str
    email: str | None
    created_at: datetime
    last_sign_in_at: datetime

    @classmethod
    def of(cls, row: Identity, label: str) -> "IdentityRead":
        """Return a row's wire form."""
        names = ("id", "provider", "email", "created_at", "last_sign_in_at")
        return cls(label=label, **{name: getattr(row, name) for name in names})


class WaysToSignIn(Shape):
    """How an account is signed in to. Without a password it is through the providers of `identities` alone."""

    has_password: bool
    two_factor: bool
    second_factor_required: bool
    recovery_codes_left: int
    identities: list[IdentityRead]


class SignedOut(Shape):
    """Where the browser ends the sign-in provider's session too."""

    end_session_url: str


class Logout(Body):
    """Whether to end all sessions of the account."""

    all: bool = False


class ChangePassword(Body):
    """The password that is, and the one that shall be."""

    current_password: str = Field(max_length=256)
    new_password: str = Field(min_length=8, max_length=256)


class ForgotPassword(Body):
    """Whose password is forgotten."""

    email: EmailStr


class ResetPassword(Body):
    """A token from the e-mail, and the new password."""

    token: str = Field(max_length=2000)
    password: str = Field(min_length=8, max_length=256)


class ProfileChange(Body):
    """What an account's owner may change."""

    model_config = ConfigDict(extra="forbid")

    username: UserName | None = None
    email: EmailStr | None = None


class DeleteAccount(Body):
    """The password once more, since nothing of the account will be left. Without one: a sign-in of just now."""

    password: str = Field(default="", max_length=256)


class PasswordAgain(Body):
    """The account's password, before its sign-in is changed."""

    password: str = Field(max_length=256)


class TwoFactorSetup(Shape):
    """What an authenticator app is set up by: typed in (`secret`), opened (`uri`), or scanned (`qr_svg`)."""

    secret: str
    uri: str
    qr_svg: str


class TwoFactorCode(Body):
    """A code of the authenticator app."""

    code: str = Field(min_length=1, max_length=64)


class TwoFactorOff(PasswordAgain):
    """The password, and a code of the app or a recovery code."""

    code: str = Field(min_length=1, max_length=64)


class RecoveryCodes(Shape):
    """Codes that each sign in once in the app's place. They are shown this once."""

    recovery_codes: list[str]


class SessionRead(Shape):
    """A sign-in."""

    id: UUID
    user_agent: str | None
    ip: str | None
    created_at: datetime
    last_seen_at: datetime
    current: bool


class SessionList(Shape):
    """The account's live sessions, newest first."""

    items: list[SessionRead]


class UserChange(Body):
    """What an administrator may change of an account."""

    model_config = ConfigDict(extra="forbid")

    is_active: bool | None = None
    is_superuser: bool | None = None
    is_verified: bool | None = Field(default=None, description="Whether the e-mail address is known to be theirs")
    password: str | None = Field(default=None, min_length=8, max_length=256)
    two_factor: Literal[False] | None = Field(default=None, description="false: forget the authenticator app")


class ApiKeyCreate(Body):
    """A new key: what it is for, what it may do, and until when; without `expires_at` until it is revoked."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "nightly import", "scopes": ["files:write"]}})

    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(min_length=1, max_length=20)
    expires_at: Future | None = None


class ApiKeyRead(Shape):
    """A key, without the key: `prefix` are its first characters."""

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApiKeyList(Shape):
    """Keys, newest first."""

    items: list[ApiKeyRead]


class ApiKeyCreated(ApiKeyRead):
    """A key that was made just now, with the `key` itself: it is shown this once."""

    key: str
