"""Every format is read in the real sandbox, and every bad file gets its reason."""

import struct
import time
import tracemalloc
from pathlib import Path

import pytest

from ingestion.detect import HEAD_BYTES, SUPPORTED, ZIP, detect, detect_file, refusal
from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.sandbox import extract
from tests.files import as_blob, broken
from tests.files.corpus import BAD, GOOD, Sample

LIMITS = Limits(seconds=30, memory_mb=1024)


def placed(folder: Path, sample: Sample) -> Path:
    path = folder / sample.name
    path.write_bytes(sample.make())
    return path


async def read(path: Path, limits: Limits = LIMITS) -> Extracted:
    kept = as_blob(path)
    return await extract(kept, path.name, detect_file(kept, path.name) or "", limits, scratch=kept.parent)


@pytest.mark.parametrize("sample", GOOD, ids=str)
async def test_reads(sample: Sample, tmp_path: Path) -> None:
    path = placed(tmp_path, sample)
    assert detect_file(path, sample.name) == sample.mime
    found = await read(path)
    place = 0
    for part in sample.text:
        place = found.text.index(part, place) + len(part)
    assert found.pages == sample.pages
    for kind, label in sample.marks:
        assert any(b.kind == kind and b.label == label for b in found.blocks), (kind, label, found.blocks)
    assert "hidden" not in found.text.replace("(hidden sheet)", "")
    assert "invisible" not in found.text


@pytest.mark.parametrize("sample", GOOD, ids=str)
async def test_marks_fit_the_text(sample: Sample, tmp_path: Path) -> None:
    found = await read(placed(tmp_path, sample))
    assert "\r" not in found.text
    assert "\0" not in found.text
    for block in found.blocks:
        assert 0 <= block.start < block.end <= len(found.text)
        if block.kind == "heading":
            assert block.label.split()[0] in found.text[block.start : block.end]


@pytest.mark.parametrize("sample", BAD, ids=str)
async def test_tells_the_reason(sample: Sample, tmp_path: Path) -> None:
    path = placed(tmp_path, sample)
    if path.stat().st_size:
        assert detect_file(path, sample.name) == sample.mime
    began = time.perf_counter()
    with pytest.raises(ExtractionFailed) as failed:
        await read(path)
    assert failed.value.code == sample.failure
    assert failed.value.message.endswith(".")
    assert str(tmp_path) not in failed.value.message
    assert time.perf_counter() - began < 10


async def test_a_directory_of_very_many_parts_is_not_read_where_uploads_are_received(tmp_path: Path) -> None:
    part = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    parts = part * 100_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65_535, 65_535, len(parts), 31, 0)
    path = tmp_path / "many.zip"
    path.write_bytes(struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a" + parts + end)
    tracemalloc.start()
    try:
        assert detect_file(path, path.name) == ZIP
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(ExtractionFailed) as failed:
        await read(path)
    assert failed.value.code == "too_large"


async def test_external_entities_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret words")
    path = tmp_path / "a.xml"
    path.write_bytes(broken.external_entity(str(tmp_path / "secret")))
    with pytest.raises(ExtractionFailed) as failed:
        await read(path)
    assert failed.value.code == "corrupt"


async def test_pages_have_a_limit(tmp_path: Path) -> None:
    path = placed(tmp_path, next(s for s in GOOD if s.name == "two-pages.pdf"))
    with pytest.raises(ExtractionFailed) as failed:
        await read(path, Limits(pages=1))
    assert failed.value.code == "too_many_pages"


async def test_output_has_a_limit(tmp_path: Path) -> None:
    for name in ("a.txt", "a.csv", "a.html"):
        path = tmp_path / name
        path.write_text("some,words\n" * 1000)
        with pytest.raises(ExtractionFailed) as failed:
            await read(path, Limits(output_chars=5000))
        assert failed.value.code == "too_large"


@pytest.mark.parametrize("sample", GOOD[::3], ids=str)
async def test_little_memory_is_enough_for_small_files(sample: Sample, tmp_path: Path) -> None:
    assert (await read(placed(tmp_path, sample), Limits(memory_mb=256))).text


def test_the_head_alone_tells_as_much_as_the_file(tmp_path: Path) -> None:
    for sample in GOOD:
        data = sample.make()
        if sample.name not in ("tricky.docx", "backslashes.xlsx"):
            assert detect(data[:HEAD_BYTES], sample.name, len(data)) == sample.mime, sample.name


def test_every_type_has_its_loader() -> None:
    from importlib import import_module

    for loader in SUPPORTED.values():
        module, _, function = loader.partition(":")
        assert callable(getattr(import_module(f"ingestion.loaders.{module}"), function))


@pytest.mark.parametrize(
    ("head", "name", "word"),
    [(b"\x7fELF" + bytes(9), "a.pdf", "Programs"), (b"Rar!\x1a", "a.rar", "Archives"), (bytes(99), "a.xyz", ".xyz")],
)
def test_refusal_names_the_reason(head: bytes, name: str, word: str) -> None:
    assert word in refusal(head, name)[1]
