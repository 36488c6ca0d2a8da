"""A new key takes over: what was stored under the old one is read, re-encrypted, and read without the old one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from llama_service.runtime.keys import jwt_key_overrides
from llama_service.settings import Settings, load_settings
from tests.integration.api.test_mcp import letters  # noqa: F401  (a fixture)
from tests.integration.api.test_oidc import Browser
from tests.integration.api.test_own_identity import GUARD
from tests.integration.api.test_two_factor import App, switch_on
from tests.mcp_server import McpProcess
from tests.providers import AIHubServer, OidcServer, OpenAIServer
from tests.support import Person, Server, command, migrated_database, serving
from tests.unit.runtime.test_vault import former

OLD, NEW = SecretStr("old-" + "k" * 40), SecretStr("new-" + "k" * 40)
SECRET = "Bearer tools-secret-4711"


@dataclass
class Installation:
    """A database of its own, served with the keys that a test names."""

    given: dict[str, Any]
    address: str
    folder: Path

    @asynccontextmanager
    async def served(self, *keys: SecretStr) -> AsyncIterator[Server]:
        current, previous = (*keys, None)[:2]
        made = load_settings(_env_file=None, **self.given, jwt_secret_key=current, jwt_secret_key_previous=previous)
        async with serving(made) as running:
            yield running

    async def run(self, name: str, *keys: SecretStr) -> tuple[int, str]:
        """Run a command of the README with these keys."""
        names = ("JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS")
        told = {name: key.get_secret_value() for name, key in zip(names, keys, strict=False)}
        return await command(name, DATABASE_URL=self.address, DATA_DIR=str(self.folder), **told)


@pytest.fixture
async def installation(settings: Settings, postgres: str, aihub: AIHubServer, tmp_path: Path) -> Installation:
    address = await migrated_database(postgres, "rotated")
    ours = {"inline_worker", "jwt_secret_key", "database_url", "collection_name", "data_dir"}
    given = settings.model_dump(exclude=ours, exclude_unset=True) | {
        "inline_worker": False,
        "database_url": address,
        "collection_name": f"rotated-{uuid4().hex[:8]}",
        "data_dir": tmp_path,
        "aihub_as_user": "company",
        "aihub_audience": aihub.audience,
    }
    return Installation(given, address, tmp_path)


@dataclass
class Secrets:
    """People and what is stored for them: an MCP server's headers, a second factor, a provider's tokens."""

    admin: Person
    app: App
    key: str

    async def all_work(self, url: str, openai: OpenAIServer, steps: int) -> None:
        """Use each of them through HTTP. `steps` picks a code that was not used yet."""
        self.admin.http.base_url = httpx.URL(f"{url}/api/v1/")
        entry = {"username": self.admin.name, "password": self.admin.password, "code": self.app.code(steps)}
        entered = await self.admin.http.post("/auth/login", json=entry)
        assert entered.status_code == 200, entered.text
        self.admin.http.headers["Authorization"] = f"Bearer {entered.json()['access_token']}"
        openai.script(rounds=[[("letters__headers", {})]])
        answer = await self.admin.ask("Who am I?", tools=["letters__headers"])
        assert answer["steps"][0]["result_preview"].startswith(f"authorization={SECRET}")
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self.key}"}) as program:
            body = {"model": "aihub/hub-chat", "messages": [{"role": "user", "content": "Hello"}]}
            asked = await program.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        assert asked.status_code == 200, asked.text


async def stored_by(server: Server, address: str, tools: McpProcess, company: OidcServer) -> Secrets:
    """Let people leave secrets with a server."""
    admin = await Person.join(server.url)
    with psycopg.connect(address, autocommit=True) as database:
        database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (admin.name,))
    body = {"name": "letters", "url": tools.url, "headers": {"Authorization": SECRET}}
    added = await admin.http.post("/admin/mcp-servers", json=body)
    assert (added.status_code, added.json()["error"]) == (201, None), added.text
    app, _ = await switch_on(admin)
    name = f"r{uuid4().hex[:10]}"
    company.reset()
    company.access_lifetime = 300
    company.join(name)
    browser = Browser(server.url)
    assert await browser.sign_in(name) == "/"
    made = await browser.http.post("/api/v1/api-keys", json={"name": "x", "scopes": ["chat"]}, headers=GUARD)
    await browser.http.aclose()
    return Secrets(admin, app, made.json()["key"])


@pytest.fixture
async def secrets(
    installation: Installation,
    letters: McpProcess,  # noqa: F811
    company: OidcServer,
    aihub: AIHubServer,
) -> AsyncIterator[Secrets]:
    aihub.whose = company.whose
    aihub.barred.clear()
    async with installation.served(OLD) as server:
        made = await stored_by(server, installation.address, letters, company)
    yield made
    await made.admin.close()


async def test_what_is_stored_outlives_its_key(
    installation: Installation, secrets: Secrets, openai: OpenAIServer
) -> None:
    person = secrets.admin
    async with installation.served(NEW, OLD) as server:
        person.http.base_url = httpx.URL(f"{server.url}/api/v1/")
        assert (await person.http.get("/auth/me")).status_code == 200, "a token of the previous key is still good"
        _, said = await installation.run("doctor", NEW, OLD)
        for table in ("mcp_servers", "second_factors", "provider_sessions"):
            assert f"1 of {table} are not under the current key" in said
        assert "llama-service rotate-keys" in said
        await secrets.all_work(server.url, openai, 0)
        code, said = await installation.run("rotate-keys", NEW, OLD)
        assert code == 0, said
        for table in ("mcp_servers", "second_factors", "provider_sessions"):
            assert f"{table}: 1 encrypted anew." in said
        code, said = await installation.run("rotate-keys", NEW, OLD)
        assert (code, said.count(": 0 encrypted anew.")) == (0, 3), said
        _, said = await installation.run("doctor", NEW, OLD)
        assert "JWT_SECRET_KEY_PREVIOUS is set, and nothing stored needs it" in said
    async with installation.served(NEW) as server:
        await secrets.all_work(server.url, openai, 1)
        _, said = await installation.run("doctor", NEW)
        assert "secrets: all 3 that are stored are under the current key" in said
    with psycopg.connect(installation.address) as database:
        rows = database.execute("SELECT details FROM audit_events WHERE action = 'keys_rotated'").fetchall()
    assert [sum(row[0]["secrets"].values()) for row in rows] == [3, 0]


async def test_tokens_of_the_old_key_end_with_it_and_refresh_tokens_do_not(
    installation: Installation, secrets: Secrets
) -> None:
    person = secrets.admin
    async with installation.served(NEW) as server:
        person.http.base_url = httpx.URL(f"{server.url}/api/v1/")
        assert (await person.http.get("/auth/me")).status_code == 401
        renewed = await person.http.post("/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]})
        assert renewed.status_code == 200, renewed.text
        headers = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
        assert (await person.http.get("/auth/me", headers=headers)).status_code == 200


async def test_nothing_is_changed_where_something_cannot_be_read(installation: Installation, secrets: Secrets) -> None:
    with psycopg.connect(installation.address, autocommit=True) as database:
        # As somebody with the database alone would do it: a secret of a row is put into another one.
        row = database.execute("SELECT secret FROM second_factors").fetchone()
        assert row is not None
        database.execute("UPDATE provider_sessions SET tokens = %s", (row[0],))
        (session,) = database.execute("SELECT session_id FROM provider_sessions").fetchone() or ("",)
        before = database.execute("SELECT headers FROM mcp_servers").fetchone()
        code, said = await installation.run("rotate-keys", NEW, OLD)
        assert (code, "1 of provider_sessions can't be read" in said, str(session) in said) == (1, True, True), said
        assert "Traceback" not in said
        assert database.execute("SELECT headers FROM mcp_servers").fetchone() == before
        code, said = await installation.run("doctor", NEW, OLD)
        assert (code, "FAILURE   secrets: 1 of provider_sessions can't be read" in said) == (1, True), said
        assert str(session) in said
        # Without the key before, nothing can be read; no row is touched, and each is named.
        code, said = await installation.run("rotate-keys", NEW)
        assert (code, said.count("can't be read with the keys that are set")) == (1, 3), said
        assert database.execute("SELECT headers FROM mcp_servers").fetchone() == before


async def test_what_earlier_versions_stored_is_read_and_renewed(
    installation: Installation, secrets: Secrets, openai: OpenAIServer
) -> None:
    with psycopg.connect(installation.address, autocommit=True) as database:
        database.execute("UPDATE mcp_servers SET headers = %s", (former(OLD),))
        code, said = await installation.run("rotate-keys", OLD)
        assert (code, "mcp_servers: 1 encrypted anew." in said, said.count(": 0 ")) == (0, True, 2), said
        (renewed,) = database.execute("SELECT headers FROM mcp_servers").fetchone() or (b"",)
    assert renewed[0] == 1
    async with installation.served(OLD) as server:
        person = secrets.admin
        person.http.base_url = httpx.URL(f"{server.url}/api/v1/")
        openai.script(rounds=[[("letters__headers", {})]])
        answer = await person.ask("Who am I?", tools=["letters__headers"])
        assert answer["steps"][0]["result_preview"].startswith("authorization=Bearer 4711")


async def test_the_key_that_up_keeps_is_replaced(tmp_path: Path) -> None:
    folder = {"DATA_DIR": str(tmp_path)}
    code, said = await command("rotate-keys", "--new-key", **folder)
    assert (code, "there is no key" in said) == (1, True), said
    old = jwt_key_overrides(tmp_path)["jwt_secret_key"]
    code, said = await command("rotate-keys", "--new-key", **folder)
    assert (code, old in said) == (0, False), said
    kept = jwt_key_overrides(tmp_path)
    assert kept["jwt_secret_key_previous"] == old
    assert kept["jwt_secret_key"] not in (old, "")
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "secrets").iterdir()} == {0}
    code, said = await command("rotate-keys", "--new-key", **folder)
    assert (code, "take that file away first" in said) == (1, True), said
    assert jwt_key_overrides(tmp_path) == kept
    code, said = await command("rotate-keys", "--new-key", **folder, JWT_SECRET_KEY="k" * 40)
    assert (code, "JWT_SECRET_KEY is set" in said) == (1, True), said
