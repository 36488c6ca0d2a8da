"""Password hashing that never holds up the event loop."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["PasswordTurn"]:
        """Wait for a place; who counts failures does it within, so that guesses side by side are counted too."""
        async with self._slots:
            yield PasswordTurn(self)

    async def verify(self, password: str, encoded: str | None) -> tuple[bool, str | None]:
        """Return whether `password` fits, and a better hash where the parameters have changed.

        With no hash to compare (an unknown account) it takes the same time and returns False.
        """
        async with self.turn() as turn:
            return await turn.verify(password, encoded)

    async def verify_now(self, password: str, encoded: str | None) -> tuple[bool, str | None]:
        """Do the work of `verify` in a place that is held already."""
        if encoded is None:
            if self._decoy is None:
                self._decoy = await asyncio.to_thread(self._hash.hash, secrets.token_hex(16))
            encoded, known = self._decoy, False
        else:
            known = True
        fits, renewed = await asyncio.to_thread(self._hash.verify_and_update, password, encoded)
        return fits and known, renewed if known else None


class PasswordTurn:
    """A place among the few that may hash at once."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher

    async def verify(self, password: str, encoded: str | None) -> tuple[bool, str | None]:
        """Return whether `password` fits, and a better hash; see `PasswordHasher.verify`."""
        return await self._hasher.verify_now(password, encoded)
