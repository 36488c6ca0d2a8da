"""Writes compound files ([MS-CFB]), for Word 97, Excel 97 and Outlook samples, which no installed library writes."""

import itertools
import struct

_SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5

Tree = dict[str, "bytes | Tree"]


def compound(tree: Tree) -> bytes:
    """Return a compound file that holds streams (bytes) and storages (dicts); no mini stream is used."""
    entries: list[tuple[str, int, bytes, list[int]]] = [("Root Entry", _ROOT, b"", [])]
    _collect(tree, entries, 0)
    sectors: list[bytes] = []
    fat: list[int] = []

    def store(data: bytes) -> int:
        if not data:
            return _END
        first = len(sectors)
        pieces = [data[i : i + _SECTOR].ljust(_SECTOR, b"\0") for i in range(0, len(data), _SECTOR)]
        for index, piece in enumerate(pieces):
            sectors.append(piece)
            fat.append(_END if index == len(pieces) - 1 else first + index + 1)
        return first

    starts = [store(data) for _, _, data, _ in entries]
    siblings, children = _links(entries)
    directory = b"".join(
        _entry(name, kind, siblings[i], children[i], starts[i], len(data))
        for i, (name, kind, data, _) in enumerate(entries)
    )
    directory_start = store(directory)
    count = 1
    while len(fat) + count > count * _SECTOR // 4:
        count += 1
    fat_sectors = list(range(len(sectors), len(sectors) + count))
    table = struct.pack(f"<{len(fat) + count}I", *fat, *([_FAT] * count)).ljust(count * _SECTOR, b"\xff")
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\0" * 16,
        *(0x3E, 3, 0xFFFE, 9, 6, b"\0" * 6),
        *(0, count, directory_start, 0, 0, _END, 0, _END, 0),
        fat_sectors[0],
    )
    header += struct.pack("<108I", *fat_sectors[1:], *([_FREE] * (109 - count)))
    return header + b"".join(sectors) + table


def _collect(tree: Tree, entries: list[tuple[str, int, bytes, list[int]]], parent: int) -> None:
    for name, value in tree.items():
        index = len(entries)
        entries[parent][3].append(index)
        if isinstance(value, bytes):
            # Streams below 4096 bytes would belong into the mini stream; padding keeps them out of it.
            entries.append((name, _STREAM, value.ljust(4096, b"\0"), []))
        else:
            entries.append((name, _STORAGE, b"", []))
            _collect(value, entries, index)


def _links(entries: list[tuple[str, int, bytes, list[int]]]) -> tuple[list[int], list[int]]:
    """Chain siblings to the right, in the order that the format sorts names: by length, then by letters."""
    siblings, children = [_FREE] * len(entries), [_FREE] * len(entries)
    for index, (_, _, _, below) in enumerate(entries):
        ordered = sorted(below, key=lambda i: (len(entries[i][0]), entries[i][0].upper()))
        if ordered:
            children[index] = ordered[0]
        for left, right in itertools.pairwise(ordered):
            siblings[left] = right
    return siblings, children


def _entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16sIQQIQ",
        encoded.ljust(64, b"\0"),
        len(encoded),
        *(kind, 1, _FREE, right, child, b"\0" * 16, 0, 0, 0),
        start,
        size,
    )
