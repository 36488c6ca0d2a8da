import asyncio
import os
import signal
import time
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from llama_service.runtime import postgres
from llama_service.runtime.locks import FolderInUse
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.runtime.process import ChildFailed
from tests.integration.runtime.supervisors import family, remove, supervisor, survivors


def listed(folder: Path) -> list[str]:
    return [str(path) for path in folder.iterdir()]


def make_open(folder: Path) -> None:
    remove(folder)
    folder.mkdir(mode=0o755)


def start(folder: Path, *, fsync: bool = False) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, folder / "logs", fsync=fsync)


async def test_cold_and_warm_with_every_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    async with start(tmp_path, fsync=True) as server:
        monkeypatch.delenv("PGOPTIONS")
        engine = create_async_engine(server.dsn.replace("postgresql:", "postgresql+asyncpg:", 1))
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE kept AS SELECT 'Straße' AS word"))
            assert await connection.scalar(text("SELECT current_database()")) == "llama"
            for extension in ("vector", "pg_trgm", "unaccent"):
                await connection.execute(text(f"CREATE EXTENSION {extension}"))
        await engine.dispose()
        with psycopg.connect(server.dsn) as plain:
            assert plain.execute("SHOW fsync").fetchone() == ("on",)
            assert plain.execute("SHOW server_encoding").fetchone() == ("UTF8",)
            assert plain.execute("SHOW timezone").fetchone() == ("UTC",)
    began = time.monotonic()
    async with start(tmp_path) as server:
        assert time.monotonic() - began < 3
        with psycopg.connect(server.dsn) as plain:
            assert plain.execute("SELECT word FROM kept").fetchone() == ("Straße",)


async def test_it_listens_on_no_network_and_keeps_others_out(tmp_path: Path) -> None:
    async with start(tmp_path) as server:
        pid = server.child.pid
        assert pid is not None
        kinds = {connection.family.name for connection in psutil.Process(pid).net_connections("inet")}
        assert not kinds
        assert (tmp_path / "postgres" / "run").stat().st_mode & 0o777 == 0o700


async def test_what_it_refuses_is_not_quoted_in_its_log(tmp_path: Path) -> None:
    async with start(tmp_path) as server:
        with psycopg.connect(server.dsn, autocommit=True) as plain:
            plain.execute("CREATE TABLE said (words text UNIQUE, about jsonb)")
            plain.execute("INSERT INTO said VALUES (%s)", ("measles",))
            with pytest.raises(psycopg.errors.UniqueViolation):
                plain.execute("INSERT INTO said VALUES (%s)", ("measles",))
            with pytest.raises(psycopg.errors.UntranslatableCharacter):
                plain.execute("INSERT INTO said (about) VALUES (%s)", ('{"measles": "\\u0000"}',))
    written = (tmp_path / "logs" / "postgres.log").read_text()
    assert "duplicate key" in written
    assert "measles" not in written


async def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    async with start(deep) as server:
        assert "/tmp/llama-service-" in server.dsn
        with psycopg.connect(server.dsn) as plain:
            assert plain.execute("SELECT 1").fetchone() == (1,)
        short = Path(server.dsn.partition("host=")[2])
    assert str(short) not in listed(Path("/tmp"))


async def test_one_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_LEFTOVER_SECONDS", 0.1)
    async with start(tmp_path):
        with pytest.raises(FolderInUse):
            await start(tmp_path).start()


async def test_another_major_version_is_refused(tmp_path: Path) -> None:
    async with start(tmp_path):
        pass
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ChildFailed, match=r"written by Postgres 16, and this is Postgres 18: dump it"):
        await start(tmp_path).start()


async def test_an_unfinished_cluster_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "new-half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with start(tmp_path):
        pass
    assert not half.exists()


async def test_a_broken_configuration_is_told_with_the_log(tmp_path: Path) -> None:
    async with start(tmp_path):
        pass
    (tmp_path / "postgres" / "data" / "postgresql.conf").write_text("max_connections = many\n")
    with pytest.raises(ChildFailed, match=r"(?s)ended at its start; see .*postgres\.log.*max_connections"):
        await start(tmp_path).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
async def test_as_root_without_namespaces_it_becomes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from llama_service.runtime import identity

    async def refused(*_: object, **__: object) -> object:
        return await asyncio.subprocess.create_subprocess_exec("false")

    folder = Path("/var/tmp/llama-service-test-nobody")  # pytest's own folders are closed to others
    make_open(folder)
    monkeypatch.setattr("asyncio.create_subprocess_exec", refused)
    nobody = await identity.unprivileged_identity()
    monkeypatch.undo()
    assert nobody.options[0] == "--user"

    async def chosen() -> identity.Identity:
        return nobody

    monkeypatch.setattr(postgres, "unprivileged_identity", chosen)
    try:
        for _ in range(2):
            async with start(folder) as server:
                assert server.child.pid is not None
                assert psutil.Process(server.child.pid).username() == "nobody"
                with psycopg.connect(server.dsn) as plain:
                    assert plain.execute("SELECT 1").fetchone() == (1,)
    finally:
        remove(folder)


_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from tests.integration.runtime.test_embedded_postgres import start

async def main():
    async with start(Path(sys.argv[1]), fsync=True) as server:
        print("server", server.child.pid, server.dsn)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_kill_9_leaves_neither_orphans_nor_damage(tmp_path: Path) -> None:
    with supervisor("-c", _SUPERVISOR, str(tmp_path)) as parent:
        pid, dsn = parent.line("server ").split()
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        processes = family(int(pid))
        assert len(processes) > 3
        parent.signal(signal.SIGKILL)
    connection.terminate()
    # The next start waits until the leftover has ended.
    async with start(tmp_path) as server:
        assert not survivors(processes, seconds=0)
        with psycopg.connect(server.dsn) as plain:
            assert plain.execute("SELECT answer FROM kept").fetchone() == (42,)
