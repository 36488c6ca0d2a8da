"""PowerPoint 97-2003: slides, tables, notes and comments by the records of [MS-PPT]."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder, comment, flat
from ingestion.loaders.converted import load_by_libreoffice

# Kinds of records, [MS-PPT] 2.13.24 and [MS-ODRAW] 2.2.
_SLIDE_ATOM, _SLIDE_LIST, _SLIDE_PERSIST = 0x03EF, 0x0FF0, 0x03F3
_USER_EDIT, _PERSIST_DIRECTORY = 0x0FF5, 0x1772
_TEXT_HEADER, _TEXT_CHARS, _TEXT_BYTES, _OUTLINE_REFERENCE = 0x0F9F, 0x0FA0, 0x0FA8, 0x0F9E
_STRING, _COMMENT, _BINARY_TAG = 0x0FBA, 0x2EE0, 0x138B
_EDGES, _OF_NOTES, _FOOTER = 0x0FD9, 4, 2
_GROUP, _SHAPE, _CHILD_ANCHOR, _TERTIARY = 0xF003, 0xF004, 0xF00F, 0xF122
_TABLE_PROPERTY = 0x039F
_SLIDES, _NOTES = 0, 2  # instances of the slide list
_TITLES, _SPOKEN = (0, 6), 2  # kinds of text
_ENCRYPTED = 0xF3D1C4DF
_HEAD = struct.Struct("<HHI")
_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class _Record:
    kind: int
    instance: int
    data: memoryview
    holds_records: bool

    def number(self, place: int) -> int:
        return int(struct.unpack_from("<I", self.data, place)[0])


@dataclass(slots=True)
class _Listed:
    """A slide's, or its notes', entry in the document's list: where it lies, and the texts kept there."""

    persist: int
    identity: int
    texts: list[tuple[int, str]] = field(default_factory=list)


def load_ppt(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the slides in their order: title, text, tables, notes, comments. Raises ExtractionFailed.

    Older and damaged presentations are read by LibreOffice, where there is one.
    """
    try:
        return _by_records(path, mime, limits)
    except ExtractionFailed as failed:
        found = load_by_libreoffice(path, mime, limits) if failed.code == "corrupt" else None
        if found is None:
            raise
        return found


def _by_records(path: Path, mime: str, limits: Limits) -> Extracted:
    import olefile

    with path.open("rb") as file, olefile.OleFileIO(file) as container:
        data, user = (
            container.openstream(name).read() if container.exists(name) else b""
            for name in ("PowerPoint Document", "Current User")
        )
    if len(user) < 20 or not data:
        message = "This presentation is damaged, or older than PowerPoint 97; save it as .pptx and upload it again."
        raise ExtractionFailed("corrupt", message)
    if struct.unpack_from("<I", user, 12)[0] == _ENCRYPTED:
        raise ExtractionFailed("encrypted", "This presentation is protected by a password.")
    try:
        return _read(_Deck(memoryview(data), struct.unpack_from("<I", user, 16)[0]), mime, limits)
    except struct.error:
        raise ExtractionFailed("corrupt", "This presentation is damaged: a part of it is cut off.") from None


def _read(deck: "_Deck", mime: str, limits: Limits) -> Extracted:
    builder = Builder(limits)
    notes = {listed.identity: listed for listed in deck.listed(_NOTES)}
    slides = deck.listed(_SLIDES)
    for number, listed in enumerate(slides, start=1):
        start = builder.length
        _slide(deck, listed, notes, number, builder)
        builder.mark(start, "slide", str(number))
    for footer in dict.fromkeys(deck.footers(slides)):
        builder.add(footer)
    return builder.build(mime, len(slides))


class _Deck:
    """The records of a presentation as it was saved last; what earlier savings left behind is not in it."""

    def __init__(self, data: memoryview, last_edit: int) -> None:
        self.data = data
        self.places: dict[int, int] = {}
        document = entries = 0
        edit = last_edit
        while True:
            record = self._at(edit)
            if record.kind != _USER_EDIT:
                raise ExtractionFailed("corrupt", "This presentation is damaged: its slides can't be found.")
            document = document or record.number(16)
            for identity, place in _persisted(self._at(record.number(12))):
                self.places.setdefault(identity, place)
                entries += 1
            if entries > len(data) // 4:  # more than there is room for: the edits share a directory
                raise ExtractionFailed("corrupt", "This presentation is damaged: its slides can't be found.")
            earlier = record.number(8)
            if not 0 < earlier < edit:  # zero: the first one; each was appended behind those before it
                break
            edit = earlier
        self.document = self.persisted(document)

    def _at(self, place: int) -> _Record:
        record = next(_records(self.data[place:]), None)
        if record is None:
            raise ExtractionFailed("corrupt", "This presentation is damaged: a part of it is missing.")
        return record

    def persisted(self, identity: int) -> _Record:
        """Return the record of an identity. Raises ExtractionFailed(corrupt)."""
        if identity not in self.places:
            raise ExtractionFailed("corrupt", "This presentation is damaged: a part of it is missing.")
        return self._at(self.places[identity])

    def listed(self, instance: int) -> list[_Listed]:
        """Return the entries of one of the document's lists; a part that is listed again is left out."""
        found: dict[int, _Listed] = {}
        last: _Listed | None = None
        for part in _records(self.document.data):
            if part.kind != _SLIDE_LIST or part.instance != instance:
                continue
            for record in _records(part.data):
                if record.kind == _SLIDE_PERSIST:
                    last = _Listed(record.number(0), record.number(12))
                    found.setdefault(self.places.get(last.persist, -1), last)
                elif record.kind == _TEXT_HEADER and last:
                    last.texts.append((record.number(0), ""))
                elif record.kind in (_TEXT_CHARS, _TEXT_BYTES) and last and last.texts:
                    last.texts[-1] = (last.texts[-1][0], _text(record))
        return list(found.values())

    def footers(self, slides: Sequence[_Listed]) -> Iterator[str]:
        """Yield what stands at the foot of the slides: the document's, and where a slide has its own."""
        for parent in (self.document, *(self.persisted(listed.persist) for listed in slides)):
            for part in _records(parent.data):
                # Those of the document's notes (4) are not shown with the slides (3, or 0 in a slide).
                if part.kind == _EDGES and part.instance != _OF_NOTES:
                    for record in _records(part.data):
                        if record.kind == _STRING and record.instance == _FOOTER and (text := flat(_text(record))):
                            yield text


def _persisted(directory: _Record) -> Iterator[tuple[int, int]]:
    """Yield identities and their places ([MS-PPT] 2.3.4)."""
    if directory.kind != _PERSIST_DIRECTORY:
        raise ExtractionFailed("corrupt", "This presentation is damaged: its slides can't be found.")
    place = 0
    while place + 4 <= len(directory.data):
        entry = directory.number(place)
        first, count = entry & 0xFFFFF, entry >> 20
        for index in range(count):
            yield first + index, directory.number(place + 4 + 4 * index)
        place += 4 + 4 * count


def _slide(deck: _Deck, listed: _Listed, notes: dict[int, _Listed], number: int, builder: Builder) -> None:
    slide = deck.persisted(listed.persist)
    shapes = list(_shapes(slide, listed.texts))
    title = next((text for kind, text in shapes if isinstance(text, str) and kind in _TITLES and text), "")
    builder.heading(title or f"Slide {number}", 1)
    for kind, content in shapes:
        if not isinstance(content, str):
            builder.table(content)
        elif content and not (kind in _TITLES and content == title):
            builder.add(content)
    atom = next((part for part in _records(slide.data) if part.kind == _SLIDE_ATOM), None)
    spoken = notes.pop(atom.number(16), None) if atom else None  # they are of one slide
    if spoken is not None and spoken.persist in deck.places:
        for kind, content in _shapes(deck.persisted(spoken.persist), spoken.texts):
            if kind == _SPOKEN and isinstance(content, str) and content:
                builder.add(content)
    builder.comments([text for record in _below(slide) if record.kind == _COMMENT and (text := _comment(record))])


def _shapes(
    parent: _Record, texts: Sequence[tuple[int, str]], deep: int = 0
) -> Iterator[tuple[int, str | list[list[str]]]]:
    """Yield the kind and text of each shape, or the rows of a table, in the order of drawing."""
    if deep > _DEEPEST:
        raise ExtractionFailed("corrupt", "This presentation is nested too deeply to be read.")
    for record in _records(parent.data):
        if record.kind == _SHAPE:
            yield _text_of(record, texts)
        elif record.kind == _GROUP and _is_table(record):
            yield -1, _rows(record, texts)
        elif record.holds_records:
            yield from _shapes(record, texts, deep + 1)


def _text_of(shape: _Record, texts: Sequence[tuple[int, str]]) -> tuple[int, str]:
    kind, text = -1, ""
    for record in _below(shape):
        if record.kind == _TEXT_HEADER:
            kind = record.number(0)
        elif record.kind in (_TEXT_CHARS, _TEXT_BYTES):
            text = _text(record)
        elif record.kind == _OUTLINE_REFERENCE and record.number(0) < len(texts):
            kind, text = texts[record.number(0)]
    return kind, "" if text == "*" else text  # a star stands for the slide's number or date


def _is_table(group: _Record) -> bool:
    """Whether a group's first shape, which stands for the group, has the properties of a table."""
    own = next((part for part in _records(group.data) if part.kind == _SHAPE), None)
    for part in _records(own.data) if own else ():
        if part.kind == _TERTIARY:
            properties = range(0, min(len(part.data), 6 * part.instance) - 5, 6)
            return any(struct.unpack_from("<H", part.data, at)[0] & 0x3FFF == _TABLE_PROPERTY for at in properties)
    return False


def _rows(group: _Record, texts: Sequence[tuple[int, str]]) -> list[list[str]]:
    cells = []
    for shape in _records(group.data):
        anchor = next((part for part in _records(shape.data) if part.kind == _CHILD_ANCHOR), None)
        text = _text_of(shape, texts)[1] if shape.kind == _SHAPE else ""
        if anchor is not None and (text or any(part.kind == _TEXT_HEADER for part in _below(shape))):
            left, top = struct.unpack_from("<ii", anchor.data)
            cells.append((top, left, flat(text)))
    cells.sort()
    return [[text for _, _, text in row] for _, row in groupby(cells, key=lambda cell: cell[0])]


def _comment(record: _Record) -> str:
    strings = {part.instance: flat(_text(part)) for part in _records(record.data) if part.kind == _STRING}
    return comment(strings.get(0, ""), strings.get(1, ""))


def _text(record: _Record) -> str:
    encoding = "latin-1" if record.kind == _TEXT_BYTES else "utf-16-le"
    text = bytes(record.data).decode(encoding, errors="replace")
    return text.replace("\r", "\n").replace("\x0b", "\n").strip()


def _below(parent: _Record, deep: int = 0) -> Iterator[_Record]:
    if deep > _DEEPEST:
        raise ExtractionFailed("corrupt", "This presentation is nested too deeply to be read.")
    for record in _records(parent.data):
        yield record
        if record.holds_records:
            yield from _below(record, deep + 1)


def _records(data: memoryview) -> Iterator[_Record]:
    """Yield the records that lie one behind the other; a last one that is cut off ends them."""
    place = 0
    while place + _HEAD.size <= len(data):
        version, kind, size = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        # A tag's data are records too, though it is no container by its version.
        holds_records = version & 0xF == 0xF or kind == _BINARY_TAG
        yield _Record(kind, version >> 4, data[place : place + size], holds_records)
        place += size
