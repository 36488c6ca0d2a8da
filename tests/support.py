"""A running server, and people who use it."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.main import KEEP_ALIVE
from api.protocol import BoundedProtocol
from graphs.chat import Builder, builder
from llama_service.settings import Settings, load_settings
from persistence.migrate import migrate

T = TypeVar("T")
PASSWORD = "correct horse battery"


@dataclass
class Server:
    """An application that is being served; `app.state.resources` are its real resources."""

    url: str
    app: FastAPI
    settings: Settings


def new_database(postgres: str, prefix: str) -> str:
    """Make an empty database on a server; return its address."""
    name = f"{prefix}_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlsplit(postgres)._replace(path=f"/{name}").geturl()


async def migrated_database(postgres: str, prefix: str) -> str:
    """Make a database with the newest schema on a server; return its address."""
    address = new_database(postgres, prefix)
    await asyncio.to_thread(migrate, load_settings(jwt_secret_key="k" * 40, database_url=address, _env_file=None))
    return address


async def command(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command of the README as it stands there; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llama_service", *arguments),
        env={"PATH": "/usr/bin:/bin", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@asynccontextmanager
async def serving(settings: Settings, chat_graph: Builder = builder) -> AsyncIterator[Server]:
    """Serve an application on a free port of loopback, in this process."""
    app = create_app(settings, chat_graph)
    config = uvicorn.Config(
        app,
        port=0,
        http=BoundedProtocol,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        if task.done():
            await task
            raise RuntimeError("the application did not start")
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(f"http://127.0.0.1:{port}", app, settings)
    finally:
        server.should_exit = True
        await task


@dataclass
class Event:
    """One SSE event."""

    id: int
    name: str
    data: dict[str, Any]


async def events_of(response: httpx.Response) -> AsyncIterator[Event]:
    """Yield the events of an SSE answer; checks that each has id, name and one line of data."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line == "":
            if fields:
                data = json.loads(fields["data"])
                assert data["type"] == fields["event"]
                yield Event(int(fields["id"]), fields["event"], data)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            assert name not in fields, f"two lines of {name}"
            fields[name] = value


@dataclass
class Person:
    """An account with a client that is signed in to it."""

    http: httpx.AsyncClient
    name: str
    email: str
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def join(cls, url: str, password: str = PASSWORD) -> "Person":
        """Register and sign in."""
        name = f"u{uuid4().hex[:12]}"
        http = httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60)
        person = cls(http, name, f"{name}@example.com", password)
        body = {"username": name, "email": person.email, "password": password}
        answer = await http.post("/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        await person.sign_in()
        return person

    @classmethod
    async def enter(cls, url: str, name: str, password: str) -> "Person":
        """Sign in to an account that is there."""
        person = cls(httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60), name, "", password)
        await person.sign_in()
        return person

    async def sign_in(self) -> None:
        """Sign in and use the token from now on."""
        answer = await self.http.post("/auth/login", json={"username": self.name, "password": self.password})
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()
        self.http.headers["Authorization"] = f"Bearer {self.tokens['access_token']}"
        self.http.cookies.clear()

    async def close(self) -> None:
        """Close the client."""
        await self.http.aclose()

    async def get(self, path: str, **params: Any) -> Any:
        """GET that must succeed."""
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(self, message: str, **fields: Any) -> dict[str, Any]:
        """Ask and return the whole answer."""
        answer = await self.http.post("/chat", json={"message": message, **fields})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def stream(self, message: str, **fields: Any) -> list[Event]:
        """Ask and return all events of the stream."""
        body = {"message": message, **fields}
        async with self.http.stream("POST", "/chat/stream", json=body) as response:
            assert response.status_code == 200, await response.aread()
            return [event async for event in events_of(response)]

    async def upload(self, name: str, content: bytes, **fields: str) -> dict[str, Any]:
        """Upload a file and return it as it is at once."""
        answer = await self.http.post("/files/upload", files={"file": (name, content)}, data=fields)
        assert answer.status_code in (200, 202), answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def indexed(self, name: str, content: bytes, **fields: str) -> dict[str, Any]:
        """Upload a file and wait until its indexing has ended, one way or the other."""
        file = await self.upload(name, content, **fields)

        async def ended() -> dict[str, Any] | None:
            state: dict[str, Any] = await self.get(f"/files/status/{file['id']}")
            return state if state["status"] in ("completed", "partial_success", "failed") else None

        return await eventually(ended)


async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = 60) -> T:
    """Return the first answer of `look` that is there; fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)
