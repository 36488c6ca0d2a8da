"""CPU that reading a provider's stream costs, for each source, against bare readers of the same server.

    python -m bench.wire [--streams 10] [--rate 50] [--tokens 250] [--json PATH]

The doubles of `tests.providers` run in a process of their own; only this process's CPU is counted. The bare readers
open the same requests with httpx and aiohttp and look at nothing. `flood` reads as fast as the server sends.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import httpx
import uvloop
from langchain_core.messages import HumanMessage

from chains.models import ModelRegistry
from llama_service.settings import Settings
from tests.providers.aihub import STREAM_PATH, TOKEN_PATH, AIHubServer

PROMPT = [HumanMessage("How does the weather come about?")]
BODY = {"model": "gpt-4", "stream": True, "messages": [{"role": "user", "content": PROMPT[0].text}]}
Reader = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `us` is CPU microseconds for a token, `rate` tokens a second, `first_ms` the median."""

    reader: str
    mode: str
    tokens: int
    us: float
    rate: float
    first_ms: float


@contextlib.asynccontextmanager
async def doubles(tokens: int, rate: float) -> AsyncIterator[dict[str, int]]:
    ports = {kind: _free_port() for kind in ("openai", "ollama", "aihub")}
    options = [part for kind, port in ports.items() for part in (f"--{kind}", str(port))]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.providers",
        *options,
        "--tokens",
        str(tokens),
        "--rate",
        str(rate),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert process.stdout is not None
    for _ in ports:
        await process.stdout.readline()
    try:
        yield ports
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(ports: dict[str, int]) -> Settings:
    base = {kind: f"http://127.0.0.1:{port}" for kind, port in ports.items()}
    return Settings(
        jwt_secret_key="b" * 40,
        openai_base_url=base["openai"] + "/v1",
        embeddings_baseurl=base["ollama"],
        aihub_url=base["aihub"] + AIHubServer.base_path,
        aihub_keycloak_host=base["aihub"] + TOKEN_PATH,
        aihub_client_id=AIHubServer.client_id,
        aihub_client_secret=AIHubServer.client_secret,
        aihub_model="hub-chat",
        aihub_chat_stream_path=STREAM_PATH,
        provider_max_in_flight=1000,
    )


class Readers:
    """The ways to read a stream; each returns the nanoseconds to its first token."""

    def __init__(self, ports: dict[str, int], registry: ModelRegistry) -> None:
        self._url = f"http://127.0.0.1:{ports['openai']}/v1/chat/completions"
        self._registry = registry
        self._httpx = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))
        self._aiohttp = aiohttp.ClientSession()

    async def close(self) -> None:
        await self._httpx.aclose()
        await self._aiohttp.close()

    async def httpx(self) -> int:
        begun, first = time.perf_counter_ns(), 0
        async with self._httpx.stream("POST", self._url, json=BODY) as response:
            async for _ in response.aiter_raw():
                first = first or time.perf_counter_ns()
        return first - begun

    async def aiohttp(self) -> int:
        begun, first = time.perf_counter_ns(), 0
        async with self._aiohttp.post(self._url, json=BODY) as response:
            async for _ in response.content.iter_any():
                first = first or time.perf_counter_ns()
        return first - begun

    def registry(self, source: str) -> Reader:
        async def read() -> int:
            begun, first = time.perf_counter_ns(), 0
            async for _ in self._registry.stream(PROMPT, source=source):  # type: ignore[arg-type]
                first = first or time.perf_counter_ns()
            return first - begun

        return read


async def measure(name: str, mode: str, read: Reader, streams: int, tokens: int) -> Row:
    await read()  # connections, caches
    begun, cpu = time.perf_counter(), time.process_time()
    firsts = await asyncio.gather(*(read() for _ in range(streams)))
    spent, elapsed = time.process_time() - cpu, time.perf_counter() - begun
    total = streams * tokens
    median = sorted(firsts)[len(firsts) // 2] / 1e6
    return Row(name, mode, total, round(spent / total * 1e6, 1), round(total / elapsed), round(median, 1))


async def run(streams: int, rate: float, tokens: int) -> list[Row]:
    rows = []
    for mode, pace, length in (("paced", rate, tokens), ("flood", 0.0, tokens * 20)):
        async with doubles(length, pace) as ports:
            registry = ModelRegistry(settings(ports))
            await registry.start()
            readers = Readers(ports, registry)
            ways: dict[str, Reader] = {"bare httpx": readers.httpx, "bare aiohttp": readers.aiohttp}
            ways |= {f"registry {source}": readers.registry(source) for source in ("openai", "ollama", "aihub")}
            for name, read in ways.items():
                rows.append(await measure(name, mode, read, streams, length))
            await readers.close()
            await registry.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--tokens", type=int, default=250)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = uvloop.run(run(arguments.streams, arguments.rate, arguments.tokens))
    print(f"{'reader':20} {'mode':6} {'tokens':>7} {'CPU us/token':>13} {'tokens/s':>9} {'first ms':>9}")
    for row in rows:
        print(f"{row.reader:20} {row.mode:6} {row.tokens:7} {row.us:13} {row.rate:9} {row.first_ms:9}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
