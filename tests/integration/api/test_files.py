"""Files: from upload to citation, and everything that is wrong with some of them."""

import asyncio
import io
import zipfile
from typing import Any
from uuid import uuid4

import docx
import httpx
import pytest

from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.providers import OpenAIServer
from tests.support import Person, Server, eventually

AURORA = (
    b"The moon base Aurora was founded in 2041 by Ilse Kramer. It has twelve domes and a greenhouse.\n\n"
    b"The water plant of Aurora makes 900 litres a day. The chief engineer is Tomas Rey.\n"
)
FILE = {
    "id",
    "name",
    "mime",
    "size",
    "sha256",
    "conversation_ids",
    "status",
    "stage",
    "progress",
    "chunks_total",
    "chunks_indexed",
    "error",
    "in_library",
    "library_ids",
    "owner",
    "is_owner",
    "replaces_id",
    "created_at",
}


async def test_upload_returns_at_once_and_the_file_becomes_searchable(anna: Person) -> None:
    file = await anna.upload("aurora.txt", AURORA)
    assert set(file) == FILE | {"same_name"}
    assert file["status"] in ("pending", "processing")
    done = await anna.indexed("aurora.txt", AURORA)
    assert done["id"] == file["id"], "the same bytes are the same file"
    assert (done["status"], done["stage"], done["progress"]) == ("completed", "finalized", 1.0)
    assert done["chunks_indexed"] == done["chunks_total"] > 0
    content = await anna.http.get(f"/files/{file['id']}/content")
    assert content.content == AURORA
    text = (await anna.get(f"/files/{file['id']}/text"))["text"]
    for chunk in (await anna.get(f"/files/{file['id']}/chunks"))["items"]:
        assert set(chunk) == {"id", "file_id", "position", "text", "start", "end", "page"}
        assert text[chunk["start"] : chunk["end"]] == chunk["text"]


async def test_same_bytes_same_place_is_200(anna: Person) -> None:
    first = await anna.http.post("/files/upload", files={"file": ("a.txt", AURORA)})
    assert first.status_code == 202
    again = await anna.http.post("/files/upload", files={"file": ("a.txt", AURORA)})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


async def test_the_answer_cites_the_file(anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("aurora.txt", AURORA)
    openai.script(reply="It was founded by Ilse Kramer [1]. It has legs [9].")
    events = await anna.stream("Who founded the moon base Aurora?")
    assert [event.name for event in events][:2] == ["start", "sources"]
    source = events[1].data["sources"][0]
    named = {"n", "file_id", "file_name", "chunk_id", "page", "start", "end", "snippet", "score"}
    named |= {"confidence", "shared", "available"}
    assert set(source) == named
    ended = events[-1].data["sources"][0]
    assert set(ended) == named | {"cited", "highlight"}
    assert ended["cited"] is True
    assert "Ilse Kramer" in ended["highlight"]["text"]
    assert (source["n"], source["file_name"]) == (1, "aurora.txt")
    text = (await anna.get(f"/files/{source['file_id']}/text"))["text"]
    assert text[source["start"] : source["end"]].startswith(source["snippet"])
    said = "".join(event.data["content"] for event in events if event.name == "chunk")
    assert said == "It was founded by Ilse Kramer [1]. It has legs."
    message = events[0].data["message_id"]
    trace = await anna.get(f"/messages/{message}/trace")
    nodes = {node["node"]: node for node in trace["nodes"]}
    assert nodes["generate"]["output"]["citations"] == {"cited": [1], "removed": 1}
    candidate = nodes["retrieve"]["output"]["candidates"][0]
    assert {"lexical", "vector", "score", "chosen", "file_name", "chunk_id"} <= set(candidate)
    prompt = nodes["augment"]["output"]["prompt"][-1]["content"]
    assert "Ilse Kramer" in prompt
    page = await anna.get(f"/conversations/{trace['conversation_id']}/messages")
    assert page["items"][-1]["sources"] == events[-1].data["sources"]


async def test_a_file_of_a_conversation_stays_in_it(anna: Person) -> None:
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    secret = f"The code of the vault is {uuid4().hex}.".encode()
    file = await anna.indexed("vault.txt", secret, conversation_id=thread)
    assert file["conversation_ids"] == [thread]
    elsewhere = await anna.ask("What is the code of the vault?")
    assert elsewhere["sources"] == []
    here = await anna.ask("What is the code of the vault?", conversation_id=thread)
    assert [source["file_name"] for source in here["sources"]] == ["vault.txt"]
    unwanted = await anna.ask("What is the code of the vault?", conversation_id=thread, use_rag=False)
    assert unwanted["sources"] == []
    named = await anna.ask("What is the code of the vault?", file_ids=[file["id"]])
    assert len(named["sources"]) == 1
    listed = await anna.get("/files", conversation_id=thread)
    assert [item["id"] for item in listed["items"]] == [file["id"]]


async def test_search_scopes_and_strangers(anna: Person, boris: Person) -> None:
    file = await anna.indexed("aurora.txt", AURORA)
    found = (await anna.http.post("/search", json={"query": "Who is the chief engineer?"})).json()["passages"]
    assert set(found[0]) == {"file_id", "file_name", "chunk_id", "page", "start", "end", "text", "score", "confidence"}
    assert "Tomas Rey" in found[0]["text"]
    assert (await boris.http.post("/search", json={"query": "chief engineer"})).json()["passages"] == []
    stolen = await boris.http.post("/search", json={"query": "x", "file_ids": [file["id"]]})
    assert stolen.status_code == 404
    assert (await boris.http.post("/chat", json={"message": "x", "file_ids": [file["id"]]})).status_code == 404
    for method, path in (
        ("GET", f"/files/{file['id']}"),
        ("GET", f"/files/status/{file['id']}"),
        ("GET", f"/files/{file['id']}/content"),
        ("GET", f"/files/{file['id']}/text"),
        ("GET", f"/files/{file['id']}/chunks"),
        ("POST", f"/files/process/{file['id']}"),
        ("DELETE", f"/files/{file['id']}"),
    ):
        answer = await boris.http.request(method, path)
        assert (answer.status_code, envelope(answer)["code"]) == (404, "not_found"), (method, path)
    thread = (await boris.http.post("/conversations", json={})).json()["id"]
    attach = await boris.http.post(f"/files/{file['id']}/attach", json={"conversation_id": thread})
    assert attach.status_code == 404
    for body in ({"query": ""}, {"query": "x", "k": 0}, {"query": "x", "k": 101}):
        assert (await anna.http.post("/search", json=body)).status_code == 422


async def test_russian_words_find_their_forms(anna: Person) -> None:
    text = "Договор аренды может быть расторгнут за три месяца. Квартира находится в Казани.".encode("cp1251")
    file = await anna.indexed("договор.txt", text)
    assert (file["name"], file["status"]) == ("договор.txt", "completed")
    found = (await anna.http.post("/search", json={"query": "расторжение договора аренды"})).json()["passages"]
    assert "три месяца" in found[0]["text"]


async def test_files_that_can_not_be_read_say_why(anna: Person) -> None:
    empty = await anna.http.post("/files/upload", files={"file": ("empty.txt", b"")})
    assert empty.status_code == 422
    program = await anna.http.post("/files/upload", files={"file": ("tool.txt", b"\x7fELF\x02\x01\x01" + bytes(600))})
    assert (program.status_code, envelope(program)["code"]) == (415, "unsupported_file_type")
    missing = await anna.http.post("/files/upload", files={"other": ("a.txt", b"x")})
    assert missing.status_code == 422
    json_body = await anna.http.post("/files/upload", json={})
    assert json_body.status_code == 422
    thread = await anna.http.post(
        "/files/upload", files={"file": ("a.txt", b"x y z")}, data={"conversation_id": str(uuid4())}
    )
    assert thread.status_code == 404
    blank = await anna.indexed("blank.txt", b"  \n \n")
    assert (blank["status"], blank["error"]["code"]) in (("failed", "empty"), ("failed", "no_text"))
    broken = await anna.indexed("broken.pdf", b"%PDF-1.7\n" + b"nonsense " * 50)
    assert (broken["status"], broken["error"]["code"]) == ("failed", "corrupt")
    assert broken["error"]["message"]


async def test_a_file_that_is_too_large_is_cut_off_while_it_comes(anna: Person, server: Server) -> None:
    limit = server.settings.max_filesize_bytes
    sent = 0

    async def body() -> Any:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.txt"\r\n\r\n'
        while sent < limit * 4:
            sent += 1 << 20
            yield b"x" * (1 << 20)
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    try:
        answer = await anna.http.post("/files/upload", content=body(), headers=headers)
    except httpx.TransportError:
        answer = None
    if answer is not None:
        assert (answer.status_code, envelope(answer)["code"]) == (413, "file_too_large")
    assert sent < limit * 3
    announced = await anna.http.post("/files/upload", files={"file": ("big.txt", b"x" * (limit + 1))})
    assert announced.status_code == 413
    incoming = server.settings.data_dir / "blobs" / "incoming"
    assert list(incoming.iterdir()) == []


async def test_names_are_never_paths(anna: Person) -> None:
    for given in ("../../etc/passwd.txt", "C:\\secrets\\a.txt", "..", "x" * 400 + ".txt"):
        file = await anna.upload(given, f"{given} and some text {uuid4().hex}".encode())
        assert "/" not in file["name"]
        assert "\\" not in file["name"]
        assert 0 < len(file["name"]) <= 255


async def test_deleting_leaves_nothing(anna: Person, server: Server, database: Database) -> None:
    file = await anna.indexed("gone.txt", f"Something to forget {uuid4().hex}.".encode())
    resources = server.app.state.resources
    counts = await resources.index.file_counts()
    assert file["id"] in {str(key) for key in counts}
    assert (await anna.http.delete(f"/files/{file['id']}")).status_code == 204
    assert (await anna.http.get(f"/files/{file['id']}")).status_code == 404
    for table in ("passages", "postings", "conversation_files"):
        row = database.execute(f"SELECT count(*) FROM {table} WHERE file_id = %s", (file["id"],)).fetchone()
        assert row == (0,)
    assert file["id"] not in {str(key) for key in await resources.index.file_counts()}
    assert not resources.blobs.path(file["sha256"]).exists()


async def test_deleting_a_conversation_takes_its_own_files_only(anna: Person) -> None:
    threads = [(await anna.http.post("/conversations", json={})).json()["id"] for _ in range(2)]
    own = await anna.indexed("own.txt", f"Only here {uuid4().hex}.".encode(), conversation_id=threads[0])
    shared = await anna.indexed("shared.txt", f"In both {uuid4().hex}.".encode(), conversation_id=threads[0])
    attached = await anna.http.post(f"/files/{shared['id']}/attach", json={"conversation_id": threads[1]})
    assert sorted(attached.json()["conversation_ids"]) == sorted(threads)
    assert (await anna.http.delete(f"/conversations/{threads[0]}")).status_code == 204
    assert (await anna.http.get(f"/files/{own['id']}")).status_code == 404
    assert (await anna.get(f"/files/{shared['id']}"))["conversation_ids"] == [threads[1]]


async def test_process_again_keeps_it_searchable(anna: Person) -> None:
    file = await anna.indexed("again.txt", AURORA)
    answer = await anna.http.post(f"/files/process/{file['id']}")
    assert answer.status_code == 202

    async def done() -> bool:
        return bool((await anna.get(f"/files/{file['id']}"))["status"] == "completed")

    await eventually(done)
    found = (await anna.http.post("/search", json={"query": "greenhouse"})).json()["passages"]
    assert len(found) == len({passage["chunk_id"] for passage in found}) >= 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.md", b"# Lease\n\nThe notice period is **three months**.\n", "three months"),
        ("a.csv", b"city,people\nKazan,1300000\nPerm,1000000\n", "Kazan"),
        (
            "a.html",
            b"<html><body><h1>Lease</h1><script>evil()</script><p>Three months.</p></body></html>",
            "Three months",
        ),
    ],
)
async def test_formats_are_read_by_content(anna: Person, name: str, content: bytes, words: str) -> None:
    file = await anna.indexed(name.replace(".", f"-{uuid4().hex[:6]}."), content)
    assert file["status"] == "completed", file
    text = (await anna.get(f"/files/{file['id']}/text"))["text"]
    assert words in text
    assert "evil" not in text


async def test_docx_and_a_bomb(anna: Person) -> None:
    document = docx.Document()
    document.add_heading("Lease", 1)
    document.add_paragraph("The deposit is two rents.")
    buffer = io.BytesIO()
    document.save(buffer)
    file = await anna.indexed("lease.docx", buffer.getvalue())
    assert file["status"] == "completed", file
    assert "The deposit is two rents." in (await anna.get(f"/files/{file['id']}/text"))["text"]
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"<w>" + b"a" * 300_000_000)
    refused = await anna.indexed("bomb.docx", bomb.getvalue())
    assert refused["status"] == "failed"
    assert refused["error"]["code"] in ("too_large", "corrupt", "timeout", "memory")


async def test_the_same_bytes_at_the_same_time_are_one_file(anna: Person) -> None:
    content = f"Sent four times at once {uuid4().hex}.".encode()
    files = await asyncio.gather(*(anna.upload(f"copy-{n}.txt", content) for n in range(4)))
    assert len({file["id"] for file in files}) == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "content", "mime"),
    [
        ("settings.txt", b"Key: value\r\n" * 200 + b"the end", "text/plain"),
        ("mail.txt", b"From: anna@example.com\r\n" + b"X-Spam: no\r\n folded\r\n" * 900, "text/plain"),
        ("notes.txt", b"<!-- a comment -->" * 200 + b"and text", "text/plain"),
    ],
)
async def test_many_lines_alike_take_no_time_to_tell_what_a_file_is(
    name: str, content: bytes, mime: str, anna: Person
) -> None:
    """What a file begins with is looked at before it is taken, in the process that serves everybody."""
    file = await anna.indexed(name, content)
    assert (file["status"], file["mime"]) == ("completed", mime)
