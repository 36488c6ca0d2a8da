"""Word and PowerPoint files (OOXML), read straight from their XML parts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.documents import Extracted, Limits
from ingestion.loaders.archive import Archive, open_archive, reference
from ingestion.loaders.builder import Builder, comment, flat
from ingestion.loaders.charts import add_graphics
from ingestion.loaders.numbering import BULLET, Numbering, whole

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT_W = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_HEADING_NAME = re.compile(r"(?:heading|заголовок|überschrift|titre) ?([1-9])", re.IGNORECASE)
_SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml\Z")


def load_docx(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read a Word file: paragraphs, headings by style, lists, tables, charts; notes, comments, headers and footers.

    Tracked changes are read as accepted. Macros and links are never followed.
    """
    with open_archive(path, limits) as archive:
        document = _Word(archive, Builder(limits))
        document.read()
        return document.builder.build(mime)


def load_pptx(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the slides in their order: title, text, tables, charts, speaker notes."""
    with open_archive(path, limits) as archive:
        builder = Builder(limits)
        slides = _slides(archive)
        for number, part in enumerate(slides, start=1):
            start = builder.length
            _slide(archive, part, number, builder)
            if builder.length > start:
                builder.mark(start, "slide", str(number))
        return builder.build(mime, len(slides))


class _Word:
    """One document; knows which styles are headings."""

    def __init__(self, archive: Archive, builder: Builder) -> None:
        self.archive, self.builder = archive, builder
        self.levels: dict[str, int] = {}
        self.lists: set[str] = set()
        self.notes: dict[tuple[str, str], str] = {}
        self.targets: dict[str, str] = {}
        self.style_lists: dict[str, tuple[str, int]] = {}

    def read(self) -> None:
        part = self.archive.main_part("word/document.xml")
        root = self.archive.required(part)
        self.w = _STRICT_W if root.tag.startswith(_STRICT_W) else _W
        self.signs = {f"{self.w}{name}": sign for name, sign in _SIGNS.items()}
        self.numbering = Numbering(self._root("numbering"), self.w)
        self.levels = self._heading_styles()
        self.notes = self._notes()
        self.targets = self.archive.targets(part)
        self._page_edges("header")
        body = root.find(f"{self.w}body")
        if body is not None:
            self._content(body)
        for text in self.notes.values():  # those that no paragraph refers to
            self.builder.add(text)
        self._comments()
        self._page_edges("footer")

    def _parts(self, kind: str) -> list[str]:
        """Return the names of the parts of a kind, such as `word/header2.xml`."""
        return sorted(name for name in self.archive.names if re.fullmatch(rf"word/{kind}\d*\.xml", name))

    def _root(self, kind: str) -> Any:
        parts = self._parts(kind)
        return self.archive.xml(parts[0]) if parts else None

    def _notes(self) -> dict[tuple[str, str], str]:
        """Return footnotes and endnotes by their kind and id."""
        found = {}
        for kind in ("footnote", "endnote"):
            notes = self._root(f"{kind}s")
            for note in notes if notes is not None else ():
                if text := flat(self._text(note)):
                    found[kind, note.get(f"{self.w}id") or ""] = text
        return found

    def _page_edges(self, kind: str) -> None:
        """Add what stands on top, or at the foot, of the pages: each text once."""
        texts = [flat(self._text(self.archive.required(part))) for part in self._parts(kind)]
        self.builder.page_edges(texts)

    def _comments(self) -> None:
        root = self._root("comments")
        found = root if root is not None else ()
        told = [comment(each.get(f"{self.w}author"), flat(self._text(each))) for each in found]
        self.builder.comments([line for line in told if line])

    def _heading_styles(self) -> dict[str, int]:
        styles = self._root("styles")
        levels: dict[str, int] = {}
        parents: dict[str, str] = {}
        titled = ""
        for style in styles.iter(f"{self.w}style") if styles is not None else ():
            identity = style.get(f"{self.w}styleId") or ""
            label = self._value(style.find(f"{self.w}name"))
            level = whole(self._value(style.find(f"{self.w}pPr/{self.w}outlineLvl")))
            if label.lower().startswith("list ") or style.find(f"{self.w}pPr/{self.w}numPr") is not None:
                self.lists.add(identity)
            if listed := self._listed(style):
                self.style_lists[identity] = listed
            named = _HEADING_NAME.match(label)
            if named:
                levels[identity] = int(named[1])
            elif label.lower() == "title":
                levels[identity], titled = 1, identity
            elif level is not None and level < 9:
                levels[identity] = level + 1
            parents[identity] = self._value(style.find(f"{self.w}basedOn"))
        for identity, parent in parents.items():  # what is based on the title (author, date) is no heading
            if identity not in levels and parent in levels and parent != titled:
                levels[identity] = levels[parent]
            if identity not in self.style_lists and parent in self.style_lists:
                self.style_lists[identity] = self.style_lists[parent]
        self.style_lists |= self.numbering.by_style
        return levels

    def _listed(self, element: Any) -> tuple[str, int] | None:
        """Return the list and the level that a paragraph, or a style, says it is of."""
        own = element.find(f"{self.w}pPr/{self.w}numPr")
        number = self._value(own.find(f"{self.w}numId")) if own is not None else ""
        level = self._value(own.find(f"{self.w}ilvl")) if own is not None else ""
        return (number, whole(level) or 0) if number else None

    def _value(self, element: Any) -> str:
        return "" if element is None else element.get(f"{self.w}val") or ""

    def _content(self, parent: Any) -> None:
        for element in parent:
            if element.tag == f"{self.w}p":
                self._paragraph(element)
            elif element.tag == f"{self.w}tbl":
                self.builder.table(self._rows(element))
            elif element.tag in (f"{self.w}sdt", f"{self.w}sdtContent", f"{self.w}customXml"):
                self._content(element)

    def _paragraph(self, element: Any) -> None:
        text, label = self._text(element).strip(), self._label(element)
        if text:
            self._add_paragraph(element, text, label)
        # A note stands behind the paragraph that refers to it, where its page shows it.
        for kind in ("footnote", "endnote"):
            for mark in element.iter(f"{self.w}{kind}Reference"):
                if note := self.notes.pop((kind, mark.get(f"{self.w}id") or ""), None):
                    self.builder.add(note)
        add_graphics(self.archive, self.targets, element, self.builder)

    def _label(self, paragraph: Any) -> str:
        """Count a paragraph in its list, and return what stands before it. An empty one counts as well."""
        style = self._value(paragraph.find(f"{self.w}pPr/{self.w}pStyle"))
        listed = self._listed(paragraph) or self.style_lists.get(style)
        return self.numbering.label(*listed) if listed else ""

    def _add_paragraph(self, element: Any, text: str, label: str) -> None:
        style = self._value(element.find(f"{self.w}pPr/{self.w}pStyle"))
        own = whole(self._value(element.find(f"{self.w}pPr/{self.w}outlineLvl")))
        level = own + 1 if own is not None and own < 9 else self.levels.get(style, 0)
        numbered = f"{label} {text}" if label and label != BULLET else text
        if level and len(text) < 300:
            self.builder.heading(numbered, level)
        elif numbered != text:
            self.builder.add(numbered)
        elif label or (style in self.lists or element.find(f"{self.w}pPr/{self.w}numPr") is not None):
            self.builder.add(f"- {text}", "\n")
        else:
            self.builder.add(text)

    def _rows(self, table: Any) -> Iterator[list[str]]:
        for row in self._inside(table, f"{self.w}tr"):
            yield [flat("".join(self._pieces(cell, numbered=True))) for cell in self._inside(row, f"{self.w}tc")]

    def _inside(self, parent: Any, tag: str) -> Iterator[Any]:
        """Yield the rows of a table, or the cells of a row, those in a form's controls too, of no inner table."""
        for child in parent:
            if child.tag == tag:
                yield child
            elif child.tag in (f"{self.w}sdt", f"{self.w}sdtContent", f"{self.w}customXml"):
                yield from self._inside(child, tag)

    def _text(self, element: Any) -> str:
        return "".join(self._pieces(element))

    def _pieces(self, element: Any, *, numbered: bool = False) -> Iterator[str]:
        """Yield the pieces of a text; `numbered`: with the numbers of the paragraphs inside, which are counted."""
        for child in element:
            tag = child.tag
            if tag in (f"{self.w}t", _MATH_TEXT):
                yield child.text or ""
            elif tag in self.signs:
                yield self.signs[tag]
            elif tag not in (_FALLBACK, f"{self.w}pPr", f"{self.w}rPr", f"{self.w}moveFrom"):
                if tag == f"{self.w}txbxContent":
                    yield "\n"
                if numbered and tag == f"{self.w}p" and (label := self._label(child)) != BULLET:
                    yield f"{label} "
                yield from self._pieces(child, numbered=numbered)
                if tag == f"{self.w}p":
                    yield "\n"
                elif tag == f"{self.w}tc":
                    yield " "


def _slides(archive: Archive) -> list[str]:
    """Return the slides' parts in the order of the presentation, or of their numbers where that is not told."""
    main = archive.main_part("ppt/presentation.xml")
    targets, presentation = archive.targets(main), archive.required(main)
    ordered = [
        targets[identity]
        for entry in presentation.iter("{*}sldId")
        if (identity := reference(entry)) in targets and targets[identity] in archive.names
    ]
    found = sorted((int(m[1]), part) for part in archive.names if (m := _SLIDE.match(part)))
    return ordered or [part for _, part in found]


def _slide(archive: Archive, part: str, number: int, builder: Builder) -> None:
    root, targets = archive.required(part), archive.targets(part)
    titles = [flat(_paragraphs(shape)) for shape in root.iter("{*}sp") if _is_title(shape)]
    builder.heading(next(filter(None, titles), f"Slide {number}"), 1)
    for shape in root.iter("{*}sp", "{*}graphicFrame"):
        if shape.tag.endswith("}sp"):
            text = "" if _is_title(shape) else _paragraphs(shape)
            if text.strip():
                builder.add(text)
            continue
        for table in shape.iter("{*}tbl"):
            rows = table.iter("{*}tr")
            builder.table([flat(_paragraphs(cell)) for cell in row.iter("{*}tc")] for row in rows)
        add_graphics(archive, targets, shape, builder)
    notes = next((target for target in targets.values() if "/notesSlides/" in target), None)
    spoken = archive.xml(notes) if notes else None
    for shape in spoken.iter("{*}sp") if spoken is not None else ():
        kind = shape.find(".//{*}nvPr/{*}ph")
        if kind is not None and kind.get("type") == "body" and _paragraphs(shape).strip():
            builder.add(_paragraphs(shape))
    builder.comments(
        [remark for target in targets.values() if "/comments/" in target for remark in _remarks(archive, target)]
    )


def _remarks(archive: Archive, part: str) -> Iterator[str]:
    """Yield the comments on a slide: each is a text (until 2019), or paragraphs (since)."""
    root = archive.xml(part)
    for remark in root.iter("{*}cm", "{*}reply") if root is not None else ():
        text = flat(" ".join(piece.text or "" for piece in remark.iterchildren("{*}text")))
        body = remark.find("{*}txBody")
        if text := text or (flat(_paragraphs(body)) if body is not None else ""):
            yield text


def _is_title(shape: Any) -> bool:
    kind = shape.find(".//{*}nvPr/{*}ph")
    return kind is not None and kind.get("type") in ("title", "ctrTitle")


def _paragraphs(shape: Any) -> str:
    lines = []
    for paragraph in shape.iter("{*}p"):
        pieces = ("\n" if run.tag.endswith("}br") else run.text or "" for run in paragraph.iter("{*}t", "{*}br"))
        lines.append("".join(pieces).strip())
    return "\n".join(line for line in lines if line)
