"""HTML and XML, without ever fetching what they point to or expanding their entities."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree, html

from ingestion.documents import Extracted, ExtractionFailed, Limits, clean
from ingestion.loaders.builder import Builder, flat
from ingestion.loaders.encoding import decode_as, is_utf16
from ingestion.loaders.numbering import counted, whole

_CHARSET = re.compile(
    rb"<meta[^>]{0,200}charset=[\"']?\s*([\w-]{2,40})|\A\s*<\?xml[^>]{0,200}encoding=[\"']([\w-]{2,40})", re.IGNORECASE
)
_DECLARED = re.compile(r"\A\s*<\?xml[^>]*\?>")
_HIDDEN = frozenset(
    re.findall(r"\S+", "script style noscript template svg annotation title iframe object embed select datalist")
)
_LIST_STYLES = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_BLOCKS = frozenset(
    re.findall(
        r"\S+",
        """
        address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure
        footer form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol p pre section summary table tbody td
        tfoot th thead tr ul caption
        """,
    )
)


def parse_xml(data: bytes) -> Any:
    """Return the root of an XML document.

    Raises ExtractionFailed(corrupt) where it is damaged, too deep, or declares entities (the "billion
    laughs").
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise ExtractionFailed("corrupt", "This file's XML is damaged and can't be read.") from None
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise ExtractionFailed("corrupt", "This XML declares entities of its own, which is not allowed here.")
    return root


def load_xml(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read XML as lines of `element: text`; each child of the root is a paragraph."""
    text = _DECLARED.sub("", decode_marked(path.read_bytes()))
    root = parse_xml(text.encode("utf-8", errors="replace"))
    builder = Builder(limits)
    own = list(_attributes(root)) + ([flat(root.text)] if root.text and root.text.strip() else [])
    if own:
        builder.add("\n".join(own))
    for child in root.iterchildren("*"):
        lines = list(_lines(child))
        if lines:
            builder.add("\n".join(lines))
        if child.tail and child.tail.strip():
            builder.add(child.tail.strip())
    return builder.build(mime)


def load_html(path: Path, name: str, mime: str, limits: Limits) -> Extracted:
    """Read the visible text of a page, with its title, headings, lists and tables."""
    builder = Builder(limits)
    add_html(builder, decode_marked(path.read_bytes()))
    return builder.build(mime)


def decode_marked(data: bytes) -> str:
    """Return the text of a page or an XML file, in the encoding that it declares."""
    declared = _CHARSET.search(data[:4096])
    label = (declared[1] or declared[2]).decode() if declared else None
    # What could be read byte by byte is not UTF-16, whatever it says of itself (as .NET's StringWriter makes XML say):
    # https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
    return decode_as(data, "utf-8" if label and is_utf16(label) else label)


def add_html(builder: Builder, text: str, *, shift: int = 0, title: bool = True) -> None:
    """Append a page's visible text; heading levels are moved down by `shift`, the page's title is left out on wish."""
    if not text.strip():
        return
    source = _DECLARED.sub("", clean(text)).encode()
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        root = html.document_fromstring(source, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise ExtractionFailed("corrupt", "This page is nested too deeply to be read.")
    _Page(builder, shift).read(root, title)


class _Page:
    """Walks a page once, in document order."""

    def __init__(self, builder: Builder, shift: int) -> None:
        self.builder, self.shift = builder, shift
        self.line: list[str] = []
        self.kept: int = 0
        self.sign = ""  # of the item of a list that begins; its text may stand in a paragraph of its own
        self.numbers: dict[Any, int] = {}

    def read(self, root: Any, titled: bool) -> None:
        title = flat(root.findtext(".//head/title") or "") if titled else ""
        first = root.find(".//h1")
        if title and (first is None or flat(_text_of(first)) != title):
            self.builder.heading(title, 1 + self.shift)
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if self._skipped(element, tag):
                    walk.skip_subtree()
                else:
                    self._open(element, tag)
            else:
                self._close(element, tag)
        self._flush()

    def _skipped(self, element: Any, tag: str) -> bool:
        """Tell whether a subtree is hidden, or was written whole just now (headings and tables)."""
        if tag in _HIDDEN or element.get("hidden") is not None or not tag:
            return True
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdecimal():
            self._flush()
            self.builder.heading(_text_of(element), int(tag[1]) + self.shift)
            return True
        if tag == "table" and _is_data(element):
            self._flush()
            caption = element.find("caption")
            if caption is not None:
                self.builder.add(flat(_text_of(caption)), "\n")
            self.builder.table([_text_of(cell) for cell in row] for row in _rows(element))
            return True
        return False

    def _open(self, element: Any, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush()
        if tag == "li":
            self.sign = self._sign(element)
        elif tag == "br":
            self.line.append("\n")
        elif tag == "img" and element.get("alt"):
            self.line.append(f" {element.get('alt')} ")
        elif tag == "pre":
            self.kept += 1
        self._text(element.text)

    def _sign(self, item: Any) -> str:
        """Return what stands before an item of a list: its number, or a dash."""
        parent = item.getparent()
        if parent is None or parent.tag != "ol":
            return "- "
        start = item.get("value") or parent.get("start") if item.getprevious() is None else item.get("value")
        own = whole(start or "")
        number = self.numbers.get(parent, 0) + 1 if own is None else own
        self.numbers[parent] = number
        return f"{counted(number, _LIST_STYLES.get(parent.get('type') or '', 'decimal'))}. "

    def _close(self, element: Any, tag: str) -> None:
        if tag in _BLOCKS and not (len(tag) == 2 and tag[0] == "h"):
            self._flush()
            self.kept -= tag == "pre"
            self.sign = "" if tag == "li" else self.sign
        self._text(element.tail)

    def _text(self, text: str | None) -> None:
        if text:
            self.line.append(text if self.kept else re.sub(r"\s+", " ", text))

    def _flush(self) -> None:
        text = "".join(self.line)
        text = text.strip("\n") if self.kept else re.sub(r" *\n *", "\n", text).strip()
        self.line.clear()
        if text.strip():
            text, self.sign = self.sign + text, ""
            self.builder.add(text, "\n" if text.startswith("- ") else "\n\n")


def _text_of(element: Any) -> str:
    parts = (piece for piece in element.xpath(".//text()[not(ancestor::script or ancestor::style)]"))
    return flat("".join(str(part) for part in parts))


def _is_data(table: Any) -> bool:
    """Tell a table of data from one that only lays out the page."""
    if table.find(".//table") is not None:
        return False
    rows = list(_rows(table))
    return len(rows) > 1 and max(len(row) for row in rows) > 1


def _rows(table: Any) -> Iterator[list[Any]]:
    for row in table.iter("tr"):
        yield [cell for cell in row if cell.tag in ("td", "th")]


def _attributes(element: Any) -> Iterator[str]:
    for key, value in element.attrib.items():
        if value.strip() and not key.startswith("{http://www.w3.org/2001/XMLSchema-instance}"):
            yield f"{_local(element)}.{etree.QName(key).localname}: {flat(value)}"


def _lines(element: Any) -> Iterator[str]:
    """Yield an element's text and attributes, those below it after it; mixed content stays one line."""
    if not isinstance(element.tag, str):
        return
    yield from _attributes(element)
    children = list(element.iterchildren("*"))
    mixed = any(child.tail and child.tail.strip() for child in children)
    if not children or mixed:
        text = flat("".join(element.itertext()))
        if text:
            yield f"{_local(element)}: {text}"
        return
    if element.text and element.text.strip():
        yield f"{_local(element)}: {flat(element.text)}"
    for child in children:
        yield from _lines(child)


def _local(element: Any) -> str:
    return str(etree.QName(element).localname)
