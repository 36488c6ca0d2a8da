"""Secrets at rest: encrypted under a key that is derived from `JWT_SECRET_KEY`."""

import base64
from collections.abc import Mapping

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

_PURPOSE = b"llama-service: secrets at rest"


class Vault:
    """Encrypts and decrypts small secrets. A value of another key can't be read, and says so."""

    def __init__(self, secret: SecretStr) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(
            secret.get_secret_value().encode()
        )
        self._cipher = Fernet(base64.urlsafe_b64encode(derived))

    def seal(self, values: Mapping[str, str]) -> bytes:
        """Return values encrypted."""
        return self._cipher.encrypt(orjson.dumps(dict(values)))

    def open(self, sealed: bytes) -> dict[str, str] | None:
        """Return what was sealed, None where that was done under another key."""
        try:
            opened: dict[str, str] = orjson.loads(self._cipher.decrypt(sealed))
        except InvalidToken:
            return None
        return opened
