"""Tell what a file is by its content; its name only tells apart what looks the same inside."""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import MappingProxyType

HEAD_BYTES = 65_536
_DIRECTORY_BYTES = 4 << 20  # of an archive's parts: some 20,000 of them

_OOXML = "application/vnd.openxmlformats-officedocument"
DOCX, XLSX, PPTX = (
    f"{_OOXML}.wordprocessingml.document",
    f"{_OOXML}.spreadsheetml.sheet",
    f"{_OOXML}.presentationml.presentation",
)
ODT, ODS, ODP = (f"application/vnd.oasis.opendocument.{kind}" for kind in ("text", "spreadsheet", "presentation"))
DOC, XLS, PPT = "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"
XLSB = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
MSG, EPUB, PDF, RTF = "application/vnd.ms-outlook", "application/epub+zip", "application/pdf", "application/rtf"
TEXT, MARKDOWN, HTML, CSV, TSV = ("text/plain", "text/markdown", "text/html", "text/csv", "text/tab-separated-values")
ZIP, NOTEBOOK = "application/zip", "application/x-ipynb+json"
JSON, JSONL, XML, EML, SOURCE = (
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "message/rfc822",
    "text/x-source",
)
_IMAGES = ("image/png", "image/jpeg", "image/tiff", "image/bmp", "image/webp", "image/gif")

# Media type to the loader that reads it, as `module:function` below `ingestion.loaders`.
SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        PDF: "pdf:load_pdf",
        DOCX: "office:load_docx",
        PPTX: "office:load_pptx",
        XLSX: "sheets:load_xlsx",
        XLS: "sheets:load_xls",
        XLSB: "sheets:load_xlsb",
        DOC: "word97:load_doc",
        PPT: "powerpoint97:load_ppt",
        ODT: "opendocument:load_opendocument",
        ODS: "opendocument:load_opendocument",
        ODP: "opendocument:load_opendocument",
        EPUB: "epub:load_epub",
        RTF: "rtf:load_rtf",
        EML: "mail:load_eml",
        MSG: "mail:load_msg",
        HTML: "markup:load_html",
        XML: "markup:load_xml",
        CSV: "text:load_csv",
        TSV: "text:load_csv",
        ZIP: "packed:load_zip",
        NOTEBOOK: "notebook:load_notebook",
        JSON: "text:load_json",
        JSONL: "text:load_json",
        MARKDOWN: "markdown:load_markdown",
        SOURCE: "text:load_source",
        TEXT: "text:load_text",
        **dict.fromkeys(_IMAGES, "picture:load_picture"),
    }
)

_BY_SUFFIX = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".rst"), MARKDOWN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    **dict.fromkeys((".xml", ".xsd", ".xsl", ".rss", ".atom", ".svg"), XML),
    **dict.fromkeys((".jsonl", ".ndjson"), JSONL),
    **dict.fromkeys((".tsv", ".tab"), TSV),
    **dict.fromkeys(
        re.findall(
            r"\S+",
            ".py .js .mjs .ts .tsx .jsx .java .kt .c .h .cc .cpp .hpp .cs .go .rs .rb .php .swift .scala .lua .pl .r"
            " .jl .dart .ex .hs .sql .sh",
        ),
        SOURCE,
    ),
    ".csv": CSV,
    ".json": JSON,
    ".ipynb": NOTEBOOK,
    ".eml": EML,
}
_ZIP_SUFFIXES = {
    ".docx": DOCX,
    ".docm": DOCX,
    ".xlsx": XLSX,
    ".xlsm": XLSX,
    ".xlsb": XLSB,
    ".pptx": PPTX,
    ".pptm": PPTX,
}
_ZIP_SUFFIXES |= {".odt": ODT, ".ods": ODS, ".odp": ODP, ".epub": EPUB}
_OLE_SUFFIXES = {".doc": DOC, ".dot": DOC, ".xls": XLS, ".xlt": XLS, ".ppt": PPT, ".pps": PPT, ".msg": MSG}
# The types of a package's main part: any name will do for it, but most take these.
_ZIP_MARKS = {"word/document.xml": DOCX, "xl/workbook.xml": XLSX, "ppt/presentation.xml": PPTX, "xl/workbook.bin": XLSB}
_TYPES = "[Content_Types].xml"
_MAIN_PARTS = {"wordprocessingml": DOCX, "spreadsheetml": XLSX, "presentationml": PPTX}
_MAIN_TYPE = re.compile(
    r"(wordprocessingml|spreadsheetml|presentationml)\.(?:document|sheet|presentation|template)\.main\+xml"
)
_OLE_STREAMS = {"WordDocument": DOC, "Workbook": XLS, "Book": XLS, "PowerPoint Document": PPT}
_OLE_STREAMS |= {"__properties_version1.0": MSG}

_ZIP, _OLE = (b"PK\x03\x04", b"PK\x05\x06"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\t\x08\x10\x00\x00\x06", XLS),
)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", *_ZIP)
_PROGRAMS = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\x00asm", b"dex\n")
_CONTROL = bytes({*range(32), 127} - {8, 9, 10, 11, 12, 13, 27})
# In both, each place of a text can be taken in one way only: what could be in several doubles the tries with each line.
_HTML_START = re.compile(
    r"\s*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_MAIL_START = re.compile(r"(?:[A-Za-z][A-Za-z-]*:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}\r?\n", re.MULTILINE)
_MAIL_HEADERS = re.compile(
    r"^(?:From|Received|Return-Path|Message-ID|Date|MIME-Version):", re.IGNORECASE | re.MULTILINE
)


def detect(head: bytes, name: str, size: int) -> str | None:
    """Return the media type of a file by its first 64 KiB, or None where it can't be read here.

    `name` is the name it was uploaded under. An empty file is what its name says: reading it tells the
    reason.
    """
    suffix = PurePath(name.lower()).suffix
    if size == 0 or not head:
        return _BY_SUFFIX.get(suffix) or _ZIP_SUFFIXES.get(suffix) or _OLE_SUFFIXES.get(suffix) or TEXT
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.lstrip()[:5] == b"{\\rtf":
        return RTF
    if head.startswith(_ZIP):
        return _zip_by_head(head) or _ZIP_SUFFIXES.get(suffix) or (ZIP if suffix == ".zip" else None)
    if head.startswith(_OLE):
        return _OLE_SUFFIXES.get(suffix) or _ZIP_SUFFIXES.get(suffix)
    known = _by_magic(head, size)
    if known:
        return known
    if head.startswith((*_ARCHIVES, *_PROGRAMS)) or not _is_text(head):
        return None
    return _text_kind(head, suffix)


def detect_file(path: Path, name: str) -> str | None:
    """Return the media type like `detect`, looking into zip and OLE containers as well."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_ZIP):
        return _zip_by_parts(path) or _other_zip(path, head, name)
    if head.startswith(_OLE):
        return _ole_by_streams(path) or detect(head, name, size)
    return detect(head, name, size)


def refusal(head: bytes, name: str) -> tuple[str, str]:
    """Return why a file is refused that `detect` does not know, in a word and in a sentence for its owner."""
    if head.startswith(_PROGRAMS) and not _is_text(head):
        return "program", "Programs can't be read; upload documents."
    if head.startswith(_ARCHIVES):
        return "archive", "Archives other than .zip can't be read; unpack it and upload the documents in it."
    return (
        "unknown_type",
        f"Files of this type can't be read here ({PurePath(name).suffix.lower()[:12] or 'no extension'}).",
    )


def _by_magic(head: bytes, size: int) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == size:
        return "image/bmp"
    return next((mime for magic, mime in _MAGIC if head.startswith(magic)), None)


def _zip_by_head(head: bytes) -> str | None:
    """Read the stored `mimetype` part that OpenDocument and EPUB begin with, or an OOXML part's name."""
    if head[30:38] == b"mimetype":
        size = int.from_bytes(head[18:22], "little")
        extra = int.from_bytes(head[28:30], "little")
        kind = head[38 + extra : 38 + extra + size].decode("ascii", errors="replace").strip()
        return kind if kind in (ODT, ODS, ODP, EPUB) else None
    for part, mime in _ZIP_MARKS.items():
        if part.encode() in head:
            return mime
    return None


class _Bounded(io.BufferedReader):
    """An archive's bytes, of which only so many are given at once: `zipfile` reads all of its directory by one call."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY_BYTES:
            raise zipfile.BadZipFile("The directory is larger than that of any document.")
        return super().read(size)


def _zip_by_parts(path: Path) -> str | None:
    # This runs where uploads are received, before any sandbox.
    try:
        with _Bounded(io.FileIO(path)) as data, zipfile.ZipFile(data) as file:
            names = set(file.namelist())
            if "mimetype" in names and file.getinfo("mimetype").file_size < 200:
                kind = file.read("mimetype").decode("ascii", errors="replace").strip()
                if kind in SUPPORTED:
                    return kind
            plain = {name.replace("\\", "/").lower() for name in names}
            usual = next((mime for part, mime in _ZIP_MARKS.items() if part in plain), None)
            if usual or _TYPES not in names or file.getinfo(_TYPES).file_size > HEAD_BYTES:
                return usual
            main = _MAIN_TYPE.search(file.read(_TYPES).decode("utf-8", errors="replace"))
            return _MAIN_PARTS[main[1]] if main else None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError):
        return None


def _other_zip(path: Path, head: bytes, name: str) -> str | None:
    """An archive is one by its name; without a readable table the head decides, and the reader says it is damaged."""
    if zipfile.is_zipfile(path):
        return ZIP if name.lower().endswith(".zip") else None
    return detect(head, name, path.stat().st_size)


def _ole_by_streams(path: Path) -> str | None:
    import olefile

    try:
        with path.open("rb") as file, olefile.OleFileIO(file) as container:
            for stream, mime in _OLE_STREAMS.items():
                if container.exists(stream):
                    return mime
    except (OSError, ValueError, IndexError, TypeError):  # damaged: the name decides, the reader gives the reason
        return None
    return None


def _is_text(head: bytes) -> bool:
    if head.startswith(_BOMS):
        return True
    nuls = head.count(0)
    if nuls:  # UTF-16 without a mark has every other byte 0 in Western text
        even, odd = head[0::2].count(0), head[1::2].count(0)
        half = max(1, len(head) // 2)
        return (min(even, odd) <= half * 0.02) and max(even, odd) > half * 0.4
    return len(head.translate(None, _CONTROL)) >= len(head) * 0.99


def _text_kind(head: bytes, suffix: str) -> str:
    start = (
        head[:4096]
        .decode("utf-16" if head[:2] in _BOMS[1:] else "latin-1", errors="replace")
        .lstrip("\ufeffï»¿ \r\n\t")
    )
    if _HTML_START.match(start) or (start.startswith("<?xml") and "<html" in start[:1024].lower()):
        return HTML
    if start.startswith("<?xml"):
        return XML
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if _MAIL_START.match(start) and len(_MAIL_HEADERS.findall(start)) >= 2:
        return EML
    return CSV if suffix in (".xls", ".xlsx") else TEXT
