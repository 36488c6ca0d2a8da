"""Password hashing that never holds up the event loop."""

import asyncio
import secrets

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher


class PasswordHasher:
    """argon2id with OWASP's parameters, in threads, a few at a time.

    19 MiB, t=2, p=1: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    """

    def __init__(self, at_once: int = 2) -> None:
        self._hash = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
        self._slots = asyncio.Semaphore(at_once)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the encoded hash of `password`."""
        async with self._slots:
            return await asyncio.to_thread(self._hash.hash, password)

    def place(self) -> asyncio.Semaphore:
        """Return what is to be held (`async with`) around `verify`, and around counting its failures.

        So that guesses side by side are counted before the next ones are tried.
        """
        return self._slots

    async def verify(self, password: str, encoded: str | None) -> tuple[bool, str | None]:
        """Return whether `password` fits, and a better hash where the parameters have changed.

        With no hash to compare (an unknown account, or one without a password) it takes the same time and returns
        False. The caller holds a `place`.
        """
        if not encoded:
            if self._decoy is None:
                self._decoy = await asyncio.to_thread(self._hash.hash, secrets.token_hex(16))
            encoded, known = self._decoy, False
        else:
            known = True
        fits, renewed = await asyncio.to_thread(self._hash.verify_and_update, password, encoded)
        return fits and known, renewed if known else None
