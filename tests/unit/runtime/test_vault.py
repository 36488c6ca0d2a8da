import base64

import orjson
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from llama_service.vault import Vault
from persistence.rotation import _REMEDIES, _sealed_columns

OLD, NEW = SecretStr("old-" + "k" * 40), SecretStr("new-" + "k" * 40)
SECRET = {"Authorization": "Bearer 4711"}


def former(secret: SecretStr) -> bytes:
    """Return SECRET as versions wrote it that could not change keys."""
    info = b"llama-service: secrets at rest"
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.get_secret_value().encode())
    return Fernet(base64.urlsafe_b64encode(derived)).encrypt(orjson.dumps(SECRET))


def test_a_secret_is_opened_where_it_was_sealed_for() -> None:
    sealed = Vault(OLD).seal(SECRET, "mcp_servers", 1)
    assert b"4711" not in sealed
    assert Vault(OLD).open(sealed, "mcp_servers", 1) == SECRET
    assert Vault(OLD).seal(SECRET, "mcp_servers", 1) != sealed


@pytest.mark.parametrize("place", [("mcp_servers", 2), ("second_factors", 1)])
def test_moved_to_another_row_it_is_unreadable(place: tuple[str, int]) -> None:
    vault = Vault(OLD)
    assert vault.open(vault.seal(SECRET, "mcp_servers", 1), *place) is None


@pytest.mark.parametrize("at", [0, 1, 8, 9, 20, 21, -1])
def test_one_changed_bit_is_noticed(at: int) -> None:
    vault = Vault(OLD)
    changed = bytearray(vault.seal(SECRET, "mcp_servers", 1))
    changed[at] ^= 1
    assert vault.open(bytes(changed), "mcp_servers", 1) is None


@pytest.mark.parametrize("length", [0, 1, 9, 15, 25])
def test_what_is_too_short_is_unreadable(length: int) -> None:
    vault = Vault(OLD)
    assert vault.open(vault.seal(SECRET, "mcp_servers", 1)[:length], "mcp_servers", 1) is None


def test_the_previous_key_reads_and_the_current_one_writes() -> None:
    both = Vault(NEW, OLD)
    sealed = Vault(OLD).seal(SECRET, "mcp_servers", 1)
    assert (both.open(sealed, "mcp_servers", 1), Vault(NEW).open(sealed, "mcp_servers", 1)) == (SECRET, None)
    renewed = both.seal(SECRET, "mcp_servers", 1)
    assert (Vault(NEW).open(renewed, "mcp_servers", 1), Vault(OLD).open(renewed, "mcp_servers", 1)) == (SECRET, None)
    assert (renewed.startswith(both.mark), sealed.startswith(both.mark)) == (True, False)


def test_what_earlier_versions_wrote_is_read() -> None:
    assert Vault(OLD).open(former(OLD), "mcp_servers", 1) == SECRET
    assert Vault(NEW, OLD).open(former(OLD), "mcp_servers", 1) == SECRET
    assert Vault(NEW).open(former(OLD), "mcp_servers", 1) is None


def test_a_representation_shows_no_key() -> None:
    assert "k" * 10 not in repr(vars(Vault(OLD)))


def test_each_column_of_secrets_has_a_remedy_for_its_loss() -> None:
    assert {table.name for table, _, _ in _sealed_columns()} == set(_REMEDIES)
