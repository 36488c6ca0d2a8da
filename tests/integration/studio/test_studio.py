"""`langgraph dev` loads the same graph, offline, and a program streams a turn from it."""

import asyncio
import importlib.util
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from scripts.ask_studio import ask
from tests.providers import OpenAIServer
from tests.support import eventually

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("langgraph_api") is None, reason="the studio's tools are not installed (make env-studio)"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
async def test_a_turn_is_streamed_from_the_studio(repository: Path, openai: OpenAIServer, tmp_path: Path) -> None:
    openai.script(reply="Hello from the studio.")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "JWT_SECRET_KEY": "s" * 40,
        "DEFAULT_MODEL_SOURCE": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.url,
        "LANGSMITH_TRACING": "false",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "PYTHONPATH": str(repository),
    }
    log = (tmp_path / "studio.log").open("wb")
    child = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "langgraph",
        *("dev", "--no-browser", "--no-reload", "--port", str(port)),
        cwd=repository,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        async with httpx.AsyncClient() as client:

            async def up() -> bool:
                assert child.returncode is None, (tmp_path / "studio.log").read_text()
                try:
                    return (await client.get(f"{url}/ok")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(up, 60)
        assert await ask(url, "Who is there?", None) == "Hello from the studio."
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        log.close()
