import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from llama_service.runtime import weights
from llama_service.runtime.http import get
from llama_service.runtime.locks import FolderInUse
from llama_service.runtime.progress import SilentProgress
from llama_service.runtime.stack import EmbeddedStack
from llama_service.settings import Settings, load_settings


class Recorded(SilentProgress):
    """Keeps what was left out, and why."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self.finished: list[str] = []

    def finish(self, name: str, note: str = "") -> None:
        self.finished.append(name)

    def skip(self, name: str, reason: str) -> None:
        self.skipped[name] = reason


@pytest.fixture
def progress() -> Recorded:
    return Recorded()


def settings(folder: Path, **changes: Any) -> Settings:
    return load_settings(jwt_secret_key="k" * 40, data_dir=folder, **changes)


async def until_answered(url: str) -> int:
    """Ask until there is an answer: the server is being started again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return (await get(url))[0]
            except OSError:
                await asyncio.sleep(0.05)


async def test_a_whole_stack_answers_and_ends(tmp_path: Path, progress: Recorded) -> None:
    async with EmbeddedStack(settings(tmp_path, embedded_context_tokens=1024), progress) as stack:
        assert await stack.models_ready()
        where = stack.environment
        assert set(where) == {
            "DATABASE_URL",
            "CHROMA_TOKEN",
            "CHROMA_URL",
            "EMBEDDED_CHAT_URL",
            "EMBEDDED_EMBEDDINGS_URL",
            "EMBEDDED_API_KEY",
        }
        connection = await asyncpg.connect(where["DATABASE_URL"])
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert (await get(f"{where['CHROMA_URL']}/api/v2/heartbeat"))[0] == 200
        assert (await get(f"{where['EMBEDDED_CHAT_URL']}/models"))[0] == 401
        headers = {"authorization": f"Bearer {where['EMBEDDED_API_KEY']}"}
        question = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "temperature": 0}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.post(f"{where['EMBEDDED_CHAT_URL']}/chat/completions", json=question) as answer,
        ):
            assert answer.status == 200
            content = await answer.json()
            assert content["model"] == weights.DEMO_MODEL
            assert content["choices"][0]["message"]["content"].strip()
        urls = (where["CHROMA_URL"], where["EMBEDDED_CHAT_URL"], where["EMBEDDED_EMBEDDINGS_URL"])
    assert progress.skipped == {}
    assert set(progress.finished) == {"Postgres", "Chroma", "Embeddings", "Model"}
    for url in urls:
        with pytest.raises(OSError):  # noqa: PT011  (nobody listens)
            await get(url)


async def test_a_part_that_dies_comes_back_at_its_address(tmp_path: Path, progress: Recorded) -> None:
    async with EmbeddedStack(settings(tmp_path), progress, model=False) as stack:
        for path, url in (
            ("chroma", f"{stack.environment['CHROMA_URL']}/api/v2/heartbeat"),
            ("embeddings", stack.environment["EMBEDDED_EMBEDDINGS_URL"].replace("/v1", "/health")),
        ):
            part = {"chroma": stack._chroma, "embeddings": stack._embedder}[path]
            assert part is not None
            assert part.child.pid is not None
            before = part.child.pid
            os.kill(before, signal.SIGKILL)
            await part.child.wait()
            assert await until_answered(url) == 200
            assert part.child.pid != before


async def test_what_the_settings_name_is_not_started(tmp_path: Path, progress: Recorded) -> None:
    given = settings(
        tmp_path,
        database_url="postgresql://u@h/d",
        chroma_url="http://chroma:8000",
        embedded_chat_url="http://model/v1",
        embedded_embeddings_url="http://vectors/v1",
    )
    async with EmbeddedStack(given, progress) as stack:
        assert stack.environment == {}
        assert not await stack.models_ready()
    assert progress.finished == []


async def test_one_stack_for_a_folder(tmp_path: Path, progress: Recorded) -> None:
    given = settings(tmp_path, database_url="postgresql://u@h/d", chroma_url="http://chroma:8000")
    async with EmbeddedStack(given, progress, model=False, embedder=False):
        with pytest.raises(FolderInUse, match="choose another DATA_DIR"):
            await EmbeddedStack(given, progress, model=False, embedder=False).start()


async def test_it_goes_on_without_weights(tmp_path: Path, progress: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEMO_PARTS", 7)
    given = settings(tmp_path, database_url="postgresql://u@h/d", chroma_url="http://chroma:8000")
    async with EmbeddedStack(given, progress, embedder=False) as stack:
        assert not await stack.models_ready()
        assert stack.environment == {}
    assert "EMBEDDED_MODEL_PATH" in progress.skipped["Model"]


@pytest.mark.parametrize("content", [None, b"this is no GGUF"])
async def test_it_goes_on_without_a_model_that_cannot_be_loaded(
    tmp_path: Path, progress: Recorded, content: bytes | None
) -> None:
    path = tmp_path / "broken.gguf"
    if content:
        path.write_bytes(content)
    given = settings(
        tmp_path / "data",
        database_url="postgresql://u@h/d",
        chroma_url="http://chroma:8000",
        embedded_model_path=path,
    )
    async with EmbeddedStack(given, progress, embedder=False) as stack:
        assert not await stack.models_ready()
    assert progress.skipped["Model"]
