"""The clients of the benchmarks: cheap readers of streams, and accounts that are signed in."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import psutil

_FIRST_TOKEN = (b"event: chunk", b'"content":" t', b'"text":" t')


class Refused(ValueError):
    """The server answered with an error; `status` is HTTP's."""

    def __init__(self, what: str, status: int, body: str) -> None:
        self.status = status
        super().__init__(f"{what}: {status} {body[:500]}")


@dataclass(slots=True)
class Heard:
    """A stream as its reader saw it. Times are seconds since the request was sent."""

    first: float = 0.0
    whole: float = 0.0
    size: int = 0
    tail: bytes = b""


async def listen(session: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str] | None = None) -> Heard:
    """Post `body` and read the stream to its end. Raises Refused, and ValueError for no good answer."""
    heard, begun = Heard(), time.perf_counter()
    async with session.post(url, data=orjson.dumps(body), headers=headers) as response:
        if response.status != 200:
            raise Refused(url, response.status, await response.text())
        async for piece in response.content.iter_any():
            if not heard.first and any(mark in piece for mark in _FIRST_TOKEN):
                heard.first = time.perf_counter() - begun
            heard.size += len(piece)
            heard.tail = (heard.tail + piece)[-2000:]
    heard.whole = time.perf_counter() - begun
    if not heard.first or b"event: error" in heard.tail:
        raise ValueError(f"no good answer: {heard.tail!r}")
    return heard


def provider_body(question: str) -> dict[str, Any]:
    """Return what a client sends straight to a server of OpenAI's wire."""
    messages = [{"role": "user", "content": question}]
    return {"model": "gpt-4", "stream": True, "messages": messages}


@dataclass
class Account:
    """Somebody signed in at an API process."""

    session: aiohttp.ClientSession
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    user_id: str = ""

    async def join(self) -> "Account":
        """Register and sign in."""
        name, password = f"b{uuid4().hex[:12]}", "correct horse battery"
        body = {"username": name, "email": f"{name}@example.com", "password": password}
        self.user_id = (await self.call("POST", "/auth/register", body))["id"]
        tokens = await self.call("POST", "/auth/login", {"username": name, "password": password})
        self.headers = {"Authorization": f"Bearer {tokens['access_token']}", "Content-Type": "application/json"}
        return self

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call a route that must succeed; return its JSON."""
        headers = self.headers or {"Content-Type": "application/json"}
        data = orjson.dumps(body) if body is not None else None
        async with self.session.request(method, f"{self.url}/api/v1{path}", data=data, headers=headers) as response:
            raw = await response.read()
            if response.status >= 300:
                raise Refused(f"{method} {path}", response.status, raw.decode(errors="replace"))
            return orjson.loads(raw) if raw else None

    async def upload(self, name: str, content: bytes) -> Any:
        """Upload a file and return it as it is at once. Raises Refused."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        url = f"{self.url}/api/v1/files/upload"
        headers = {"Authorization": self.headers["Authorization"]}
        async with self.session.post(url, data=form, headers=headers) as response:
            if response.status >= 300:
                raise Refused(url, response.status, await response.text())
            return await response.json()

    async def ask(self, question: str, **fields: Any) -> Heard:
        """Ask over `/chat/stream` and read the answer."""
        return await listen(
            self.session, f"{self.url}/api/v1/chat/stream", {"message": question, **fields}, self.headers
        )

    async def conversation(self, turns: int = 1) -> str:
        """Return a conversation of so many turns."""
        made = await self.call("POST", "/conversations", {"title": "bench"})
        for number in range(turns):
            await self.ask(f"Question {number}?", conversation_id=made["id"])
        return str(made["id"])


@asynccontextmanager
async def clients(count: int = 0) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session with as many connections as are asked for (0: no limit)."""
    connector = aiohttp.TCPConnector(limit=count)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, its threads included and its children not."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def spent_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, its children, and those of its children that have ended."""
    total = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and the children that it has now."""
    process = psutil.Process(pid)
    return cpu_seconds(pid) + sum(cpu_seconds(child.pid) for child in process.children(recursive=True))


async def settle(seconds: float = 0.3) -> None:
    """Let what follows an answer (titles, checkpoints) end before the next measurement."""
    await asyncio.sleep(seconds)


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def median(values: list[float]) -> float:
    """Return the middle value."""
    return percentile(values, 0.5)
