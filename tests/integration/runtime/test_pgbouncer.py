"""PgBouncer in transaction mode before Postgres: works with a second address for what needs a session."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llama_service.runtime.process import Child, ChildSpec, base_environment, free_port
from tests.integration.runtime.test_connection_strings import environment, service
from tests.providers import OpenAIServer
from tests.support import Person, new_database

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pgbouncer") is None, reason="PgBouncer is not installed (apt-get install pgbouncer)"
    ),
]

CONFIGURATION = """
[databases]
{name} = host={socket} port=5432 dbname={name} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
"""


def let_others_in(configuration: Path, socket: Path) -> None:
    """Let another user read the configuration and reach the tests' Postgres; the folders above are the tests' own."""
    configuration.chmod(0o644)
    (socket / ".s.PGSQL.5432").chmod(0o777)
    for folder in (socket, *configuration.parents, *socket.parents):
        if folder.name.startswith("pytest-") or any(above.name.startswith("pytest-") for above in folder.parents):
            folder.chmod(0o755)
    socket.chmod(0o755)


@pytest.fixture
async def own_database(postgres: str) -> str:
    """A database of its own: the worker of another service on the same one would take this one's file, and miss it."""
    return new_database(postgres, "pooled")


@pytest.fixture
async def pooled(own_database: str, tmp_path: Path) -> AsyncIterator[str]:
    """Address of a PgBouncer before the tests' Postgres."""
    port = free_port()
    path = tmp_path / "pgbouncer.ini"
    name, socket = urlsplit(own_database).path[1:], own_database.partition("host=")[2]
    path.write_text(CONFIGURATION.format(name=name, socket=socket, port=port))

    async def is_ready() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    argv = ["pgbouncer", str(path)]
    if os.geteuid() == 0:  # which PgBouncer refuses to run as
        argv[1:1] = ["-u", "nobody"]
        let_others_in(path, Path(socket))
    child = Child(ChildSpec("pgbouncer", argv, base_environment(), tmp_path, is_ready, ready_timeout=20))
    await child.start()
    yield f"postgresql://postgres@127.0.0.1:{port}/{name}"
    await child.stop()


async def test_turns_and_files_work_through_a_pooler(
    pooled: str, own_database: str, openai: OpenAIServer, tmp_path: Path
) -> None:
    port = free_port()
    variables = environment(pooled, tmp_path, openai) | {"DATABASE_SESSION_URL": own_database}
    migrating = service(tmp_path, "migrate", **variables)
    await migrating.spawn()
    assert await migrating.wait() == 0, migrating.spec.log_path.read_text()
    serving = service(tmp_path, "serve", "--port", str(port), **variables)
    await serving.start()
    try:
        person = await Person.join(f"http://127.0.0.1:{port}")
        answers = await asyncio.gather(*(person.ask(f"Question {n}?") for n in range(20)))
        assert all(answer["response"] for answer in answers)
        thread = answers[0]["conversation_id"]
        for number in range(5):
            await person.ask(f"And {number}?", conversation_id=thread)
        file = await person.indexed("a.txt", b"The Falcon drill has a warranty of 37 months.")
        assert file["status"] in ("completed", "partial_success")
        log = serving.spec.log_path.read_text()
        assert "prepared statement" not in log
        assert "listener_lost" not in log
        await person.close()
    finally:
        await serving.stop()


async def test_without_the_second_address_one_line_says_what_is_needed(
    pooled: str, openai: OpenAIServer, tmp_path: Path
) -> None:
    port = free_port()
    serving = service(tmp_path, "serve", "--port", str(port), **environment(pooled, tmp_path, openai))
    await serving.spawn()
    assert await asyncio.wait_for(serving.wait(), 60) != 0
    said = serving.spec.log_path.read_text()
    assert "DATABASE_SESSION_URL" in said.splitlines()[-1]
    assert "Traceback" not in said
