"""Every format on the users' road: upload, status, text, search, an answer's citation, preview, the bytes again."""

import asyncio
import subprocess
from pathlib import Path

import pypandoc
import pytest

from tests.files.corpus import BAD, GOOD, Sample
from tests.integration.api.test_auth import envelope
from tests.support import Person

pytestmark = pytest.mark.slow

_WRITTEN = (
    "# The Falcon\n\nThe Falcon drill has a warranty of 37 months.\n\n| Part | Price |\n|---|---|\n| Chuck | 41 |\n"
)


async def follow(person: Person, name: str, content: bytes, words: str) -> None:
    """Take a file all the way, looking for some of its words."""
    file = await person.indexed(name, content)
    assert (file["status"], file["error"]) == ("completed", None), name
    text = (await person.get(f"/files/{file['id']}/text"))["text"]
    assert words in text
    found = (await person.http.post("/search", json={"query": words, "file_ids": [file["id"]]})).json()["passages"]
    assert found, name
    assert text[found[0]["start"] : found[0]["end"]] == found[0]["text"]
    answer = await person.ask(f"What is said of {words}?", file_ids=[file["id"]])
    assert "[1]" in answer["response"]
    source = answer["sources"][0]
    assert source["file_name"] == name
    assert source["snippet"] in text[source["start"] : source["end"]]
    chunks = await person.get(f"/files/{file['id']}/chunks")
    assert chunks["items"]
    back = await person.http.get(f"/files/{file['id']}/content")
    assert (back.status_code, back.content) == (200, content)


@pytest.mark.parametrize("sample", GOOD, ids=str)
async def test_a_file_is_read_found_and_cited(sample: Sample, anna: Person) -> None:
    words = max((line for part in sample.text for line in part.splitlines()), key=len)
    await follow(anna, sample.name, sample.make(), words)


@pytest.mark.parametrize("sample", [s for s in BAD if s.mime and s.name not in ("empty.txt", "empty.pdf")], ids=str)
async def test_a_file_that_can_not_be_read_says_why(sample: Sample, anna: Person) -> None:
    file = await anna.indexed(sample.name, sample.make())
    assert file["status"] == "failed"
    assert file["error"]["code"] == sample.failure
    assert file["error"]["message"]


@pytest.mark.parametrize("sample", [s for s in BAD if not s.mime], ids=str)
async def test_a_file_that_is_no_document_is_refused(sample: Sample, anna: Person) -> None:
    told = await anna.http.post("/files/upload", files={"file": (sample.name, sample.make())})
    assert (told.status_code, envelope(told)["code"]) == (415, "unsupported_file_type")


@pytest.mark.parametrize("kind", ["docx", "odt", "rtf", "epub", "pptx", "html"])
async def test_what_pandoc_writes_is_read_found_and_cited(kind: str, anna: Person, tmp_path: Path) -> None:
    name, words = f"Gerät – отчёт.{kind.upper()}", "The Falcon drill has a warranty of 37 months."
    await follow(anna, name, await asyncio.to_thread(written, kind, tmp_path), words)


def written(kind: str, folder: Path) -> bytes:
    """Return a document as pandoc writes it."""
    (folder / "source.md").write_text(_WRITTEN)
    command = [pypandoc.get_pandoc_path(), "-s", "source.md", "-o", f"written.{kind}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / f"written.{kind}").read_bytes()


@pytest.mark.parametrize(
    "name", ["sales.XLSX", "sales", "sales.docx", "отчёт 📊.xlsx", "../../etc/sales.xlsx", "a.b.c", "sales.txt"]
)
async def test_a_workbook_is_one_whatever_it_is_called(name: str, anna: Person) -> None:
    sample = next(s for s in GOOD if s.name == "sales.xlsx")
    file = await anna.indexed(name, sample.make())
    assert file["status"] == "completed"
    text = (await anna.get(f"/files/{file['id']}/text"))["text"]
    assert "1,234.50 EUR" in text
    assert "/" not in file["name"]
