"""Accounts of people who sign in through a provider: found by their identity there, linked, or made."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth.users import NO_PASSWORD
from llama_service.errors import AccountExists, SignInDenied, SignInFailed
from llama_service.settings import OidcProvider
from persistence import audit, groups
from persistence.changes import change_or_not_found
from persistence.tables import Identity, User

log = structlog.get_logger(__name__)

_TRIES = 50  # names that are tried for an account whose name is taken
_SUBJECT = 255  # characters, as OpenID Connect limits them


async def account_of(session: AsyncSession, name: str, provider: OidcProvider, claims: Mapping[str, Any]) -> User:
    """Return the account of whoever signs in through the provider `name`; make it at the first time.

    `claims` are of a checked ID token. Raises SignInDenied where the provider's rules or the account's state forbid it,
    AccountExists where the e-mail address is another account's and may not link the two. Where the same person's first
    sign-in has ended beside this one, the transaction ends with Conflict.
    """
    roles = roles_of(claims, provider.roles_claim)
    if provider.required_roles and not roles & set(provider.required_roles):
        log.warning("sign_in_denied", provider=name, reason="role")
        raise SignInDenied
    subject = str(claims["sub"])
    if not 0 < len(subject) <= _SUBJECT:
        raise SignInFailed
    told = claims.get("email")
    email = told.strip()[:320] if isinstance(told, str) and "@" in told else None
    row = (
        await session.execute(
            select(Identity, User)
            .join(User, User.id == Identity.user_id)
            .where(Identity.provider == name, Identity.subject == subject)
        )
    ).one_or_none()
    user: User | None
    if row is not None:
        identity, user = row.Identity, row.User
        identity.email, identity.last_sign_in_at = email, func.clock_timestamp()
        _note_verified(user, claims)
    else:
        user = await _linked(session, name, provider, claims, email)
        is_new = user is None
        user = user or await _made(session, name, provider, claims, email)
        session.add(Identity(user_id=user.id, provider=name, subject=subject, email=email))
        await session.flush()
        await audit.note(session, "registered" if is_new else "identity_added", user, provider=name)
    if not user.is_active:
        raise SignInDenied("This account is switched off; ask an administrator.")
    if provider.admin_roles and user.is_superuser != (is_admin := bool(roles & set(provider.admin_roles))):
        user.is_superuser = is_admin
        log.warning("administrator_by_role", provider=name, user_id=str(user.id), is_superuser=is_admin)
        await session.flush()
        await audit.note(session, "user_changed", None, ("user", user.id), provider=name, is_superuser=is_admin)
    await session.flush()
    joined, left = await groups.follow_provider(session, user.id, name, roles)
    for group_id in joined:
        await audit.note(session, "group_member_set", None, ("group", group_id), member=user.id, provider=name)
    for group_id in left:
        await audit.note(session, "group_member_removed", None, ("group", group_id), member=user.id, provider=name)
    return user


async def link(session: AsyncSession, user_id: UUID, name: str, claims: Mapping[str, Any]) -> User:
    """Let an account of ours be signed in to by this identity too. Raises AccountExists where it is another's."""
    subject = str(claims["sub"])
    owner = await session.scalar(select(Identity.user_id).where(Identity.provider == name, Identity.subject == subject))
    if owner not in (None, user_id):
        raise AccountExists.because("identity_taken", "This identity belongs to another account here.")
    user = await session.get(User, user_id)
    if user is None or not user.is_active:
        raise SignInFailed
    if owner is None:
        email = claims.get("email")
        session.add(
            Identity(user_id=user_id, provider=name, subject=subject, email=email if isinstance(email, str) else None)
        )
        _note_verified(user, claims)
        await session.flush()
        await audit.note(session, "identity_added", user, provider=name)
    return user


async def list_identities(session: AsyncSession, user_id: UUID) -> list[Identity]:
    """Return the identities that an account is signed in to by, oldest first."""
    query = select(Identity).where(Identity.user_id == user_id).order_by(Identity.id)
    return list((await session.execute(query)).scalars())


async def unlink(session: AsyncSession, user_id: UUID, identity_id: UUID) -> None:
    """Forget an identity of the account's. Raises NotFound."""
    await change_or_not_found(session, delete(Identity).where(Identity.id == identity_id, Identity.user_id == user_id))


def roles_of(claims: Mapping[str, Any], paths: list[str]) -> set[str]:
    """Return the roles and groups under the claims that `paths` name (`realm_access.roles`)."""
    found: set[str] = set()
    for path in paths:
        value: Any = claims.get(path)  # a claim may have dots in its own name, as in https://example.com/roles
        if value is None:
            value = claims
            for part in path.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, list):
            found |= {role for role in value if isinstance(role, str)}
    return found


async def _linked(
    session: AsyncSession, name: str, provider: OidcProvider, claims: Mapping[str, Any], email: str | None
) -> User | None:
    """Return the account that has this address already, where the operator lets addresses link accounts."""
    if email is None:
        return None
    user = (await session.execute(select(User).where(func.lower(User.email) == email.lower()))).scalar_one_or_none()
    if user is None:
        return None
    # Nobody may take an account over with an address that its provider has not checked, nor have one taken for
    # somebody else's whose address nobody has checked here.
    if not (provider.link_by_email and user.is_verified and _is_verified(claims)):
        raise AccountExists
    log.info("identity_linked", provider=name, user_id=str(user.id))
    return user


async def _made(
    session: AsyncSession, name: str, provider: OidcProvider, claims: Mapping[str, Any], email: str | None
) -> User:
    if not provider.create_accounts:
        log.warning("sign_in_denied", provider=name, reason="no_account")
        raise SignInDenied
    for username in _names(claims, provider, email):
        if await session.scalar(select(User.id).where(func.lower(User.username) == username.lower())) is None:
            break
    else:
        raise SignInFailed
    user = User(
        username=username,
        # An address has to be there and to be nobody else's; .invalid is never delivered (RFC 2606).
        email=email or f"{username}@{name}.invalid",
        hashed_password=NO_PASSWORD,
        is_verified=email is not None and _is_verified(claims),
    )
    session.add(user)
    await session.flush()
    await session.refresh(user)
    log.info("registered", user_id=str(user.id), provider=name)
    return user


def _is_verified(claims: Mapping[str, Any]) -> bool:
    """Whether the provider has checked the address that it tells."""
    return claims.get("email_verified") is True


def _note_verified(user: User, claims: Mapping[str, Any]) -> None:
    """Note that an account's address is its owner's, where a provider tells the same one and has checked it."""
    email = claims.get("email")
    if _is_verified(claims) and isinstance(email, str) and email.strip().lower() == user.email.lower():
        user.is_verified = True


def _names(claims: Mapping[str, Any], provider: OidcProvider, email: str | None) -> Iterator[str]:
    """Yield names for a new account: what the provider calls it, then the same with numbers."""
    told = claims.get(provider.username_claim) or claims.get("name") or (email or "").partition("@")[0]
    clean = re.sub(r"[^\w.\-]+", ".", str(told)).strip(".")[:56]
    base = clean if len(clean) >= 3 else f"{clean}user"
    yield base
    for number in range(2, _TRIES):
        yield f"{base}{number}"
