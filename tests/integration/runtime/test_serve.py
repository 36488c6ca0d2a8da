"""`llama-service serve --workers 2` as the README says it: it comes up, outlives a child, and stops in order."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import psutil
import pytest

from bench.follower import Follower
from bench.load import Account, clients
from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.process import base_environment, free_port
from tests.integration.runtime.supervisors import ROOT
from tests.providers import OllamaServer
from tests.support import eventually, migrated_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

COMMAND = Path(sys.executable).with_name("llama-service")


@dataclass
class Served:
    """The running command."""

    process: asyncio.subprocess.Process
    url: str
    log: Path

    def children(self) -> list[psutil.Process]:
        """Return the processes that serve: multiprocessing has a helper of its own beside them."""
        family = psutil.Process(self.process.pid).children()
        alive = [child for child in family if child.status() != psutil.STATUS_ZOMBIE]
        return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]

    async def is_up(self) -> bool:
        assert self.process.returncode is None, self.log.read_text()
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.url}/health")).status_code == 200
            except httpx.TransportError:
                return False

    async def has_two(self) -> bool:
        return len(self.children()) == 2


def command_of(installed: Path) -> list[str]:
    """Return the command as the README says it; from a checkout, the one that `make` has put there."""
    assert installed.is_file(), "scripts/bootstrap.py writes this command"
    return [str(installed)]


@pytest.fixture
async def own_database(postgres: str) -> str:
    """A database of its own: another service on the same one would take over the runs of a child that was killed."""
    return await migrated_database(postgres, "served")


@pytest.fixture
async def served(
    own_database: str, chroma: EmbeddedChroma, ollama: OllamaServer, tmp_path: Path
) -> AsyncIterator[Served]:
    """The command, on a Postgres whose address is written as a managed service gives it; its secrets lie in files."""
    ollama.script(tokens=[f" t{n % 10}" for n in range(120)], delay=0.05)
    port, log = free_port(), tmp_path / "serve.log"
    secrets = {
        "DATABASE_URL": f"{own_database}&sslmode=prefer".replace("postgresql://", "postgres://"),
        "JWT_SECRET_KEY": "w" * 40,
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(f"{secret}\n")
    variables = {
        **{f"{name}_FILE": str(tmp_path / name) for name in secrets},
        "CHROMA_URL": chroma.url,
        "CHROMA_TOKEN": chroma.token,
        "DATA_DIR": str(tmp_path / "data"),
        "DEFAULT_MODEL_SOURCE": "ollama",
        "MODEL_FALLBACK_SOURCES": "ollama",
        "EMBEDDINGS_SOURCE": "ollama",
        "EMBEDDINGS_BASEURL": ollama.url,
        "SHUTDOWN_GRACE_SECONDS": "1",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command_of(COMMAND),
            *("serve", "--workers", "2", "--port", str(port)),
            cwd=ROOT,
            env={**base_environment(), **variables},
            stdout=output,
            stderr=output,
        )
    made = Served(process, f"http://127.0.0.1:{port}", log)
    try:
        await eventually(made.is_up, 90)
        await eventually(made.has_two, 30)
        yield made
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.returncode is None else []:
            child.kill()
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with clients() as session:
        yield session


async def follow(follower: Follower) -> None:
    """Read a run to its end, coming back as often as the server goes away."""
    for _ in range(20):
        if follower.ended:
            return
        await asyncio.sleep(0.5)  # as a client waits before it comes back
        await follower.resume()
    raise AssertionError("the run never ended")


WHOLE = "".join(f" t{n % 10}" for n in range(120))


async def test_a_killed_child_is_replaced_and_its_answer_is_finished(
    served: Served, http: aiohttp.ClientSession
) -> None:
    anna = await Account(http, served.url).join()
    followers = [Follower(anna) for _ in range(4)]
    reading = [asyncio.create_task(follower.ask("Count for me.")) for follower in followers]

    async def all_begun() -> bool:
        return all(follower.heard(5)() for follower in followers)

    await eventually(all_begun)
    victim = served.children()[0]
    # The hardest moment: it is asked for its health (twice a second), and dies before it answers.
    victim.suspend()
    await asyncio.sleep(2)
    victim.kill()
    await asyncio.gather(*reading)
    await asyncio.gather(*(follow(follower) for follower in followers))
    assert [follower.text for follower in followers] == [WHOLE] * 4
    assert [follower.faults for follower in followers] == [[]] * 4

    async def replaced() -> bool:
        return len(served.children()) == 2 and victim.pid not in {child.pid for child in served.children()}

    await eventually(replaced, 30)
    assert await served.is_up()


async def test_the_two_count_as_one(served: Served, http: aiohttp.ClientSession) -> None:
    """Whichever process is asked for `/metrics`, it tells what both have counted; one that has died counts no more."""
    anna = await Account(http, served.url).join()
    followers = [Follower(anna) for _ in range(6)]
    await asyncio.gather(*(follower.ask("Count for me.") for follower in followers))

    async def counted(series: str) -> set[float]:
        """Ask both: each connection goes to one of them."""
        found = set()
        for _ in range(12):
            async with httpx.AsyncClient() as client:
                told = (await client.get(f"{served.url}/metrics")).text
            found |= {float(line.split()[-1]) for line in told.splitlines() if line.startswith(series)}
        return found

    completed = 'llama_runs_total{source="ollama",status="completed"}'

    async def all_are_counted() -> bool:
        return await counted(completed) == {6.0}

    await eventually(all_are_counted)
    assert await counted('llama_db_connections{pool="checkpoints",state="most"}') == {12.0}
    served.children()[0].kill()

    async def replaced() -> bool:
        return len(served.children()) == 2 and await counted("llama_build_info") == {1.0}

    await eventually(replaced, 30)

    async def both_are_there() -> bool:
        return await counted('llama_db_connections{pool="checkpoints",state="most"}') == {12.0}

    await eventually(both_are_there, 30)
    assert await counted(completed) == {6.0}


async def test_it_stops_in_order_while_answers_stream(served: Served, http: aiohttp.ClientSession) -> None:
    anna = await Account(http, served.url).join()
    followers = [Follower(anna) for _ in range(4)]
    reading = [asyncio.create_task(follower.ask("Count for me.")) for follower in followers]

    async def all_begun() -> bool:
        return all(follower.heard(5)() for follower in followers)

    await eventually(all_begun)
    began = time.monotonic()
    os.kill(served.process.pid, signal.SIGTERM)
    await asyncio.gather(*reading)
    assert await asyncio.wait_for(served.process.wait(), 30) == 0
    assert time.monotonic() - began < 12
    assert "Traceback" not in served.log.read_text()
    assert not any(follower.ended for follower in followers), "the next server goes on with them"
