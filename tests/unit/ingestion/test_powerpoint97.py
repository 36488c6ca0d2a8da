"""Presentations of PowerPoint 97-2003 whose records are cut off, refer to themselves, or repeat."""

import struct
from pathlib import Path

import pytest

from ingestion.detect import PPT
from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.powerpoint97 import _by_records
from tests.files.compound import compound
from tests.files.records import ppt

_TITLES = ("First slide", "Second slide", "Third slide")


def record(kind: int, data: bytes, version: int = 0) -> bytes:
    return struct.pack("<HHI", version, kind, len(data)) + data


def edit(earlier: int, directory: int) -> bytes:
    return record(0x0FF5, struct.pack("<IIIIIII", 0, 0, earlier, directory, 1, 9, 0))


def loaded(folder: Path, stream: bytes, last_edit: int) -> Extracted:
    """Read a stream of records, without LibreOffice's help."""
    user = record(0x0FF6, struct.pack("<IIIHHBBH", 0x14, 0xE391C05F, last_edit, 0, 0x03F4, 3, 0, 0))
    path = folder / "a.ppt"
    path.write_bytes(compound({"PowerPoint Document": stream, "Current User": user}))
    return _by_records(path, PPT, Limits())


def persist_directory(*places: int) -> bytes:
    """Return where the parts 1, 2, … lie."""
    return record(0x1772, struct.pack(f"<I{len(places)}I", len(places) << 20 | 1, *places))


def slide_list(*persists: int) -> bytes:
    entries = b"".join(
        record(0x03F3, struct.pack("<IIIII", persist, 0, 0, 256 + at, 0))
        + record(0x0F9F, struct.pack("<I", 0))
        + record(0x0FA8, b"The title")
        for at, persist in enumerate(persists)
    )
    return record(0x03E8, record(0x0FF0, entries, 15), 15)


def a_slide() -> bytes:
    shape = record(0xF004, record(0xF00D, record(0x0F9F, struct.pack("<I", 1)) + record(0x0FA8, b"words"), 15), 15)
    return record(0x03EE, record(0x03EF, bytes(24)) + shape, 15)


@pytest.mark.parametrize("persists", [(2, 2, 2), (2, 3, 4)])
def test_a_slide_that_is_listed_again_is_read_once(tmp_path: Path, persists: tuple[int, ...]) -> None:
    document = slide_list(*persists)
    stream = document + a_slide()
    directory = persist_directory(0, *[len(document)] * 3)
    found = loaded(tmp_path, stream + directory + edit(0, len(stream)), len(stream + directory))
    assert found.text.count("words") == 1
    assert found.pages == 1


def test_edits_that_refer_to_themselves_or_forward_end(tmp_path: Path) -> None:
    document = slide_list(2)
    stream = document + a_slide()
    start = stream + persist_directory(0, len(document))
    for earlier in (len(start), len(start) + 36):
        two = edit(earlier, len(stream)) + edit(len(start), len(stream))
        assert "words" in loaded(tmp_path, start + two, len(start)).text


def test_edits_that_share_a_directory_are_refused_soon(tmp_path: Path) -> None:
    """Each of a file's ten thousand edits would go through all of its places again."""
    directory = record(0x1772, b"".join(struct.pack("<I4095I", 4095 << 20, *[0] * 4095) for _ in range(20)))
    stream, earlier = directory, 0
    for _ in range(10_000):
        stream, earlier = stream + edit(earlier, 0), len(stream)
    with pytest.raises(ExtractionFailed) as failed:
        loaded(tmp_path, stream, earlier)
    assert failed.value.code == "corrupt"


def test_records_that_are_cut_off_are_damage(tmp_path: Path) -> None:
    cut = record(0x1772, struct.pack("<I", 5 << 20 | 1))
    for stream, last_edit in ((cut + edit(0, 0), len(cut)), (record(0x0FF5, b""), 0)):
        with pytest.raises(ExtractionFailed) as failed:
            loaded(tmp_path, stream, last_edit)
        assert failed.value.code == "corrupt"


def test_what_was_saved_twice_is_read_as_it_was_last(tmp_path: Path) -> None:
    path = tmp_path / "a.ppt"
    path.write_bytes(ppt([(title, "Body", "Spoken words") for title in _TITLES], (), ("", "")))
    text = _by_records(path, PPT, Limits()).text
    assert "Draft" not in text
    assert [title in text for title in _TITLES] == [True] * 3
    assert text.count("Spoken words") == 3
