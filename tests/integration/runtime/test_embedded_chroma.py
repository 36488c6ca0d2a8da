import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.http import get

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def call(server: EmbeddedChroma, path: str, body: dict[str, Any]) -> Any:
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.token}"}
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def set_aside(folder: Path) -> list[Path]:
    return sorted(folder.glob("index.corrupt-*"))


async def names(server: EmbeddedChroma) -> list[str]:
    status, body = await get(server.url + COLLECTIONS, api_key=server.token)
    assert status == 200
    return [collection["name"] for collection in json.loads(body)]


async def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    async with EmbeddedChroma(tmp_path / "index", tmp_path / "logs") as server:
        made = call(server, COLLECTIONS, {"name": "documents-e5"})
        call(server, f"{COLLECTIONS}/{made['id']}/add", {"ids": ["a"], "embeddings": [[1.0, 0.0]]})
    async with EmbeddedChroma(tmp_path / "index", tmp_path / "logs") as server:
        assert await names(server) == ["documents-e5"]
        assert server.url.startswith("http://127.0.0.1:")


async def test_a_corrupt_folder_is_moved_aside(tmp_path: Path) -> None:
    async with EmbeddedChroma(tmp_path / "index", tmp_path / "logs") as server:
        call(server, COLLECTIONS, {"name": "documents-e5"})
    (tmp_path / "index" / "chroma.sqlite3").write_bytes(b"no database at all" * 1000)
    async with EmbeddedChroma(tmp_path / "index", tmp_path / "logs") as server:
        assert await names(server) == []
    (aside,) = set_aside(tmp_path)
    assert (aside / "chroma.sqlite3").read_bytes().startswith(b"no database")


def test_only_a_few_corrupt_folders_are_kept(tmp_path: Path) -> None:
    for year in range(2020, 2025):
        (tmp_path / f"index.corrupt-{year}0101T000000").mkdir()
    (tmp_path / "index").mkdir()
    EmbeddedChroma(tmp_path / "index", tmp_path / "logs").move_aside()
    left = set_aside(tmp_path)
    assert len(left) == 2
    assert left[0].name == "index.corrupt-20240101T000000"


def places_with(token: str, pid: int | None, folder: Path) -> list[Path]:
    """Return where a token stands that others could read: the command line, and files."""
    places = [Path(f"/proc/{pid}/cmdline"), *(path for path in folder.rglob("*") if path.is_file())]
    return [path for path in places if token.encode() in path.read_bytes()]


async def test_nothing_of_a_request_without_the_token_is_looked_at(tmp_path: Path) -> None:
    """CVE-2026-45829: the server makes what a collection's configuration names, and then asks for the token."""
    made = {"type": "known", "name": "no such function", "config": {}}
    body = json.dumps({"name": "planted", "configuration": {"embedding_function": made}}).encode()
    async with EmbeddedChroma(tmp_path / "index", tmp_path / "logs") as server:

        def post(key: str) -> int:
            request = urllib.request.Request(server.url + COLLECTIONS, body, {"authorization": f"Bearer {key}"})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=10)
            with refused.value as answer:
                return int(answer.code)

        assert await asyncio.to_thread(post, "another") == 403
        assert await asyncio.to_thread(post, server.token) in (400, 422, 500), "with it, the name is looked at"


async def test_nobody_without_the_token_reads_or_writes(tmp_path: Path) -> None:
    """Every user of the machine reaches loopback."""
    async with EmbeddedChroma(tmp_path / "index", tmp_path / "logs") as server:
        made = call(server, COLLECTIONS, {"name": "documents-e5"})
        paths = (COLLECTIONS, f"{COLLECTIONS}/{made['name']}", f"{COLLECTIONS}/{made['id']}/count")
        for key in (None, "", "another-token", server.token[:-1]):
            assert [(await get(server.url + path, api_key=key))[0] for path in paths] == [403, 403, 403]
        told = await asyncio.to_thread(places_with, server.token, server.child.pid, tmp_path)
    assert told == []
