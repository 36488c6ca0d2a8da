"""Secrets that let somebody in (links, keys, refresh tokens): told once, kept as a hash."""

import hashlib
import secrets


def new_token() -> str:
    """Return 256 random bits for an address."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> bytes:
    """Return what is kept of a token. A plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()
