"""Saved while people chat, everything killed, brought back elsewhere: every question, file and citation is there."""

import asyncio
import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import pyrage
import pytest

from bench.load import Account, Refused
from bench.stage import Script, Stage, stage
from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.postgres import EmbeddedPostgres
from tests.files.pdf import pdf
from tests.s3 import BUCKET, KEY_ID, SECRET, s3_server
from tests.support import command, eventually, new_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUESTION = "When was the lighthouse built?"
TEXT = "The lighthouse of Kõpu was built in 1531 by the merchants of the Hanse."


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Stores, doubles and room for processes."""
    async with stage(tmp_path_factory.mktemp("backup"), fsync=False, script=Script(tokens=None, rate=400)) as made:
        yield made


@dataclass
class Life:
    """Somebody with a chat, files and a stored secret, and what they saw of it."""

    account: Account
    thread: str
    file: str
    content: bytes

    async def seen(self, account: Account) -> dict[str, Any]:
        """Return what the person sees of all that."""
        messages = (await account.call("GET", f"/conversations/{self.thread}/messages"))["items"]
        answer = messages[-1]
        return {
            "messages": messages,
            "trace": await account.call("GET", f"/messages/{answer['id']}/trace"),
            "text": await account.call("GET", f"/files/{self.file}/text"),
            "file": await account.call("GET", f"/files/{self.file}"),
            "me": await account.call("GET", "/auth/me"),
        }


async def downloaded(http: aiohttp.ClientSession, account: Account, file: str) -> bytes:
    """Return a file's bytes."""
    url = f"{account.url}/api/v1/files/{file}/content"
    async with http.get(url, headers={"Authorization": account.headers["Authorization"]}) as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def begun(account: Account) -> Life:
    """Let somebody upload, ask and be answered from what they uploaded."""
    content = pdf([TEXT, "Another page."])
    file = (await account.upload("lighthouse.pdf", content))["id"]
    await indexed(account, file)
    answer = await asked(account, QUESTION)
    assert [source["file_id"] for source in answer["sources"]] == [file]
    return Life(account, answer["conversation_id"], file, content)


async def asked(account: Account, question: str, **fields: Any) -> dict[str, Any]:
    """Ask, and return the whole answer."""
    answer: dict[str, Any] = await account.call("POST", "/chat", {"message": question, **fields})
    assert answer["response"]
    return answer


async def indexed(account: Account, file: str) -> None:
    """Wait until a file can be searched whole."""

    async def is_done() -> bool:
        return (await account.call("GET", f"/files/status/{file}"))["status"] in ("completed", "partial_success")

    await eventually(is_done)


@contextlib.asynccontextmanager
async def busy(account: Account) -> AsyncIterator[None]:
    """Let somebody upload, ask and delete all the time."""

    async def work() -> None:
        while True:
            file = (await account.upload("passing.txt", uuid4().bytes.hex().encode() * 50))["id"]
            answer = await asked(account, "What is new?")
            with contextlib.suppress(Refused):
                await account.call("DELETE", f"/files/{file}")
                await account.call("DELETE", f"/conversations/{answer['conversation_id']}")

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_was_saved_under_load_is_all_there_elsewhere(
    made: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    target = str(tmp_path / "saved")
    (tmp_path / "saved").mkdir(mode=0o755)
    api = await made.serve("before")
    anna, boris = await Account(http, api.url).join(), await Account(http, api.url).join()
    life = await begun(anna)
    async with busy(boris):
        code, said = await command("backup", target, **made.environment)
        assert (code, "Saved" in said) == (0, True), said
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "saved").iterdir()} == {0}
    # A second one sends what is new, and names the rest.
    blobs = {path: path.stat().st_mtime_ns for path in (tmp_path / "saved" / "blobs").glob("*/*")}
    await asked(anna, "And who built it?", conversation_id=life.thread)
    late = (await anna.upload("late.txt", b"The tower is 36 metres high."))["id"]
    await indexed(anna, late)
    seen = await life.seen(anna)
    code, said = await command("backup", target, **made.environment)
    assert code == 0, said
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "saved" / "blobs").glob("*/*")}
    assert again.items() >= blobs.items()
    assert len(again) > len(blobs)
    # What was saved proves itself, while the service goes on: a scratch instance answers what was asked here.
    code, said = await command("verify-backup", target, **made.environment)
    assert code == 0, said
    assert re.search(r"Restored \S+: \d+ rows, \d+ files, each read again", said), said
    assert re.search(r"Asked (\d) questions .* \1 found such a file again", said), said
    assert "Answered by openai/" in said, said
    # The house burns down: only what was saved is left.
    await api.kill()
    elsewhere = tmp_path / "elsewhere"
    async with (
        EmbeddedPostgres(elsewhere, elsewhere / "logs", fsync=False) as postgres,
        EmbeddedChroma(elsewhere / "chroma", elsewhere / "logs") as chroma,
    ):
        there = {
            **made.environment,
            "DATABASE_URL": postgres.dsn,
            "CHROMA_URL": chroma.url,
            "CHROMA_TOKEN": chroma.token,
            "DATA_DIR": str(elsewhere / "data"),
        }
        code, said = await command("restore", target, "--verify", **there)
        assert (code, "Restored" in said) == (0, True), said
        refused, said = await command("restore", target, **there)
        assert (refused, "not empty" in said) == (1, True), said
        service = await made.serve("after", **there)
        anna.url = service.url  # the same session goes on: its key was saved too
        assert await life.seen(anna) == seen
        assert await downloaded(http, anna, life.file) == life.content

        async def is_found() -> bool:
            found = await anna.call("POST", "/search", {"query": QUESTION})
            return any(passage["file_id"] == life.file for passage in found["passages"])

        await eventually(is_found)

        async def is_indexed() -> bool:  # Chroma was not saved: it is made again from the database
            async with http.get(f"{service.url}/ready") as response:
                return response.status == 200

        await eventually(is_indexed)
        answer = await asked(anna, "How high is the tower?", conversation_id=life.thread)
        assert late in [source["file_id"] for source in answer["sources"]]


async def test_it_works_on_a_data_folder_alone_and_on_a_bucket(
    made: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    api = await made.serve("bucket")
    life = await begun(await Account(http, api.url).join())
    async with s3_server(tmp_path / "s3") as port:
        access = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "eu-central-1",
        }
        target = f"s3://{BUCKET}/backups"
        rotating = {**made.environment, **access, "JWT_SECRET_KEY_PREVIOUS": "the-key-before-" + "p" * 32}
        code, said = await command("backup", target, **rotating)
        assert code == 0, said
        # No database is named and nothing runs: the folder's own Postgres is made, and the key kept in it.
        folder = {"DATA_DIR": str(tmp_path / "fresh"), **access}
        code, said = await command("restore", target, "--verify", **folder)
        assert code == 0, said
    kept = (tmp_path / "fresh" / "secrets" / "jwt").read_text().strip()
    assert kept == made.environment["JWT_SECRET_KEY"]
    before = (tmp_path / "fresh" / "secrets" / "jwt.previous").read_text().strip()
    assert before == rotating["JWT_SECRET_KEY_PREVIOUS"], "what is not re-encrypted yet can be read there, too"
    code, said = await command("backup", str(tmp_path / "second"), DATA_DIR=str(tmp_path / "fresh"))
    assert code == 0, said
    (manifest,) = (tmp_path / "second").glob("*/manifest.json")
    counts = json.loads(manifest.read_text())["counts"]
    assert (counts["conversations"] > 0, counts["files"] > 0) == (True, True)
    blob = next(path for path in (tmp_path / "second" / "blobs").glob("*/*") if path.read_bytes() == life.content)
    assert blob


async def test_an_encrypted_backup_is_read_by_its_key_alone(
    made: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    api = await made.serve("sealed")
    life = await begun(await Account(http, api.url).join())
    target, secret = tmp_path / "saved", pyrage.x25519.Identity.generate()
    key, other = tmp_path / "key.txt", tmp_path / "other.txt"
    key.write_text(f"# public key: {secret.to_public()}\n{secret}\n")
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    wrong = await command("backup", str(target), "--recipient", "age1nobody", **made.environment)
    assert (wrong[0], "no public key of age" in wrong[1], "Traceback" in wrong[1]) == (1, True, False)
    code, said = await command("backup", str(target), "--recipient", str(secret.to_public()), **made.environment)
    assert code == 0, said
    for path in target.rglob("*"):
        if path.is_file() and path.name not in ("manifest.json", "blobs.txt"):  # hashes, as in the files' names
            content = path.read_bytes()
            assert content.startswith(b"age-encryption.org/v1"), path
            assert made.environment["JWT_SECRET_KEY"].encode() not in content
    address = new_database(made.environment["DATABASE_URL"], "sealed")
    there = {**made.environment, "DATABASE_URL": address, "DATA_DIR": str(tmp_path / "there")}
    for options, why in (
        ((), "the backup is encrypted"),
        (("--identity", str(other)), "can't be opened with this key"),
        (("--identity", str(tmp_path / "none.txt")), "can't be read as a file"),
    ):
        code, said = await command("restore", str(target), *options, **there)
        assert (code, why in said, "Traceback" in said) == (1, True, False), said
    code, said = await command("restore", str(target), "--identity", str(key), "--verify", **there)
    assert code == 0, said
    stored = [path for path in (tmp_path / "there" / "blobs").rglob("*") if path.is_file()]
    assert life.content in [path.read_bytes() for path in stored]


async def test_a_backup_whose_answers_are_gone_is_told_as_bad(
    made: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The dump is whole, and yet the instance made of it knows less: its passages were lost before it was made."""
    address = new_database(made.environment["DATABASE_URL"], "emptied")
    place = {**made.environment, "DATABASE_URL": address, "DATA_DIR": str(tmp_path / "data")}
    assert (await command("migrate", **place))[0] == 0
    api = await made.serve("emptied", **place)
    life = await begun(await Account(http, api.url).join())
    with psycopg.connect(address) as connection:
        connection.execute("DELETE FROM passages WHERE file_id = %s", (life.file,))
        connection.execute("UPDATE files SET chunks_indexed = 0 WHERE id = %s", (life.file,))
    target = str(tmp_path / "saved")
    code, said = await command("backup", target, **place)
    assert code == 0, said
    code, said = await command("verify-backup", target, **place)
    assert (code, "1 of 1 questions find none of their files" in said) == (1, True), said
    assert QUESTION not in said


async def test_old_backups_go_with_the_bytes_that_they_alone_named(
    made: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    address = new_database(made.environment["DATABASE_URL"], "kept")
    place = {**made.environment, "DATABASE_URL": address, "DATA_DIR": str(tmp_path / "data")}
    assert (await command("migrate", **place))[0] == 0
    api = await made.serve("kept", **place)
    anna = await Account(http, api.url).join()
    target, identity = tmp_path / "saved", pyrage.x25519.Identity.generate()
    names: list[str] = []
    contents = [f"Number {number}: {uuid4()}".encode() for number in range(3)]

    async def saved(*options: str) -> str:
        code, said = await command("backup", str(target), *options, **place)
        assert code == 0, said
        names.append(said.split()[said.split().index("Saved") + 1].rstrip(":"))
        return said

    def kept() -> tuple[set[str], set[str]]:
        folders = {path.name for path in target.iterdir()} - {"blobs"}
        return folders, {path.name.removesuffix(".age") for path in target.glob("blobs/*/*")}

    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    first = (await anna.upload("first.txt", contents[0]))["id"]
    await saved()
    await anna.call("DELETE", f"/files/{first}")
    await anna.upload("second.txt", contents[1])
    assert "Deleted" not in await saved("--keep", "2")
    assert kept() == (set(names), set(hashes[:2]))
    # What a broken backup left goes, too; what is not a backup's stays.
    (target / "20200101T000000Z").mkdir()
    (target / "20200101T000000Z" / "database.dump").write_bytes(b"half of it")
    await anna.upload("third.txt", contents[2])
    said = await saved("--keep", "2", "--recipient", str(identity.to_public()))
    assert f"Deleted {names[0]}." in said
    assert kept() == (set(names[1:]), set(hashes[1:]))
    # One that was named while the clock was ahead is not taken for newer than the one that is made now.
    shutil.copytree(target / names[-1], target / "20990101T000000Z")
    await saved("--keep", "1")
    assert kept()[0] == {names[-1]}
    # A sealed backup alone can still be brought back; the same bytes in the clear are gone with those that named them.
    await saved("--keep", "1", "--recipient", str(identity.to_public()))
    assert {path.name for path in target.glob("blobs/*/*")} == {f"{sha256}.age" for sha256 in hashes[1:]}
    (tmp_path / "key").write_text(f"{identity}\n")
    there = {**place, "DATABASE_URL": new_database(address, "again"), "DATA_DIR": str(tmp_path / "again")}
    code, said = await command("restore", str(target), "--verify", "--identity", str(tmp_path / "key"), **there)
    assert code == 0, said


async def test_what_is_damaged_missing_or_newer_is_refused(
    made: Stage, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    api = await made.serve("damaged")
    life = await begun(await Account(http, api.url).join())
    target = tmp_path / "saved"
    code, said = await command("backup", str(target), **made.environment)
    assert code == 0, said
    (folder,) = (path.parent for path in target.glob("*/manifest.json"))

    def elsewhere() -> dict[str, str]:
        address = new_database(made.environment["DATABASE_URL"], "restored")
        return {**made.environment, "DATABASE_URL": address, "DATA_DIR": str(tmp_path / uuid4().hex)}

    async def refusal(why: str, **environment: str) -> None:
        place = environment or elsewhere()
        code, said = await command("restore", str(target), **place)
        assert (code, why in said) == (1, True), said
        with psycopg.connect(place["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row == (0,), "nothing was changed"

    code, said = await command("restore", str(tmp_path / "nowhere"), **elsewhere())
    assert (code, "there is no folder" in said, "Traceback" in said) == (1, True, False)
    await refusal("JWT_SECRET_KEY is not the backup's", **{**elsewhere(), "JWT_SECRET_KEY": "another-" + "k" * 40})
    kept = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(kept.replace('"schema": "', '"schema": "9'))
    await refusal("of a newer version")
    (folder / "manifest.json").write_text(kept)
    dump = (folder / "database.dump").read_bytes()
    (folder / "database.dump").write_bytes(dump[:-100] + b"x" * 100)
    await refusal("database.dump is damaged")
    (folder / "database.dump").write_bytes(dump)
    # Bytes that are damaged are told, and everything else is brought back.
    blob = next(path for path in (target / "blobs").glob("*/*") if path.read_bytes() == life.content)
    blob.write_bytes(b"rotten")
    code, said = await command("restore", str(target), **elsewhere())
    assert (code, "Restored" in said, f"{blob.name} are damaged in the backup" in said) == (1, True, True), said
    blob.unlink()
    code, said = await command("restore", str(target), **elsewhere())
    assert (code, f"{blob.name} is missing in the backup" in said) == (1, True), said
    # Without its manifest, which is written last, a backup is none.
    (folder / "manifest.json").unlink()
    await refusal("no complete backup")
    # Bytes that are damaged at home are told when they are saved.
    shutil.rmtree(target)
    await asyncio.to_thread(
        Path(made.environment["DATA_DIR"], "blobs", blob.name[:2], blob.name).write_bytes, b"rotten"
    )
    code, said = await command("backup", str(target), **made.environment)
    assert (code, blob.name in said) == (1, True), said
