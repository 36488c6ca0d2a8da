"""A changed file of a known name: both are kept, or the new one takes the old one's place, whole and at once."""

import asyncio
import hashlib
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from llama_service.settings import Settings
from persistence import files as repository
from persistence import leftovers, versions
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.providers import OpenAIServer
from tests.support import Person, Server, eventually, serving

PDF_THAT_IS_NONE = b"%PDF-1.7\n" + b"nonsense " * 50
QUESTION = "How long does the warranty of the loom last?"


def report(years: str) -> bytes:
    return f"The warranty of the loom lasts {years} years. Number {uuid4().hex}.".encode()


def picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (8, 8), f"#{uuid4().hex[:6]}").save(out, "PNG")
    return out.getvalue()


async def found(person: Person, **scope: Any) -> list[str]:
    answer = await person.http.post("/search", json={"query": QUESTION, **scope})
    assert answer.status_code == 200, answer.text
    return [passage["file_id"] for passage in answer.json()["passages"]]


async def ended(person: Person, file_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        file: dict[str, Any] = await person.get(f"/files/{file_id}")
        return file if file["status"] in ("completed", "partial_success", "failed") else None

    return await eventually(look)


async def listed(person: Person) -> set[str]:
    return {file["id"] for file in (await person.get("/files"))["items"]}


async def thread(person: Person) -> str:
    return str((await person.http.post("/conversations", json={})).json()["id"])


def traces(database: Database, file_id: str) -> dict[str, int]:
    """Return how many rows each table still has of a file."""
    queries = {table: f"SELECT count(*) FROM {table} WHERE file_id = %s" for table in ("passages", "postings")}
    queries["files"] = "SELECT count(*) FROM files WHERE id = %s"
    queries["conversation_files"] = "SELECT count(*) FROM conversation_files WHERE file_id = %s"
    counts = {}
    for table, query in queries.items():
        row = database.execute(query, (file_id,)).fetchone()
        counts[table] = row[0] if row else -1
    return counts


NOTHING = {"passages": 0, "postings": 0, "files": 0, "conversation_files": 0}


async def test_an_upload_tells_of_older_files_of_its_name(anna: Person, boris: Person) -> None:
    await boris.upload("report.txt", report("nine"))
    first = await anna.upload("report.txt", report("two"))
    assert (first["same_name"], first["replaces_id"]) == ([], None)
    second_bytes = report("three")
    second = await anna.upload("report.txt", second_bytes)
    assert second["same_name"] == [{name: first[name] for name in ("id", "size", "created_at")}]
    third = await anna.upload("report.txt", report("four"))
    assert [older["id"] for older in third["same_name"]] == [second["id"], first["id"]], "newest first"
    assert (await anna.upload("report.txt", second_bytes))["same_name"] == [], "that one was settled before"
    assert (await anna.upload("Report.txt", report("five")))["same_name"] == []


async def test_the_new_one_takes_the_place_everywhere(anna: Person, server: Server, database: Database) -> None:
    threads = [await thread(anna), await thread(anna)]
    old = await anna.indexed("report.txt", report("two"), conversation_id=threads[0])
    await anna.http.post(f"/files/{old['id']}/attach", json={"conversation_id": threads[1]})
    new = await anna.upload("report.txt", report("three"), replaces=old["id"])
    assert (new["replaces_id"], new["same_name"]) == (old["id"], [])
    done = await ended(anna, new["id"])
    assert (done["status"], done["replaces_id"]) == ("completed", None)
    assert sorted(done["conversation_ids"]) == sorted(threads)
    for scope in ({}, {"conversation_id": threads[0]}, {"conversation_id": threads[1]}):
        assert await found(anna, **scope) == [new["id"]]
    assert (await anna.http.get(f"/files/{old['id']}")).status_code == 404
    assert await listed(anna) == {new["id"]}
    assert traces(database, old["id"]) == NOTHING
    resources = server.app.state.resources
    assert old["id"] not in {str(key) for key in await resources.index.file_counts()}
    assert not resources.blobs.path(old["sha256"]).exists()
    assert resources.blobs.path(new["sha256"]).exists()


async def test_searches_find_exactly_one_of_them_all_the_time(anna: Person) -> None:
    old = await anna.indexed("report.txt", report("two"))
    # Long enough to be read for a while.
    new = await anna.upload("report.txt", report("three") * 3_000, replaces=old["id"])
    seen: list[str] = []
    while new["id"] not in seen:
        passages = await found(anna, k=100)
        assert len(set(passages)) == 1, "the old one or the new one, never both, never none"
        seen.append(passages[0])
    assert seen[0] == old["id"]


async def test_a_new_one_that_can_not_be_read_leaves_the_old(anna: Person) -> None:
    old = await anna.indexed("report.pdf.txt", report("two"))
    new = await anna.upload("report.pdf.txt", b"%PDF-1.7\n" + uuid4().bytes.hex().encode() * 50, replaces=old["id"])
    failed = await ended(anna, new["id"])
    assert (failed["status"], failed["error"]["code"], failed["replaces_id"]) == ("failed", "corrupt", old["id"])
    assert await listed(anna) == {old["id"], new["id"]}
    assert await found(anna) == [old["id"]]


async def test_deleting_the_new_one_before_it_is_read_leaves_the_old(anna: Person) -> None:
    old = await anna.indexed("report.txt", report("two"))
    new = await anna.upload("report.txt", report("three") * 3_000, replaces=old["id"])
    assert (await anna.http.delete(f"/files/{new['id']}")).status_code == 204
    assert await listed(anna) == {old["id"]}
    assert await found(anna) == [old["id"]]


async def test_only_older_files_of_the_same_place_are_offered(anna: Person) -> None:
    first, second = await thread(anna), await thread(anna)
    await anna.upload("report.txt", report("two"))
    here = await anna.upload("report.txt", report("three"), conversation_id=first)
    assert here["same_name"] == [], "the other one belongs to the library"
    again = await anna.upload("report.txt", report("four"), conversation_id=first)
    assert [older["id"] for older in again["same_name"]] == [here["id"]]
    assert (await anna.upload("report.txt", report("five"), conversation_id=second))["same_name"] == []


async def test_what_replaces_a_file_of_the_library_belongs_to_it(anna: Person) -> None:
    first, second = await thread(anna), await thread(anna)
    old = await anna.indexed("report.txt", report("two"))
    new = await anna.indexed("report.txt", report("three"), conversation_id=first, replaces=old["id"])
    assert await found(anna, conversation_id=second) == [new["id"]]
    assert (await anna.http.delete(f"/conversations/{first}")).status_code == 204
    assert await listed(anna) == {new["id"]}


async def test_yes_replace_it_can_be_said_afterwards(anna: Person, database: Database) -> None:
    place = await thread(anna)
    old = await anna.indexed("report.txt", report("two"), conversation_id=place)
    new = await anna.indexed("report.txt", report("three"))
    assert sorted(await found(anna)) == sorted([old["id"], new["id"]])
    said = await anna.http.post(f"/files/{new['id']}/replace", json={"file_id": old["id"]})
    assert (said.status_code, said.json()["conversation_ids"], said.json()["replaces_id"]) == (200, [place], None)
    assert await found(anna) == [new["id"]]
    assert traces(database, old["id"]) == NOTHING

    again = await anna.upload("report.txt", report("four") * 3_000)
    said = await anna.http.post(f"/files/{again['id']}/replace", json={"file_id": new["id"]})
    assert (said.status_code, said.json()["replaces_id"]) in ((200, new["id"]), (200, None))
    await ended(anna, again["id"])
    assert await listed(anna) == {again["id"]}


async def test_a_picture_without_text_takes_the_place_too(anna: Person, database: Database) -> None:
    old = await anna.indexed("plan.png", picture())
    new = await anna.indexed("plan.png", picture(), replaces=old["id"])
    assert (new["status"], new["chunks_total"], new["replaces_id"]) == ("completed", 0, None)
    assert await listed(anna) == {new["id"]}
    newest = await anna.indexed("plan.png", picture())
    said = await anna.http.post(f"/files/{newest['id']}/replace", json={"file_id": new["id"]})
    assert (said.status_code, said.json()["replaces_id"]) == (200, None)
    assert await listed(anna) == {newest["id"]}
    for file in (old, new):
        assert traces(database, file["id"]) == NOTHING


async def test_versions_that_overtake_each_other_leave_the_last(anna: Person, database: Database) -> None:
    first = await anna.indexed("report.txt", report("two"))
    second = await anna.upload("report.txt", report("three") * 3_000, replaces=first["id"])
    third = await anna.upload("report.txt", report("four"), replaces=second["id"])
    assert (await ended(anna, third["id"]))["status"] == "completed"
    assert await listed(anna) == {third["id"]}
    assert await found(anna) == [third["id"]]

    async def settled() -> bool:
        return all(traces(database, file["id"]) == NOTHING for file in (first, second))

    await eventually(settled)


async def test_two_files_do_not_wait_for_each_other(anna: Person) -> None:
    one = await anna.upload("a.txt", b"%PDF-1.7\n" + uuid4().hex.encode() * 50)
    other = await anna.upload("b.txt", b"%PDF-1.7\n" + uuid4().hex.encode() * 50)
    await ended(anna, one["id"])
    await ended(anna, other["id"])
    for new, old in ((one, other), (other, one)):
        said = await anna.http.post(f"/files/{new['id']}/replace", json={"file_id": old["id"]})
        assert said.json()["replaces_id"] == old["id"]
    assert (await anna.get(f"/files/{one['id']}"))["replaces_id"] is None
    itself = await anna.http.post(f"/files/{one['id']}/replace", json={"file_id": one["id"]})
    assert (itself.status_code, envelope(itself)["code"]) == (422, "validation_error")


async def test_only_ones_own_files_are_replaced(anna: Person, boris: Person) -> None:
    theirs = await boris.indexed("report.txt", report("nine"))
    mine = await anna.indexed("report.txt", report("two"))
    content = report("three")
    for wrong in (theirs["id"], str(uuid4())):
        upload = await anna.http.post(
            "/files/upload", files={"file": ("report.txt", content)}, data={"replaces": wrong}
        )
        assert (upload.status_code, envelope(upload)["code"]) == (404, "not_found")
        said = await anna.http.post(f"/files/{mine['id']}/replace", json={"file_id": wrong})
        assert (said.status_code, envelope(said)["code"]) == (404, "not_found")
    stolen = await anna.http.post(f"/files/{theirs['id']}/replace", json={"file_id": mine["id"]})
    assert stolen.status_code == 404
    nonsense = await anna.http.post(
        "/files/upload", files={"file": ("report.txt", content)}, data={"replaces": "the old one"}
    )
    assert (nonsense.status_code, envelope(nonsense)["details"][0]["loc"]) == (422, ["body", "replaces"])
    assert await listed(anna) == {mine["id"]}
    assert await listed(boris) == {theirs["id"]}


async def test_bytes_that_are_there_already_replace_at_once(anna: Person) -> None:
    known = await anna.indexed("draft.txt", content := report("three"))
    old = await anna.indexed("report.txt", report("two"))
    answer = await anna.http.post(
        "/files/upload", files={"file": ("report.txt", content)}, data={"replaces": old["id"]}
    )
    assert (answer.status_code, answer.json()["id"]) == (200, known["id"])
    assert answer.json()["replaces_id"] is None, "it is gone already"
    assert await listed(anna) == {known["id"]}
    unchanged = await anna.http.post(
        "/files/upload", files={"file": ("draft.txt", content)}, data={"replaces": known["id"]}
    )
    assert (unchanged.status_code, unchanged.json()["id"]) == (200, known["id"])
    assert await listed(anna) == {known["id"]}


async def test_a_file_and_its_successor_go_together(anna: Person, database: Database) -> None:
    """Rows that point at each other are no obstacle to a deletion of both."""
    place = await thread(anna)
    old = await anna.indexed("report.txt", report("two"), conversation_id=place)
    new = await anna.upload("report.txt", PDF_THAT_IS_NONE, conversation_id=place, replaces=old["id"])
    await ended(anna, new["id"])
    assert (await anna.http.delete(f"/conversations/{place}")).status_code == 204
    assert await listed(anna) == set()
    for file in (old, new):
        assert traces(database, file["id"]) == NOTHING


async def test_an_old_answer_keeps_what_it_cited(anna: Person, openai: OpenAIServer) -> None:
    old = await anna.indexed("report.txt", report("two"))
    openai.script(reply="Two years [1].")
    answer = await anna.ask(QUESTION)
    assert answer["sources"][0]["file_id"] == old["id"]
    await anna.http.post(
        f"/files/{(await anna.indexed('report.txt', report('three')))['id']}/replace", json={"file_id": old["id"]}
    )
    messages = (await anna.get(f"/conversations/{answer['conversation_id']}/messages"))["items"]
    assert messages[-1]["sources"] == answer["sources"]
    openai.script(reply="Three years [1].")
    again = await anna.ask(QUESTION, conversation_id=answer["conversation_id"])
    assert "three years" in again["sources"][0]["snippet"]


@pytest.fixture
async def narrow(settings: Settings, tmp_path: Any) -> Any:
    """A service where an account may have one file, and 300 kB."""
    update = {"max_files_per_user": 1, "max_bytes_per_user_mb": 0.3, "inline_worker": False, "data_dir": tmp_path}
    async with serving(settings.model_copy(update=update)) as running:
        yield running


async def test_what_is_replaced_does_not_count_against_the_quota(narrow: Server) -> None:
    person = await Person.join(narrow.url)
    old = await person.upload("report.txt", uuid4().hex.encode() * 8000)
    content = uuid4().hex.encode() * 8000
    refused = await person.http.post("/files/upload", files={"file": ("report.txt", content)})
    assert (refused.status_code, envelope(refused)["code"]) == (413, "quota_exceeded")
    new = await person.upload("report.txt", content, replaces=old["id"])
    assert new["replaces_id"] == old["id"]
    larger = await person.http.post(
        "/files/upload", files={"file": ("report.txt", content * 2)}, data={"replaces": new["id"]}
    )
    assert larger.status_code == 413
    for file in (old, new):
        await person.http.delete(f"/files/{file['id']}")
    await person.close()


async def test_a_process_that_dies_between_the_two_steps_leaves_nothing_for_ever(
    anna: Person, server: Server, database: Database
) -> None:
    resources = server.app.state.resources
    old = await anna.indexed("report.txt", report("two"))
    new = await anna.indexed("report.txt", report("three"))
    # What is committed together, and then nothing more: the process is dead.
    async with resources.database.transaction() as session:
        file = await repository.take(session, UUID(new["id"]))
        assert file is not None
        await versions.replace(session, file.user_id, new=file.id, old=UUID(old["id"]))
    assert traces(database, old["id"]) == NOTHING, "searches can't find it from here on"
    assert resources.blobs.path(old["sha256"]).exists()
    assert await leftovers.sweep_blobs(resources.database, resources.blobs, older_than=0) == 1
    assert not resources.blobs.path(old["sha256"]).exists()
    assert resources.blobs.path(new["sha256"]).exists()
    await resources.ingestion.keeper.repair()
    assert old["id"] not in {str(key) for key in await resources.index.file_counts()}


async def test_an_upload_and_the_sweep_at_the_same_time_lose_nothing(anna: Person, server: Server) -> None:
    resources = server.app.state.resources
    contents = [report(str(n)) for n in range(30)]
    stop = asyncio.Event()

    async def sweep() -> None:
        hashes = [hashlib.sha256(content).hexdigest() for content in contents]
        while not stop.is_set():
            await leftovers.remove_blobs(resources.database, resources.blobs, hashes)

    sweeping = asyncio.create_task(sweep())
    try:
        made = [await anna.upload(f"{n}.txt", content) for n, content in enumerate(contents)]
    finally:
        stop.set()
        await sweeping
    assert all(resources.blobs.path(file["sha256"]).exists() for file in made)
