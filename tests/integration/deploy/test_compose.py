"""The compose file's commands, in its order, on real stores: migrate, embeddings, api, worker; a question, a backup.

No container runs here: commands, environments, healthchecks and conditions are the file's, and the Dockerfile's; host
names, ports and folders alone are replaced. What is before it (nginx) has tests of its own.
"""

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.process import base_environment, free_port
from tests.integration.deploy.compose import DEPLOY, Service, filled_in, in_order, read
from tests.providers import OllamaServer
from tests.support import Person, eventually, new_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# What the fixtures are in place of, and what tests/integration/runtime/test_behind_nginx.py runs.
STORES = {"postgres", "chroma", "ollama"}
ELSEWHERE = {"nginx"}
# Run when somebody wants it, not with the others.
ON_DEMAND = {"backup"}
ROOT = DEPLOY.parent
PROGRAMS = {"llama-service": str(Path(sys.executable).with_name("llama-service")), "python": sys.executable}


@dataclass
class Containers:
    """The services, each a process; `here` is what stands for hosts and folders, `port` for the API's."""

    folder: Path
    here: dict[str, str]
    port: int
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def _here(self, text: str) -> str:
        places = "|".join(map(re.escape, self.here))
        return re.sub(places, lambda found: self.here[found.group()], text)

    async def start(self, service: Service) -> asyncio.subprocess.Process:
        """Start a service's command with its environment."""
        environment = {name: self._here(value) for name, value in service.environment.items()}
        environment["PORT"] = str(self.port)
        program, *words = service.command
        with (self.folder / f"{service.name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(PROGRAMS[program], *map(self._here, words)),
                cwd=self.folder,
                # The image has installed what the checkout holds.
                env={**base_environment(), "PYTHONPATH": str(ROOT), **environment},
                stdout=log,
                stderr=log,
            )
        self.running[service.name] = process
        return process

    def log(self, name: str) -> str:
        """Return what a service has said."""
        return (self.folder / f"{name}.log").read_text()

    async def fulfil(self, service: Service, condition: str) -> None:
        """Wait until a service is as those after it want it."""
        process = self.running[service.name]
        if condition == "service_completed_successfully":
            assert await process.wait() == 0, self.log(service.name)
        elif condition == "service_healthy":
            await eventually(lambda: self._is_well(service), 90)
        assert condition == "service_completed_successfully" or process.returncode is None, self.log(service.name)

    async def _is_well(self, service: Service) -> bool:
        assert service.healthcheck is not None, f"{service.name} has no healthcheck, and others wait for it"
        assert self.running[service.name].returncode is None, self.log(service.name)
        program, *words = service.healthcheck
        check = await asyncio.create_subprocess_exec(
            *(PROGRAMS[program], *map(self._here, words)),
            env={**base_environment(), "PORT": str(self.port)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await check.wait() == 0:
            return True
        await asyncio.sleep(0.5)  # as compose leaves time between two checks: each is a process
        return False

    async def stop(self, service: Service) -> float:
        """Stop a service as `docker compose stop` does; return the seconds that it took. Fails after its grace."""
        process = self.running[service.name]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), service.stop_grace_seconds)
        return time.monotonic() - began


@pytest.fixture
def filled_env(ollama: OllamaServer, chroma: EmbeddedChroma) -> dict[str, str]:
    """Return what an operator makes of deploy/env.example, with a setting of .env.example beside it, and one process.

    tests/integration/runtime/test_serve.py runs two.
    """
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    empty = [name for name, value in given.items() if not value]
    assert {"JWT_SECRET_KEY", "POSTGRES_PASSWORD", "EMBEDDED_API_KEY"} == set(empty)
    assert chroma.token is not None
    secrets = {name: f"{name.lower()}-{'x' * 32}" for name in empty}
    return {**given, **secrets, "CHROMA_TOKEN": chroma.token, "WORKERS": "1"}


@asynccontextmanager
async def containers(folder: Path, here: dict[str, str]) -> AsyncIterator[Containers]:
    """Run services in a folder; what still runs at the exit is killed."""
    made = Containers(folder, here, free_port())
    try:
        yield made
    finally:
        for process in made.running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


def test_every_service_is_looked_at() -> None:
    described = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(described) == STORES | ELSEWHERE | ON_DEMAND | {"migrate", "embeddings", "api", "worker"}
    for name, service in described.items():
        assert "prod" in service["profiles"] or name in ON_DEMAND


def test_nothing_starts_without_its_secrets() -> None:
    for name in ("JWT_SECRET_KEY", "POSTGRES_PASSWORD", "EMBEDDED_API_KEY"):
        others = {one: "x" for one in ("JWT_SECRET_KEY", "POSTGRES_PASSWORD", "EMBEDDED_API_KEY") if one != name}
        with pytest.raises(KeyError, match=name):
            read(others)
    assert filled_in("${A:-b}${C}", {"C": "d"}) == "bd"


async def test_from_migration_to_an_answer(
    postgres: str, chroma: EmbeddedChroma, ollama: OllamaServer, filled_env: dict[str, str], tmp_path: Path
) -> None:
    services = read(filled_env)
    on_demand = services.pop("backup")
    embeddings_port = free_port()
    for folder in ("data", "backups"):
        (tmp_path / folder).mkdir()
    here = {
        f"postgresql://llama:{filled_env['POSTGRES_PASSWORD']}@postgres:5432/llama": new_database(postgres, "compose"),
        "http://chroma:8000": chroma.url,
        "http://ollama:11434": ollama.url,
        "embeddings:8081": f"127.0.0.1:{embeddings_port}",
        "127.0.0.1:8081": f"127.0.0.1:{embeddings_port}",
        "--port=8081": f"--port={embeddings_port}",
        "0.0.0.0": "127.0.0.1",
        "/data": str(tmp_path / "data"),
        "/backups": str(tmp_path / "backups"),
    }
    async with containers(tmp_path, here) as made:
        for service in in_order(services):
            for name, condition in service.waits_for.items():
                if name not in STORES:
                    await made.fulfil(services[name], condition)
            await made.start(service)
        await made.fulfil(services["api"], "service_healthy")
        person = await Person.join(f"http://127.0.0.1:{made.port}")
        try:
            ollama.script(reply="Ninety metres [1].")
            file = await person.indexed("tower.txt", b"The tower of the harbour is ninety metres high.")
            answer = await person.ask("How high is the tower of the harbour?", file_ids=[file["id"]])
            assert answer["response"] == "Ninety metres [1]."
            assert [source["file_name"] for source in answer["sources"]] == ["tower.txt"]
            found = (await person.http.post("/search", json={"query": "Wie hoch ist der Turm?"})).json()["passages"]
            assert [passage["file_name"] for passage in found] == ["tower.txt"], "the embeddings know German"
        finally:
            await person.close()
        await made.start(on_demand)
        await made.fulfil(on_demand, "service_completed_successfully")
        assert "1 files" in made.log("backup")
        for name in ("api", "worker"):
            await made.stop(services[name])
            assert made.running[name].returncode in (0, -signal.SIGTERM), made.log(name)
            assert "Traceback" not in made.log(name)
