import os
import stat
from pathlib import Path

import pytest

from llama_service.runtime.keys import jwt_key_overrides, new_password, write_secret
from llama_service.runtime.locks import FileLock, FolderInUse
from llama_service.runtime.running import announce, found_parts, withdraw
from llama_service.settings import load_settings


@pytest.fixture(autouse=True)
def _no_key_of_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_jwt_key_is_made_once_and_kept(tmp_path: Path) -> None:
    first = jwt_key_overrides(tmp_path, create=True)
    assert len(first["jwt_secret_key"]) >= 48
    assert jwt_key_overrides(tmp_path, create=True) == first
    assert stat.S_IMODE((tmp_path / "secrets" / "jwt").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_no_key_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    assert jwt_key_overrides(tmp_path, create=False) == {}
    assert list(tmp_path.iterdir()) == []


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    assert jwt_key_overrides(tmp_path / "a", create=True) != jwt_key_overrides(tmp_path / "b", create=True)


@pytest.mark.parametrize("name", ["JWT_SECRET_KEY", "jwt_secret_key"])
def test_the_operators_key_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "k" * 40)
    assert jwt_key_overrides(tmp_path, create=True) == {}
    assert not (tmp_path / "secrets").exists()


def test_a_key_in_dotenv_wins_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JWT_SECRET_KEY=" + "k" * 40 + "\n")
    assert jwt_key_overrides(tmp_path, create=True) == {}


def test_a_secret_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, "one")
    write_secret(path, "two")
    assert path.read_text() == "two\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_passwords_differ() -> None:
    assert len({new_password() for _ in range(100)}) == 100


async def test_running_parts_are_found_while_they_run(tmp_path: Path) -> None:
    parts = {"DATABASE_URL": "postgresql://embedded/llama", "CHROMA_URL": "http://127.0.0.1:4000"}
    mine = load_settings(jwt_secret_key="k" * 40, data_dir=tmp_path, chroma_url="http://mine")
    announce(tmp_path, parts)
    assert found_parts(mine) == {}
    async with FileLock(tmp_path / "lock"):
        assert found_parts(mine) == {"database_url": parts["DATABASE_URL"]}
        withdraw(tmp_path)
        assert found_parts(mine) == {}


async def test_a_lock_has_one_owner(tmp_path: Path) -> None:
    async with FileLock(tmp_path / "lock"):
        with pytest.raises(FolderInUse, match=rf"in use by another process \(pid {os.getpid()}\).*DATA_DIR"):
            await FileLock(tmp_path / "lock").acquire()
    async with FileLock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())
