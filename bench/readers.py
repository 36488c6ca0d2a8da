"""How well files are read, beside other readers: `python -m bench.readers FOLDER [--reader NAME=PYTHON …] [--each]`.

Beside each file of the folder may lie `FILE.truth`, its text by another program (pdftotext, LibreOffice, pandoc), and
`FILE.rows`, the rows of its tables, cells parted by tabs. The others (markitdown, kreuzberg, unstructured, docling) are
never imported here: each is asked in an environment of its own, whose Python is given.

words: the share of the truth's words that are found, each as often as it is there. order: the share of its neighbouring
pairs of words that are neighbours still. rows: the share of rows whose words stand in one line, or one behind another.
CPU: seconds for a MB of file, the reader's start left out. failed: files of which nothing was read.
"""

import argparse
import json
import re
import select
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

_ASK = Path(__file__).with_name("readers_ask.py")
_PATIENCE = 120.0  # seconds for one file
# Chinese and Japanese have no spaces between words: there each sign is one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_Counted = TypeVar("_Counted")
_BESIDE = (".truth", ".rows")


@dataclass
class Score:
    """What one reader made of the files of a kind: found and all of the truth's words, pairs and rows."""

    files: int = 0
    failed: int = 0
    words: list[int] = field(default_factory=lambda: [0, 0])
    pairs: list[int] = field(default_factory=lambda: [0, 0])
    rows: list[int] = field(default_factory=lambda: [0, 0])
    seconds: float = 0.0
    size: int = 0

    def add(self, other: "Score") -> None:
        self.files += other.files
        self.failed += other.failed
        self.seconds += other.seconds
        self.size += other.size
        for mine, theirs in ((self.words, other.words), (self.pairs, other.pairs), (self.rows, other.rows)):
            mine[:] = [mine[0] + theirs[0], mine[1] + theirs[1]]

    def cells(self) -> list[str]:
        shares = [f"{100 * found / of:.1f}" if of else "–" for found, of in (self.words, self.pairs, self.rows)]
        speed = self.seconds / (self.size / 1e6) if self.size else 0.0
        return [*shares, f"{speed:.1f}" if self.size else "–", str(self.failed)]


class Reader:
    """A reader in a process of its own, started anew when it dies or takes too long."""

    def __init__(self, name: str, python: str) -> None:
        self.name, self._python = name, python
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> tuple[str, float, str]:
        """Return a file's text, the CPU seconds that it took, and why it failed (empty where it did not)."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.stop()
            return "", 0.0, "died" if ready else "took too long"
        answer = json.loads(line)
        return answer["text"], answer["seconds"], answer.get("failed", "")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._python, str(_ASK), self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )


def words(text: str) -> list[str]:
    """Return the words of a text, small and in one form."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def score(path: Path, text: str, seconds: float) -> Score:
    """Compare what was read with what lies beside the file."""
    made = Score(1, int(not text.strip()), seconds=seconds, size=path.stat().st_size)
    truth, rows = (path.with_name(path.name + suffix) for suffix in _BESIDE)
    read = words(text)
    if truth.exists():
        wanted = words(truth.read_text("utf-8"))
        made.words = _shared(Counter(wanted), Counter(read))
        made.pairs = _shared(Counter(pairwise(wanted)), Counter(pairwise(read)))
    if rows.exists():
        lines = [f" {' '.join(words(line))} " for line in text.splitlines()]
        stream = f" {' '.join(read)} "
        wanted_rows = [words(row) for row in rows.read_text("utf-8").splitlines()]
        made.rows = [sum(_kept(row, lines, stream) for row in wanted_rows), len(wanted_rows)]
    return made


def _shared(wanted: Counter[_Counted], read: Counter[_Counted]) -> list[int]:
    return [(wanted & read).total(), wanted.total()]


def _kept(row: Sequence[str], lines: Sequence[str], stream: str) -> bool:
    return f" {' '.join(row)} " in stream or any(_in_order(row, line) for line in lines)


def _in_order(row: Sequence[str], line: str) -> bool:
    """Whether the words of a row stand in a line in their order; names of columns may stand between them."""
    place = 0
    for word in row:
        place = line.find(f" {word} ", place)
        if place < 0:
            return False
        place += len(word) + 1
    return True


def _table(scores: dict[tuple[str, str], Score], kinds: Sequence[str], readers: Sequence[str]) -> Iterator[str]:
    yield "| files | reader | words % | order % | rows % | CPU s/MB | failed |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for kind in kinds:
        for name in readers:
            made = scores[kind, name]
            yield f"| {made.files} {kind} | {name} | {' | '.join(made.cells())} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reader", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--each", action="store_true", help="a line for each file, too")
    given = parser.parse_args()
    readers = [Reader(*each.split("=", 1)) for each in (f"ours={sys.executable}", *given.reader)]
    files = sorted(path for path in given.folder.iterdir() if path.is_file() and path.suffix not in _BESIDE)
    scores: dict[tuple[str, str], Score] = {}
    for path in files:
        kind = path.suffix.lower().lstrip(".")
        for reader in readers:
            text, seconds, failed = reader.read(path.resolve())
            made = score(path, text, seconds)
            scores.setdefault((kind, reader.name), Score()).add(made)
            if given.each:
                print(f"{path.name} {reader.name}: {' '.join(made.cells())} {failed}", file=sys.stderr, flush=True)
    for reader in readers:
        reader.stop()
    kinds = list(dict.fromkeys(kind for kind, _ in scores))
    names = [reader.name for reader in readers]
    for name in names:
        scores["in all", name] = Score()
        for kind in kinds:
            scores["in all", name].add(scores[kind, name])
    print("\n".join(_table(scores, [*kinds, "in all"], names)))


if __name__ == "__main__":
    main()
