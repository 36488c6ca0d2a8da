"""Files that only the holder of a key can read: `age` (https://age-encryption.org), by its public keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyrage

from llama_service.errors import OperatorError

SUFFIX: Final = ".age"
"""Names of sealed files end so."""


class SealError(OperatorError):
    """A key is none, or does not open a file; one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals for the holders of some keys (`age1…`, as `age-keygen` makes them)."""

    recipients: Sequence[pyrage.x25519.Recipient]

    @classmethod
    def to(cls, keys: Sequence[str]) -> "Seal":
        """Return a seal for these public keys. Raises SealError."""
        try:
            return cls([pyrage.x25519.Recipient.from_str(key.strip()) for key in keys])
        except pyrage.RecipientError as wrong:
            raise SealError(f"a recipient is no public key of age (age1…): {wrong}") from None

    def close(self, path: Path) -> Path:
        """Seal a file beside itself; return where."""
        sealed = path.with_name(path.name + SUFFIX)
        pyrage.encrypt_file(str(path), str(sealed), self.recipients)
        return sealed


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens what was sealed for one of some identities."""

    identities: Sequence[pyrage.x25519.Identity]

    @classmethod
    def of(cls, file: Path) -> "Opener":
        """Return what a file of secret keys opens, as `age-keygen` writes it. Raises SealError."""
        try:
            lines = [line.strip() for line in file.read_text().splitlines()]
            keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")]
        except (OSError, UnicodeDecodeError, pyrage.IdentityError) as wrong:
            raise SealError(f"{file} can't be read as a file of age's secret keys: {wrong}") from None
        if not keys:
            raise SealError(f"there is no secret key of age in {file}")
        return cls(keys)

    def open(self, path: Path, opened: Path) -> None:
        """Open a sealed file into another one. Raises SealError."""
        try:
            pyrage.decrypt_file(str(path), str(opened), self.identities)
        except pyrage.DecryptError as wrong:
            raise SealError(f"{path.name} can't be opened with this key: {wrong}") from None
