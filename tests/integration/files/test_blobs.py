"""The two stores of bytes, held to the same promises."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import pytest

from llama_service.errors import FileTooLarge, NotFound
from llama_service.settings import Settings, SettingsError, load_settings
from persistence.blobs import BlobStore, LocalBlobs, Received, open_blobs
from persistence.s3 import S3Blobs
from tests.s3 import blocks, keys


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store."""
    if request.param == "folder":
        return open_blobs(load_settings(jwt_secret_key="k" * 40, blob_dir=tmp_path, _env_file=None))
    settings: Settings = request.getfixturevalue("s3_settings")
    place = {"blob_url": f"s3://{settings.blob_url.split('/')[2]}/{uuid4().hex}", "blob_dir": tmp_path}
    return open_blobs(settings.model_copy(update=place))


async def received(blobs: BlobStore, content: bytes) -> Received:
    return await blobs.spool.receive(blocks(content), 1 << 30)


async def read(blobs: BlobStore, sha256: str, start: int = 0, end: int | None = None) -> bytes:
    stored = await blobs.find(sha256)
    return b"".join([block async for block in stored.read(start, stored.size if end is None else end)])


async def test_the_address_says_which_store_it_is(s3_settings: Settings, tmp_path: Path) -> None:
    assert isinstance(open_blobs(s3_settings), S3Blobs)
    assert isinstance(open_blobs(s3_settings.model_copy(update={"blob_url": ""})), LocalBlobs)
    for wrong in ("bucket", "http://bucket", "s3://", "s3:///prefix", "s3://UPPER/x"):
        with pytest.raises(SettingsError, match=r"BLOB_URL=.*s3://bucket/prefix"):
            load_settings(jwt_secret_key="k" * 40, blob_url=wrong, _env_file=None)


async def test_bytes_are_kept_found_counted_and_removed(blobs: BlobStore, tmp_path: Path) -> None:
    await blobs.ping()
    content = os.urandom(300_000)
    given = await received(blobs, content)
    assert (given.size, given.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert given.head == content[:65536]
    await blobs.keep(given)
    await blobs.spool.discard(given)
    assert list((tmp_path / "incoming").iterdir()) == []
    assert await read(blobs, given.sha256) == content
    assert await read(blobs, given.sha256, 1000, 1001) == content[1000:1001]
    async with blobs.local(given.sha256) as path:
        assert path.read_bytes() == content
    assert list((tmp_path / "incoming").iterdir()) == []
    assert await blobs.usage() == len(content)

    await blobs.remove(given.sha256)
    await blobs.remove(given.sha256)
    assert await blobs.usage() == 0
    with pytest.raises(NotFound, match="no longer stored"):
        await blobs.find(given.sha256)
    with pytest.raises(NotFound, match="no longer stored"):
        async with blobs.local(given.sha256):
            pass


async def test_the_same_bytes_are_kept_once(blobs: BlobStore) -> None:
    content = uuid4().bytes
    for _ in range(2):
        given = await received(blobs, content)
        await blobs.keep(given)
        await blobs.spool.discard(given)
    assert await blobs.usage() == len(content)
    assert await read(blobs, given.sha256) == content


async def test_a_large_file_goes_in_parts_and_comes_in_blocks(blobs: BlobStore) -> None:
    content = os.urandom(20 << 20)
    given = await received(blobs, content)
    await blobs.keep(given)
    stored = await blobs.find(given.sha256)
    found = [block async for block in stored.read(0, stored.size)]
    assert b"".join(found) == content
    assert max(map(len, found)) <= 2 << 20, "a reader holds little in memory"


async def test_what_breaks_off_leaves_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(FileTooLarge):
        await blobs.spool.receive(blocks(b"x" * 100_000), 50_000)
    assert list((tmp_path / "incoming").iterdir()) == []
    given = await received(blobs, b"left by a process that died")
    await blobs.spool.sweep(3600)
    assert given.path.exists()
    await blobs.spool.sweep(-1)
    assert not given.path.exists()


async def test_keys_in_a_bucket_are_those_of_the_folder(s3_settings: Settings, s3_port: int, tmp_path: Path) -> None:
    folder, bucket = LocalBlobs(tmp_path), open_blobs(s3_settings)
    given = await received(bucket, uuid4().bytes)
    await bucket.keep(given)
    await bucket.spool.discard(given)
    inside = folder.path(given.sha256).relative_to(tmp_path).as_posix()
    assert f"some/prefix/{inside}" in await keys(s3_port)
    await bucket.remove(given.sha256)
