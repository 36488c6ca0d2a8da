"""Two versions on one database: people stream from both, the schema is brought up, each finishes for the other."""

import asyncio
import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Service, Stage, stage
from llama_service.dsn import PostgresDsn
from persistence.migrate import LOCK_SECONDS, upgrade
from tests.integration.recovery.conftest import LONG, at
from tests.integration.recovery.test_workers import WHOLE
from tests.support import command, eventually, new_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PREVIOUS = "075fe87"
"""The version before this one, which has to work beside it; moved on with each release (CONTRIBUTING, Migrations)."""
CONTINUES: dict[str, Any] = {"model_source": "ollama"}


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with the previous version's code, as git has it."""
    packed = subprocess.run(["git", "archive", PREVIOUS], cwd=request.config.rootpath, capture_output=True)
    if packed.returncode != 0:
        pytest.skip(f"{PREVIOUS} is not in this clone's history")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    page = request.config.rootpath / "ui" / "dist"
    if page.is_dir():
        shutil.copytree(page, folder / "ui" / "dist")
    return folder


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Stores of their own: no other service works on these runs."""
    async with stage(tmp_path_factory.mktemp("upgrade"), fsync=False, script=LONG) as made:
        yield made


def schema(address: str) -> str:
    with psycopg.connect(address) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row is not None
    return str(row[0])


async def begun(accounts: Sequence[Account]) -> tuple[list[Follower], list["asyncio.Task[None]"]]:
    """Ask with each of these accounts; return when all answers have begun."""
    followers = [Follower(account) for account in accounts]
    reading = [asyncio.create_task(follower.ask("Count for me.", **CONTINUES)) for follower in followers]

    async def all_speak() -> bool:
        return all(follower.heard(5)() for follower in followers)

    await eventually(all_speak, 60)
    return followers, reading


async def finished_at(followers: Sequence[Follower], service: Service) -> None:
    """Read on at another process until the end; every word has to be there, once and in order."""

    async def finish(follower: Follower) -> None:
        for _ in range(60):
            if follower.ended:
                break
            await follower.resume(at(follower.account, service))
        assert (follower.text, follower.faults) == (WHOLE, [])
        assert follower.events[-1].name == "done"

    await asyncio.gather(*(finish(follower) for follower in followers))


async def test_a_rolling_upgrade_and_the_way_back_lose_no_word(
    made: Stage, http: aiohttp.ClientSession, previous: Path
) -> None:
    address = new_database(made.environment["DATABASE_URL"], "rolling")
    here = {"DATABASE_URL": address}
    before = {**here, "PYTHONPATH": str(previous)}
    prepared = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llama_service", "migrate"),
        cwd=previous,
        env={"PATH": "/usr/bin:/bin", **made.environment, **before},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await prepared.wait() == 0
    was = schema(address)
    old = await made.serve("old", **before)
    anna, boris = await Account(http, old.url).join(), await Account(http, old.url).join()
    file = (await anna.upload("tower.txt", b"The tower is 36 metres high."))["id"]

    # The schema is brought up while the old version answers; the new one joins in.
    first, reading = await begun([anna, boris])
    code, said = await command("migrate", **{**made.environment, **here})
    assert code == 0, said
    new = await made.serve("new", **here)
    second, more = await begun([at(anna, new), at(boris, new)])
    await asyncio.gather(*reading, *more)
    assert [follower.text for follower in first + second] == [WHOLE] * 4

    async def is_indexed() -> bool:
        found = await at(anna, new).call("POST", "/search", {"query": "How high is the tower?"})
        return any(passage["file_id"] == file for passage in found["passages"])

    await eventually(is_indexed)

    # The old one is killed while both answer, as orchestrators do: the new one finishes for it.
    left, reading = await begun([anna, boris])
    stay, more = await begun([at(anna, new)])
    await old.kill()
    await asyncio.gather(*reading, *more)
    await finished_at([*left, *stay], new)

    # And back: the old version, on the schema as it is now, takes over from the new one.
    again = await made.serve("old-again", **before)
    left, reading = await begun([at(anna, new), at(boris, new)])
    stay, more = await begun([at(anna, again)])
    await new.kill()
    await asyncio.gather(*reading, *more)
    await finished_at([*left, *stay], again)
    await at(anna, again).upload("late.txt", b"It was painted white in 1901.")
    assert schema(address) >= was


async def test_a_schema_from_the_future_is_worked_with_where_it_says_so(made: Stage) -> None:
    address = new_database(made.environment["DATABASE_URL"], "future")
    place = {**made.environment, "DATABASE_URL": address}
    code, said = await command("serve", "--port", "1", **place)
    assert (code, "run `llama-service migrate` first" in said, "Traceback" in said) == (1, True, False), said
    assert (await command("migrate", **place))[0] == 0
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        # The newer version says that code which knows our newest revision can go on.
        connection.execute("UPDATE schema_floor SET oldest_code = '0018'")
        code, said = await command("migrate", **place)
        assert (code, "schema_is_newer" in said) == (0, True), said
        api = await made.serve("older", DATABASE_URL=address)
        assert (await api.ready())[0] == 200
        connection.execute("UPDATE schema_floor SET oldest_code = '9998'")
    for arguments in (("migrate",), ("serve", "--port", "1"), ("worker",), ("migrate", "--plan")):
        code, said = await command(*arguments, **place)
        assert (code, "this one can't work with" in said, "Traceback" in said) == (1, True, False), said


async def test_the_plan_tells_what_is_locked_and_for_whom(made: Stage) -> None:
    address = new_database(made.environment["DATABASE_URL"], "planned")
    place = {**made.environment, "DATABASE_URL": address}
    code, said = await command("migrate", "--plan", **place)
    assert (code, "migrations would be applied" in said) == (0, True), said
    with psycopg.connect(address) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row == (0,), "a plan changes nothing"
    # As of the schema before personal things, whose migration alters tables that are there.
    await asyncio.to_thread(bring_to, address, "0009")
    older = new_database(made.environment["DATABASE_URL"], "older")
    await asyncio.to_thread(bring_to, older, "0004")
    fresh = {**made.environment, "DATABASE_URL": older}
    code, said = await command("migrate", "--plan", **place)
    assert code == 0, said
    plan = re.search(r"^0010 .*?(?=^0011 )", said, re.DOTALL | re.MULTILINE)
    assert plan, said
    assert "conversations: " in plan[0]
    assert "AccessExclusiveLock" in plan[0]
    assert "readers and writers wait" in plan[0]
    # One that alters a table and changes its rows: all of that is told.
    both = re.search(r"^0005 .*?(?=^0006 )", (await command("migrate", "--plan", **fresh))[1], re.DOTALL | re.MULTILINE)
    assert both, "0005 is pending there"
    assert re.search(r"files: its rows are changed.*AccessExclusiveLock", both[0]), both[0]
    code, said = await command("migrate", **place)
    assert (code, "0010 " in said, "conversations (AccessExclusiveLock)" in said) == (0, True, True), said
    code, said = await command("migrate", "--plan", **place)
    assert (code, said.strip().endswith("The database is up to date.")) == (0, True), said


def bring_to(address: str, revision: str) -> None:
    upgrade(PostgresDsn.of(address), revision)


async def test_two_migrate_at_once_and_every_index_is_whole(made: Stage) -> None:
    address = new_database(made.environment["DATABASE_URL"], "twice")
    place = {**made.environment, "DATABASE_URL": address}
    ended = await asyncio.gather(*(command("migrate", **place) for _ in range(3)))
    assert [code for code, _ in ended] == [0, 0, 0], ended
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    with psycopg.connect(address, autocommit=True) as connection:
        assert connection.execute(invalid).fetchone() == (0,)
        # As one is left that was being built when its migration died.
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'checkpoints_thread_id_idx'::regclass"
        )
        code, said = await command("migrate", **place)
        assert (code, "index_built_anew" in said) == (0, True), said
        assert connection.execute(invalid).fetchone() == (0,)


async def test_a_migration_that_waits_for_a_table_lets_others_pass(made: Stage) -> None:
    """Behind a waiting ALTER everybody would wait: it gives up after some seconds, and tries again."""
    address = new_database(made.environment["DATABASE_URL"], "busy")
    place = {**made.environment, "DATABASE_URL": address}
    await asyncio.to_thread(bring_to, address, "0009")
    async with await psycopg.AsyncConnection.connect(address) as report:
        await report.execute("SELECT count(*) FROM conversations")  # a long one: its transaction stays open
        migrating = asyncio.create_task(command("migrate", **place))
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as other:

            async def it_waits() -> bool:
                found = await other.execute(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'conversations'::regclass"
                )
                row = await found.fetchone()
                return row is not None and row[0] > 0

            await eventually(it_waits, 60)
            await other.execute(f"SET lock_timeout = '{LOCK_SECONDS + 3}s'")
            await other.execute("SELECT count(*) FROM conversations")
    code, said = await migrating
    assert (code, "migration_waits_for_a_lock" in said) == (0, True), said
