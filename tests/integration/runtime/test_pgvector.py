"""An installation whose vector index is in its Postgres: no Chroma, and backups that need no extension."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from pydantic import SecretStr

from api.doctor import examine
from ingestion.reindex import reindex
from llama_service.runtime.process import free_port
from llama_service.settings import Settings, SettingsError, load_settings
from persistence.migrate import migrate
from persistence.session import Database
from persistence.vectors import IndexedPassage, check_engine, engines, open_index, pgvector
from persistence.vectors.pgvector import SCHEMA, set_up
from tests.integration.runtime.supervisors import ROOT, supervisor
from tests.providers import OllamaServer
from tests.support import Person, Server, command, migrated_database, new_database, serving

KEY = {"JWT_SECRET_KEY": "k" * 40}


def settings_of(database: str, **values: Any) -> Settings:
    return load_settings(
        _env_file=None, jwt_secret_key="k" * 40, database_url=database, vector_store="pgvector", **values
    )


def as_role(address: str, role: str) -> str:
    return address.replace("//postgres@", f"//{role}@")


@pytest.fixture
def role(postgres: str) -> str:
    """A role that may do nothing but sign in."""
    name = f"plain_{uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN")
    return name


async def written(settings: Settings, count: int = 3) -> None:
    """Write passages into the index, and find them."""
    database = Database(settings.postgres, 2)
    index, file = open_index(settings, database), uuid4()
    await index.ping()
    await index.add("m", [IndexedPassage(uuid4(), file, uuid4(), at, [1.0, float(at)]) for at in range(count)])
    for size in (count, 1_000_000):  # compared one by one, and by the graph
        hits = await index.near("m", [1.0, 0.0], file_ids=[file], size=size, count=count)
        assert [hit.position for hit in hits] == list(range(count))
    await database.close()


async def test_what_an_administrator_has_to_do_is_said(postgres: str, role: str) -> None:
    address = new_database(postgres, "refused")
    name = address.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(address, autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {name} OWNER TO {role}")
        variables = {**KEY, "DATABASE_URL": as_role(address, role), "VECTOR_STORE": "pgvector"}
        code, said = await command("migrate", **variables)
        assert code == 2, said
        assert "VECTOR_STORE=pgvector: permission denied" in said
        assert "Traceback" not in said
        for statement in ("CREATE EXTENSION vector", f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}"):
            assert statement.replace(role, "<the service's role>") in said
            administrator.execute(statement)
    code, said = await command("migrate", **variables)
    assert code == 0, said
    await written(settings_of(as_role(address, role)))


async def test_a_role_of_its_own_for_migrations_lets_the_services_role_write(postgres: str, role: str) -> None:
    address = new_database(postgres, "roles")
    settings = settings_of(as_role(address, role), alembic_database_url=address)
    with psycopg.connect(address, autocommit=True) as connection:
        set_up(connection, settings)
        set_up(connection, settings)
    await written(settings)


async def test_wide_scopes_walk_the_graph_and_narrow_ones_never(postgres: str) -> None:
    address = new_database(postgres, "plans")
    settings = settings_of(address)
    with psycopg.connect(address, autocommit=True) as connection:
        set_up(connection, settings)
    await written(settings, 40)
    database = Database(settings.postgres, 2)
    plans = {}
    for by_graph in (True, False):
        search = pgvector.nearest(pgvector.table_name("m", 2), by_graph=by_graph)
        search.sql = f"EXPLAIN {search.sql}"
        async with database.raw() as raw:
            if by_graph:
                await raw.rows(pgvector.WALK, {})
            rows = await raw.rows(search, {"vector": "[1,0]", "files": [uuid4()], "count": 10})
        plan = "\n".join(row[0] for row in rows)
        assert "InitPlan" in plan, "the question is read once, not for each passage"
        plans[by_graph] = "_near on" in plan
    await database.close()
    assert plans == {True: True, False: False}


async def test_without_the_setting_nothing_of_it_is_made(postgres: str) -> None:
    address = await migrated_database(postgres, "plain")
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").fetchone() == (0,)
        assert connection.execute(f"SELECT to_regnamespace('{SCHEMA}')").fetchone() == (None,)
    code, said = await command("doctor", DATABASE_URL=address, VECTOR_STORE="pgvector", **KEY)
    assert (code, "run `llama-service migrate`" in said) == (1, True), said


async def test_a_backup_can_be_restored_where_there_is_no_extension(postgres: str, tmp_path: Path) -> None:
    address, fresh = new_database(postgres, "saved"), new_database(postgres, "restored")
    variables = {**KEY, "DATA_DIR": str(tmp_path / "data")}
    code, said = await command("migrate", DATABASE_URL=address, VECTOR_STORE="pgvector", **variables)
    assert code == 0, said
    await written(settings_of(address))
    code, said = await command("backup", str(tmp_path / "saved"), DATABASE_URL=address, **variables)
    assert code == 0, said
    code, said = await command("restore", str(tmp_path / "saved"), DATABASE_URL=fresh, **variables)
    assert code == 0, said
    with psycopg.connect(fresh) as connection:
        extensions = [row[0] for row in connection.execute("SELECT extname FROM pg_extension ORDER BY 1")]
        assert extensions == ["pg_trgm", "plpgsql"]
        assert connection.execute(f"SELECT to_regnamespace('{SCHEMA}')").fetchone() == (None,)
    code, said = await command("migrate", DATABASE_URL=fresh, VECTOR_STORE="pgvector", **variables)
    assert code == 0, said
    await written(settings_of(fresh))


async def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    settings = load_settings(
        _env_file=None, jwt_secret_key="k" * 40, data_dir=tmp_path, vector_store="milvus+http://milvus:19530"
    )
    with pytest.raises(SettingsError, match=r"pymilvus is not installed: install llama-service\[milvus\]"):
        check_engine(settings)
    last = (await examine(settings))[-1]
    assert (last.state, "pymilvus is not installed" in last.text) == ("failure", True)


@pytest.mark.parametrize(
    ("value", "engine"),
    [("", "chroma"), ("chroma", "chroma"), ("pgvector", "pgvector"), ("milvus+https://milvus:19530/", "milvus")],
)
def test_the_setting_names_an_engine(value: str, engine: str) -> None:
    settings = load_settings(_env_file=None, jwt_secret_key="k" * 40, vector_store=value)
    assert settings.vector_engine == engine
    assert settings.milvus_address in (value, "chroma", "https://milvus:19530")


@pytest.mark.parametrize("value", ["qdrant", "http://host:19530", "milvus+http://root:secret@host", "milvus+http://"])
def test_what_names_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"VECTOR_STORE=.*allowed: chroma, pgvector or milvus"):
        load_settings(_env_file=None, jwt_secret_key="k" * 40, vector_store=value)


async def test_an_instance_goes_over_from_chroma(settings: Settings, postgres: str) -> None:
    address = await migrated_database(postgres, "over")
    before = settings.model_copy(update={"database_url": SecretStr(address), "collection_name": f"o{uuid4().hex[:8]}"})
    after = before.model_copy(update={"vector_store": "pgvector", "chroma_url": None, "inline_worker": False})
    async with serving(before) as server:
        anna = await Person.join(server.url)
        await anna.indexed("tower.txt", b"The tower of the harbour is ninety metres high.")
        assert (await checked(server))["engine"] == "Chroma"
        await anna.close()
    async with serving(after) as server:
        found = await checked(server)
        assert (found["ok"], "run `llama-service migrate`" in found["error"]) == (False, True)
        await asyncio.to_thread(migrate, after)
        keeper = server.app.state.resources.ingestion.keeper
        assert (await keeper.measure()).indexed == 0
        await keeper.check()  # as every worker does, twice a minute
        assert await checked(server) == {"ok": True, "engine": "pgvector", "indexed": 1, "vectors": 1}
        await server.app.state.resources.index.drop()
        assert await asyncio.to_thread(reindex, after, lambda done, total: None) == 1
        assert (await keeper.measure()).indexed == 1


async def checked(server: Server) -> dict[str, Any]:
    """Return what `/ready` says of the vector index."""
    async with httpx.AsyncClient() as client:
        found: dict[str, Any] = (await client.get(f"{server.url}/ready")).json()["checks"]["vectors"]
    return found


@pytest.mark.slow
async def test_up_starts_no_chroma(ollama: OllamaServer, tmp_path: Path) -> None:
    port = free_port()
    variables = {
        "VECTOR_STORE": "pgvector",
        "DEFAULT_MODEL_SOURCE": "ollama",
        "EMBEDDED_CHAT_URL": "http://127.0.0.1:9/v1",
        "EMBEDDINGS_BASEURL": ollama.url,
        "PORT": str(port),
        "DATA_DIR": str(tmp_path / "data"),
    }
    with supervisor("-m", "llama_service", "up", cwd=tmp_path, path=ROOT, **variables) as service:
        await asyncio.to_thread(service.line, "╭─ llama-service is ready")
        password = (tmp_path / "data" / "admin-password").read_text().strip()
        admin = await Person.enter(f"http://127.0.0.1:{port}", "admin", password)
        try:
            await admin.indexed("tower.txt", b"The tower of the harbour is ninety metres high.")
            await admin.indexed("bread.txt", b"Bread is baked from flour, water and salt.")
            # No word of it stands in the files: the vectors decide.
            answer = await admin.ask("Какой высоты башня в гавани?")
            assert answer["sources"][0]["file_name"] == "tower.txt"
            index = (await admin.get("/stats/system"))["index"]
            assert (index["engine"], index["indexed"], index["vectors"]) == ("pgvector", 2, 2)
            _, said = await command("doctor", **variables)
            assert "pgvector holds all 2 vectors" in said, said
            children = psutil.Process(service.process.pid).children(recursive=True)
            assert not any("chroma_server" in " ".join(child.cmdline()) for child in children)
        finally:
            await admin.close()
