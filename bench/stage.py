"""The stage of benchmarks and recovery tests: real processes on loopback that can be killed and restarted."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.embeddings import EmbeddedEmbedder
from llama_service.runtime.http import get
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.runtime.process import Child, ChildSpec, base_environment, free_port, package_root
from tests.providers.aihub import STREAM_PATH, TOKEN_PATH, AIHubServer


@dataclass(frozen=True, slots=True)
class Script:
    """What the provider doubles say: `tokens` of them (None: an answer made from the question), `rate` a second.

    A turn that has tools on calls one of them in each of so many `rounds` before.
    """

    tokens: int | None = 200
    rate: float = 50.0
    rounds: int = 0


@dataclass
class Stage:
    """Postgres, Chroma and the provider doubles, with any number of API processes on top.

    Addresses stay the same when a part is restarted.
    """

    folder: Path
    postgres: EmbeddedPostgres
    chroma: EmbeddedChroma
    environment: dict[str, str]
    ports: dict[str, int]
    script: Script = field(default_factory=Script)
    doubles: Child | None = None
    apis: list[Child] = field(default_factory=list)

    async def say(self, script: Script) -> None:
        """Start the doubles, or start them again with another script, at the same ports."""
        if self.doubles is not None and self.doubles.running and script == self.script:
            return
        if self.doubles is not None:
            await self.doubles.stop()
        self.script = script
        options = [part for kind, port in self.ports.items() for part in (f"--{kind}", str(port))]
        options += ["--rate", str(script.rate), "--rounds", str(script.rounds)]
        options += ["--tokens", str(script.tokens)] if script.tokens else []
        self.doubles = Child(self.spec("doubles", ["tests.providers", *options], self.ports["openai"], "/v1/models"))
        await self.doubles.start()

    async def serve(self, name: str = "api", **environment: str) -> "Service":
        """Start an API process; `environment` goes over the stage's own."""
        return await self.serve_by(1, name, **environment)

    async def serve_by(self, workers: int, name: str = "api", **environment: str) -> "Service":
        """Start the API in so many processes; `environment` goes over the stage's own."""
        port = free_port()
        argv = ["llama_service", "serve", "--port", str(port), "--workers", str(workers)]
        child = Child(self.spec(name, argv, port, "/health", **{**self.environment, **environment}))
        self.apis.append(child)
        await child.start()
        return Service(child, f"http://127.0.0.1:{port}")

    async def work(self, **environment: str) -> Child:
        """Start a queue worker; `environment` goes over the stage's own."""
        child = Child(self.spec("worker", ["llama_service", "worker"], 0, "", **{**self.environment, **environment}))
        self.apis.append(child)
        await child.start()
        return child

    @contextlib.asynccontextmanager
    async def embeddings(self) -> AsyncIterator[dict[str, str]]:
        """Start the embeddings that the service ships with; yield the settings that lead to them."""
        key = "bench-embeddings"
        embedder = EmbeddedEmbedder(self.folder / "models", self.folder / "logs", api_key=key)
        await embedder.start()
        try:
            yield {
                "EMBEDDINGS_SOURCE": "embedded",
                "EMBEDDED_EMBEDDINGS_URL": embedder.url,
                "EMBEDDED_API_KEY": key,
            }
        finally:
            await embedder.stop()

    async def proxy(self) -> "Service":
        """Start the bare proxy in front of the doubles' OpenAI wire."""
        port = free_port()
        argv = ["bench.proxy", "--port", str(port), "--target", self.environment["OPENAI_BASE_URL"]]
        child = Child(self.spec("proxy", argv, port, "/health"))
        self.apis.append(child)
        await child.start()
        return Service(child, f"http://127.0.0.1:{port}")

    async def run(self, *arguments: str) -> None:
        """Run a command of the service to its end. Raises RuntimeError where it fails."""
        child = Child(self.spec("command", ["llama_service", *arguments], 0, "", **self.environment))
        await child.spawn()
        if await child.wait() != 0:
            raise RuntimeError(child.spec.log_path.read_text()[-2000:])

    def spec(self, name: str, argv: Sequence[str], port: int, path: str, **environment: str) -> ChildSpec:
        """Return how a module is run, with a log file of its own; it is ready when `path` answers at `port`."""

        async def is_ready() -> bool:
            if not port:
                return True
            with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                status, _ = await get(f"http://127.0.0.1:{port}{path}")
                return status == 200
            return False

        return ChildSpec(
            name=name,
            argv=[sys.executable, "-m", *argv],
            env={**base_environment(), "PYTHONPATH": str(package_root()), **environment},
            log_dir=self.folder / "logs",
            is_ready=is_ready,
            ready_timeout=60,
            stop_timeout=30,
            cwd=self.folder,
        )

    @property
    def postgres_pid(self) -> int:
        """The process id of Postgres's first process; its backends are children of it."""
        assert self.postgres.child.pid is not None
        return self.postgres.child.pid

    async def restart_postgres(self) -> None:
        """Stop Postgres, as an operator does, and start it on the same folder."""
        await self.postgres.stop()
        await self.postgres.start()

    async def close(self) -> None:
        """End the processes above the stores."""
        for child in [*self.apis, *([self.doubles] if self.doubles else [])]:
            await child.stop(timeout=10)


@dataclass(frozen=True, slots=True)
class Service:
    """A process that serves HTTP at `url`."""

    child: Child
    url: str

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.child.pid is not None
        return self.child.pid

    async def kill(self) -> None:
        """End it as `kill -9` does, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        await self.child.wait()

    def pause(self) -> None:
        """Stop the process where it stands."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def ready(self) -> tuple[int, dict[str, object]]:
        """Return what `/ready` says."""
        status, body = await get(f"{self.url}/ready")
        return status, json.loads(body)


def _environment(folder: Path, postgres: str, chroma: EmbeddedChroma, ports: dict[str, int]) -> dict[str, str]:
    base = {kind: f"http://127.0.0.1:{port}" for kind, port in ports.items()}
    return {
        "DATABASE_URL": postgres,
        "CHROMA_URL": chroma.url,
        "CHROMA_TOKEN": chroma.token,
        "DATA_DIR": str(folder / "data"),
        "JWT_SECRET_KEY": "bench-" + "k" * 40,
        "LOG_FORMAT": "json",
        "DEFAULT_MODEL_SOURCE": "openai",
        "MODEL_FALLBACK_SOURCES": "openai",
        "EMBEDDINGS_SOURCE": "openai",
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"{base['openai']}/v1",
        "EMBEDDINGS_BASEURL": base["ollama"],
        "AIHUB_URL": base["aihub"] + AIHubServer.base_path,
        "AIHUB_KEYCLOAK_HOST": base["aihub"] + TOKEN_PATH,
        "AIHUB_CLIENT_ID": AIHubServer.client_id,
        "AIHUB_CLIENT_SECRET": AIHubServer.client_secret,
        "AIHUB_MODEL": "hub-chat",
        "AIHUB_EMBED_MODEL": "hub-embed",
        "AIHUB_CHAT_STREAM_PATH": STREAM_PATH,
        "LOGIN_ATTEMPTS_PER_MINUTE": "1000",
    }


@contextlib.asynccontextmanager
async def stage(folder: Path, *, fsync: bool = True, script: Script | None = None) -> AsyncIterator[Stage]:
    """Start the stores and the doubles and bring the schema up to date; end all of it at the exit."""
    logs = folder / "logs"
    ports = {kind: free_port() for kind in ("openai", "ollama", "aihub")}
    async with contextlib.AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder, logs, fsync=fsync))
        chroma = await stack.enter_async_context(EmbeddedChroma(folder / "chroma", logs))
        made = Stage(folder, postgres, chroma, _environment(folder, postgres.dsn, chroma, ports), ports)
        stack.push_async_callback(made.close)
        await made.say(script or Script())
        await made.run("migrate")
        yield made
