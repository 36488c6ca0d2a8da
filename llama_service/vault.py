"""Secrets at rest: encrypted under a key that is derived from `JWT_SECRET_KEY`.

A sealed value is a format byte, the id of its key (8 bytes), a nonce (12 bytes), and the ciphertext of AES-256-GCM.
What precedes the nonce and what the value is kept for are authenticated with it: bytes that were moved to another row,
or another table, are as unreadable as forged ones. Values of earlier versions (Fernet, which knows neither) are read,
too.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

_FORMAT: Final = b"\x01"
_KEY, _ID, _NONCE = 32, 8, 12  # bytes
_PURPOSE: Final = b"llama-service: secrets at rest, AES-256-GCM"
_FERNET_PURPOSE: Final = b"llama-service: secrets at rest"


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """What is derived of one `JWT_SECRET_KEY`; `mark` is how a value that is sealed with it begins."""

    mark: bytes
    cipher: AESGCM
    fernet: Fernet

    @classmethod
    def of(cls, secret: SecretStr) -> "_Key":
        derived = _derive(secret, _PURPOSE, _KEY + _ID)
        fernet = Fernet(base64.urlsafe_b64encode(_derive(secret, _FERNET_PURPOSE, 32)))
        return cls(_FORMAT + derived[_KEY:], AESGCM(derived[:_KEY]), fernet)


class Vault:
    """Encrypts small secrets under the current key, and decrypts those of the previous one as well."""

    def __init__(self, secret: SecretStr, previous: SecretStr | None = None) -> None:
        self._keys = [_Key.of(key) for key in (secret, previous) if key is not None]

    @property
    def mark(self) -> bytes:
        """How values begin that are sealed under the current key."""
        return self._keys[0].mark

    def seal(self, values: Mapping[str, str], kind: str, owner: object) -> bytes:
        """Return values encrypted, for the one place (a table's name and a row's id) where they can be opened."""
        nonce = os.urandom(_NONCE)
        sealed = self._keys[0].cipher.encrypt(nonce, orjson.dumps(dict(values)), self.mark + _place(kind, owner))
        return self.mark + nonce + sealed

    def open(self, sealed: bytes, kind: str, owner: object) -> dict[str, str] | None:
        """Return what was sealed for this place, None where that was done under a key that is not known here."""
        for key in self._keys:
            opened = _opened(key, sealed, _place(kind, owner))
            if opened is not None:
                values: dict[str, str] = orjson.loads(opened)
                return values
        return None


def _opened(key: _Key, sealed: bytes, place: bytes) -> bytes | None:
    start = len(key.mark)
    try:
        if sealed.startswith(key.mark):
            return key.cipher.decrypt(sealed[start : start + _NONCE], sealed[start + _NONCE :], key.mark + place)
        return None if sealed.startswith(_FORMAT) else key.fernet.decrypt(sealed)
    except (InvalidTag, InvalidToken, ValueError):  # ValueError: too short to be anything
        return None


def _place(kind: str, owner: object) -> bytes:
    return f"{kind}/{owner}".encode()


def _derive(secret: SecretStr, purpose: bytes, length: int) -> bytes:
    key = HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose)
    return key.derive(secret.get_secret_value().encode())
