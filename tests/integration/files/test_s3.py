"""The service with its files in S3: everything works as from a folder, and a bucket that is away is told plainly."""

from uuid import uuid4

import psycopg
import pytest

from ingestion.jobs import RETRIES
from persistence import leftovers
from tests.e2e.relay import Relay
from tests.integration.api.test_auth import envelope
from tests.integration.files.conftest import away, spooled
from tests.s3 import blocks, keys
from tests.support import Person, Server, eventually

_LAST = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, status)
    SELECT 'read', 'read', 0, 'read-' || file, 'read-' || file,
           jsonb_build_object('file_id', file, 'attempt', %(attempt)s::int), 'todo'
    FROM unnest(%(files)s::text[]) AS file
"""


def words() -> bytes:
    return f"The vault of Aurora opens with {uuid4().hex}. ".encode() * 40


def key(file: dict[str, str]) -> str:
    return f"some/prefix/{file['sha256'][:2]}/{file['sha256']}"


async def test_a_file_is_read_searched_sent_and_deleted(vera: Person, s3_service: Server, s3_port: int) -> None:
    content = words()
    file = await vera.indexed("vault.txt", content)
    assert file["status"] == "completed", file
    assert key(file) in await keys(s3_port)
    assert spooled(s3_service.settings) == []
    found = (await vera.http.post("/search", json={"query": "vault of Aurora"})).json()["passages"]
    assert found[0]["file_id"] == file["id"]
    sent = await vera.http.get(f"/files/{file['id']}/content")
    assert sent.content == content
    assert sent.headers["content-length"] == str(len(content))
    assert (await vera.http.delete(f"/files/{file['id']}")).status_code == 204
    assert key(file) not in await keys(s3_port)


RANGES = [
    "bytes=0-0",
    "bytes=10-29",
    "bytes=1700-",
    "bytes=-5",
    "bytes=-99999",
    "bytes=0-99999",
    "bytes=99999-",
    "bytes=-0",
    "lines=1-2",
]


@pytest.mark.parametrize("wanted", RANGES)
async def test_ranges_are_those_of_a_folder(vera: Person, anna: Person, wanted: str) -> None:
    content = b"0123456789" * 180
    answers = []
    for person in (anna, vera):
        file = await person.upload("digits.txt", content)
        answers.append(await person.http.get(f"/files/{file['id']}/content", headers={"Range": wanted}))
    folder, bucket = answers
    if folder.status_code == 400:  # a unit that nobody knows; it may be passed over as well (RFC 9110, 14.2)
        assert (bucket.status_code, bucket.content) == (200, content)
        return
    assert bucket.status_code == folder.status_code
    assert bucket.headers.get("content-range") == folder.headers.get("content-range")
    if folder.status_code != 416:
        assert bucket.content == folder.content
        assert bucket.headers["etag"] == folder.headers["etag"]
        assert bucket.headers["content-security-policy"] == folder.headers["content-security-policy"]


async def test_a_range_of_other_bytes_is_not_given(vera: Person, anna: Person) -> None:
    for person in (vera, anna):
        file = await person.upload("digits.txt", b"0123456789" * 180)
        path = f"/files/{file['id']}/content"
        same = await person.http.get(path, headers={"Range": "bytes=3-5", "If-Range": f'"{file["sha256"]}"'})
        assert (same.status_code, same.content) == (206, b"345")
        other = await person.http.get(path, headers={"Range": "bytes=3-5", "If-Range": '"other"'})
        assert (other.status_code, len(other.content)) == (200, 1800)


async def test_bytes_of_two_people_go_with_the_last(vera: Person, s3_service: Server, s3_port: int) -> None:
    content = words()
    mine = await vera.indexed("a.txt", content)
    other = await Person.join(s3_service.url)
    theirs = await other.indexed("b.txt", content)
    await vera.http.delete(f"/files/{mine['id']}")
    assert (await other.http.get(f"/files/{theirs['id']}/content")).content == content
    await other.http.delete(f"/files/{theirs['id']}")
    assert key(mine) not in await keys(s3_port)
    await other.close()


async def test_missing_bytes_are_told_and_come_back_with_an_upload(vera: Person, s3_service: Server) -> None:
    content = words()
    file = await vera.indexed("lost.txt", content)
    await s3_service.app.state.resources.blobs.remove(file["sha256"])
    missing = await vera.http.get(f"/files/{file['id']}/content")
    assert (missing.status_code, envelope(missing)["code"]) == (404, "not_found")
    assert "no longer stored" in envelope(missing)["message"]
    again = await vera.upload("lost.txt", content)
    assert again["id"] == file["id"]
    assert (await vera.http.get(f"/files/{file['id']}/content")).content == content


async def test_a_store_that_is_away_is_told_plainly(
    vera: Person, s3_service: Server, s3_line: Relay, s3_port: int
) -> None:
    file = await vera.indexed("kept.txt", words())
    before = (await vera.get("/files"))["items"]
    async with away(s3_line):
        refused = await vera.http.post("/files/upload", files={"file": ("new.txt", words())})
        assert (refused.status_code, envelope(refused)["code"]) == (503, "dependency_unavailable")
        assert (await vera.get("/files"))["items"] == before
        assert spooled(s3_service.settings) == []
        content = await vera.http.get(f"/files/{file['id']}/content")
        assert (content.status_code, envelope(content)["code"]) == (503, "dependency_unavailable")
        ready = await vera.http.get(s3_service.url + "/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert not ready.json()["checks"]["blobs"]["ok"]
        found = (await vera.http.post("/search", json={"query": "vault of Aurora"})).json()["passages"]
        assert found, "what is indexed is found without its bytes"
        assert (await vera.http.delete(f"/files/{file['id']}")).status_code == 204
    assert (await vera.http.get(s3_service.url + "/ready")).json()["checks"]["blobs"] == {"ok": True}
    resources = s3_service.app.state.resources
    assert key(file) in await keys(s3_port)
    await leftovers.sweep_blobs(resources.database, resources.blobs, older_than=0)
    assert key(file) not in await keys(s3_port)


async def test_a_file_that_is_read_meanwhile_waits_for_the_store(
    vera: Person, s3_line: Relay, s3_service: Server
) -> None:
    file = await vera.indexed("patient.txt", words())
    async with away(s3_line):
        await vera.http.post(f"/files/process/{file['id']}")

        async def put_off() -> bool:
            with psycopg.connect(s3_service.settings.postgres.libpq) as connection:
                jobs = connection.execute(
                    "SELECT FROM procrastinate_jobs WHERE args ->> 'file_id' = %s AND scheduled_at > now()",
                    (file["id"],),
                )
                return jobs.fetchone() is not None

        await eventually(put_off)
        assert (await vera.get(f"/files/{file['id']}"))["status"] == "processing"

    async def completed() -> bool:
        return bool((await vera.get(f"/files/{file['id']}"))["status"] == "completed")

    await eventually(completed)
    assert spooled(s3_service.settings) == []


async def test_the_sweep_takes_what_nobody_has_and_nothing_else(vera: Person, s3_service: Server, s3_port: int) -> None:
    """An upload whose process died is noted; bytes of which this database knows nothing are somebody else's."""
    file = await vera.indexed("stays.txt", words())
    resources = s3_service.app.state.resources
    orphan, foreign = [await resources.blobs.spool.receive(blocks(uuid4().bytes), 100) for _ in range(2)]
    async with resources.database.transaction() as session:
        await leftovers.note(session, [orphan.sha256, file["sha256"]])
    for received in (orphan, foreign):
        await resources.blobs.keep(received)
        await resources.blobs.spool.discard(received)
    await leftovers.sweep_blobs(resources.database, resources.blobs)
    assert any(orphan.sha256 in name for name in await keys(s3_port)), "it is left alone for some minutes"
    assert await leftovers.sweep_blobs(resources.database, resources.blobs, older_than=0) == 1
    kept = " ".join(await keys(s3_port))
    assert orphan.sha256 not in kept
    assert foreign.sha256 in kept
    assert file["sha256"] in kept
    assert await leftovers.sweep_blobs(resources.database, resources.blobs, older_than=0) == 0
    await resources.blobs.remove(foreign.sha256)


async def test_a_store_that_is_away_fails_no_file_and_a_second_reading_loses_nothing(
    vera: Person, s3_service: Server, s3_line: Relay
) -> None:
    word = uuid4().hex
    there = await vera.indexed("there.txt", f"The bridge of {word} was built in 1912.".encode())
    other = await vera.indexed("other.txt", f"Something else about {word}.".encode())
    both = [there["id"], other["id"]]

    async def found() -> list[str]:
        answer = await vera.http.post("/search", json={"query": word})
        return sorted(passage["file_id"] for passage in answer.json()["passages"])

    with psycopg.connect(s3_service.settings.postgres.libpq, autocommit=True) as database:

        def last_attempt() -> None:
            """Let both be read again, `there` as one that is found meanwhile and `other` for the first time."""
            database.execute(
                "UPDATE files SET status = 'pending', stage = 'queued', error = NULL WHERE id = ANY(%s)", [both]
            )
            database.execute("UPDATE files SET searchable = false WHERE id = %s", [other["id"]])
            database.execute(_LAST, {"files": both, "attempt": RETRIES})

        async def wait() -> bool:
            query = "SELECT count(*) FROM procrastinate_jobs WHERE args->>'file_id' = ANY(%s) AND args->>'attempt' = %s"
            return database.execute(query, [both, str(RETRIES + 1)]).fetchone() == (2,)

        async def are(*wanted: str) -> bool:
            return [(await vera.get(f"/files/status/{file}"))["status"] for file in both] == list(wanted)

        async with away(s3_line):
            last_attempt()
            await eventually(wait)
            assert await found() == [there["id"]]
        # A minute later.
        database.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
        await eventually(lambda: are("completed", "completed"))
        for file in (there, other):
            await s3_service.app.state.resources.blobs.remove(file["sha256"])
        last_attempt()
        await eventually(lambda: are("partial_success", "failed"))
    assert (await vera.get(f"/files/status/{there['id']}"))["error"]
    assert await found() == [there["id"]]
