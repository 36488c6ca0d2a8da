"""One document, written by pandoc in every format that it writes, reads the same everywhere."""

import subprocess
from pathlib import Path

import pypandoc
import pytest

from ingestion.detect import detect_file
from ingestion.documents import Extracted, Limits
from ingestion.sandbox import extract
from ingestion.split import split
from tests.files import as_blob

SOURCE = """---
title: Annual Review
---

# First chapter

Some *emphasised* text with a [link](http://example.com) and a footnote.[^1] Ещё русский текст: «ёлка».

[^1]: What the note says.

- item one
- item two
    - nested item

## Section two

| Name | Age |
|------|-----|
| Ann  | 5   |
| Bob  | 6   |

    code line 1

> quoted words
"""
FORMATS = ("docx", "odt", "rtf", "epub", "pptx", "html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pandoc")
    (folder / "source.md").write_text(SOURCE, encoding="utf-8")
    for kind in FORMATS:
        command = [pypandoc.get_pandoc_path(), "-s", "source.md", "-o", f"written.{kind}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


async def read(folder: Path, kind: str) -> Extracted:
    path = as_blob(folder / f"written.{kind}")
    return await extract(path, f"written.{kind}", detect_file(path, f"written.{kind}") or "", Limits(), scratch=folder)


@pytest.mark.parametrize("kind", FORMATS)
async def test_nothing_is_lost(folder: Path, kind: str) -> None:
    found = await read(folder, kind)
    for words in (
        "Annual Review",
        "Some emphasised text with a link and a footnote.",
        "Ещё русский текст: «ёлка».",
        "item two",
        "nested item",
        "code line 1",
        "quoted words",
        "note says",
        "Name | Age\nAnn | 5\nBob | 6",
    ):
        assert words in found.text
    assert "example.com" not in found.text


@pytest.mark.parametrize("kind", FORMATS)
async def test_headings_lead_to_their_passages(folder: Path, kind: str) -> None:
    passages = split(await read(folder, kind), 2000, 400, target=80)
    above = next(p.heading for p in passages if "Ann | 5" in p.text)
    # pandoc writes a slide for each chapter, and the section's title as text on it
    assert above is not None
    assert ("First chapter" if kind == "pptx" else "First chapter \u203a Section two") in above
