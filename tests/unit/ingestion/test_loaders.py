"""Details that single loaders promise: headers repeated, changes accepted, what is hidden left out."""

import io
import re
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.detect import CSV, DOCX, EML, HTML, MARKDOWN, ODS, ODT, PDF, RTF, SOURCE, TEXT, TSV, XLS, XLSB, XLSX, XML
from ingestion.documents import Extracted, ExtractionFailed, Limits
from ingestion.loaders.builder import Builder
from ingestion.loaders.child import read
from ingestion.loaders.encoding import decode, decode_as
from ingestion.loaders.nested import MOST
from ingestion.loaders.tables import answer
from ingestion.split import split
from tests.files import as_blob, office, pdf, records

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def loaded(folder: Path, name: str, data: bytes, mime: str) -> Extracted:
    path = folder / name
    path.write_bytes(data)
    return read(as_blob(path), name, mime, Limits())


def test_every_passage_of_a_table_carries_the_header(tmp_path: Path) -> None:
    rows = "\n".join(f"person {i},{i % 90},city {i % 7}" for i in range(500))
    found = loaded(tmp_path, "a.csv", f"name,age,city\n{rows}\n".encode(), CSV)
    passages = split(found, 2000, 400)
    assert len(passages) > 20
    assert all(p.text.startswith("name | age | city\nperson") for p in passages)
    assert sum(p.text.count("person") for p in passages) == 500


_PEOPLE = [["name", "age", "city"], *([f"person {i}", str(i % 90), f"city {i % 7}"] for i in range(300))]
_ROWS_ODF = "".join(
    "<table:table-row>" + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
    + "</table:table-row>" for row in _PEOPLE
)  # fmt: skip
_ROWS_RTF = "".join("\\trowd" + "".join(f"\\intbl {cell}\\cell" for cell in row) + "\\row" for row in _PEOPLE)
_ROWS_HTML = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in _PEOPLE)
_ROWS_MARKDOWN = ["| name | age | city |", "|---|:-:|---|", *(f"| {' | '.join(row)} |" for row in _PEOPLE[1:])]
TABLES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a.csv": (CSV, lambda: "\n".join(",".join(row) for row in _PEOPLE).encode()),
    "a.tsv": (TSV, lambda: "\n".join("\t".join(row) for row in _PEOPLE).encode()),
    "a.xlsx": (XLSX, lambda: office.xlsx({"People": _PEOPLE})),
    "a.xls": (XLS, lambda: office.xls("People", _PEOPLE)),
    "a.docx": (DOCX, lambda: office.docx([("Normal", "Before.")], _PEOPLE)),
    "a.odt": (ODT, lambda: office.opendocument("text", f"<table:table>{_ROWS_ODF}</table:table>")),
    "a.ods": (ODS, lambda: office.opendocument("spreadsheet", f"<table:table>{_ROWS_ODF}</table:table>")),
    "a.rtf": (RTF, lambda: f"{{\\rtf1 {_ROWS_RTF}\\pard}}".encode()),
    "a.html": (HTML, lambda: f"<html><body><table>{_ROWS_HTML}</table></body></html>".encode()),
    "a.md": (MARKDOWN, lambda: ("# People\n\n" + "\n".join(_ROWS_MARKDOWN) + "\n\nAfter.\n").encode()),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_every_format_repeat_their_header(tmp_path: Path, name: str) -> None:
    mime, make = TABLES[name]
    passages = split(loaded(tmp_path, name, make(), mime), 2000, 400)
    rows = [passage.text for passage in passages if "person" in passage.text]
    assert len(rows) > 10
    assert all(re.search(r"name \| age \| city.*\n[^a-z]*person", text) for text in rows)
    assert sum(text.count("person") for text in rows) == 300


def test_short_markdown_tables_and_those_in_code_stay_as_they_are(tmp_path: Path) -> None:
    short = "Text\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nmore"
    code = "```\n" + "\n".join(_ROWS_MARKDOWN) + "\n```"
    text = f"{short}\n\n{code}\n"
    found = loaded(tmp_path, "a.md", text.encode(), MARKDOWN)
    assert found.text == text
    tables = [found.text[block.start : block.end] for block in found.blocks if block.kind == "table"]
    assert tables == ["| a | b |\n|---|---|\n| 1 | 2 |"]


def test_wide_markdown_rows_name_each_value(tmp_path: Path) -> None:
    head = "|".join(f"a long column name {i}" for i in range(20))
    rows = "\n".join("|".join(f"value {r} {c}" for c in range(20)) for r in range(5))
    found = loaded(tmp_path, "a.md", f"{head}\n{'|'.join(['---'] * 20)}\n{rows}\nEnd.".encode(), MARKDOWN)
    assert "a long column name 7: value 3 7; a long column name 8: value 3 8" in found.text
    assert found.text.endswith("End.")


def test_wide_rows_name_each_value(tmp_path: Path) -> None:
    columns = [f"a long column name {i}" for i in range(20)]
    rows = [columns, *([f"value {r} {c}" for c in range(20)] for r in range(5))]
    found = loaded(tmp_path, "a.xlsx", office.xlsx({"Wide": rows}), XLSX)
    assert "a long column name 7: value 3 7; a long column name 8: value 3 8" in found.text
    assert [b.label for b in found.blocks if b.kind == "sheet"] == ["Wide"]


def strict_workbook(row: int, column: str) -> bytes:
    """Return a workbook that calamine alone reads, with a value in A1 and one in another cell."""
    far = f'<row r="{row}"><c r="{column}{row}"><v>4711</v></c></row></sheetData>'
    package = office.strict(office.xlsx({"Far": [["near"]]}))
    return office.changed(package, lambda name, text: (name, text.replace("</sheetData>", far)))


def binary_workbook(row: int, column: int) -> bytes:
    """Return the same in Excel's binary format; row and column are counted from zero."""
    head = struct.pack("<IIHHBI", 1, 0, 300, 0, 0, 0) + bytes([5, 16])
    far = struct.pack("<IIHHBI", row, 0, 300, 0, 0, 0) + bytes([5, 16])
    with zipfile.ZipFile(io.BytesIO(records.xlsb("Far", [["near"], [4711.0]]))) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    sheet = parts["xl/worksheets/sheet1.bin"]
    assert head + bytes(4) in sheet
    parts["xl/worksheets/sheet1.bin"] = sheet.replace(head + bytes(4), far + struct.pack("<I", column))
    return office.archive(parts)


FAR: dict[str, tuple[str, Callable[[int, int], bytes]]] = {
    "a.xlsx": (XLSX, lambda row, column: strict_workbook(row + 1, "XFD" if column else "A")),
    "a.xlsb": (XLSB, binary_workbook),
}


@pytest.mark.filterwarnings("ignore:File contains an invalid specification")  # openpyxl of a strict workbook
@pytest.mark.parametrize("name", FAR)
def test_cells_far_apart_are_refused_before_a_grid_is_made_of_them(tmp_path: Path, name: str) -> None:
    mime, make = FAR[name]
    assert "near\n4711" in loaded(tmp_path, name, make(99_999, 0), mime).text
    for row in (1_999, 1_048_575):
        with pytest.raises(ExtractionFailed) as failed:
            loaded(tmp_path, name, make(row, 16_383), mime)
        assert failed.value.code == "too_large"
        with pytest.raises(ExtractionFailed) as failed:
            answer([{"path": str(tmp_path / name), "name": name, "mime": mime}], None, Limits())
        assert failed.value.code == "too_large"


def test_tracked_changes_are_read_as_accepted(tmp_path: Path) -> None:
    body = (
        f"<w:document {_W}><w:body><w:p><w:r><w:t xml:space='preserve'>We pay </w:t></w:r>"
        "<w:del><w:r><w:delText>ten</w:delText></w:r></w:del><w:ins><w:r><w:t>twelve</w:t></w:r></w:ins>"
        "<w:r><w:tab/><w:t>euros</w:t><w:br/><w:t>a day</w:t></w:r></w:p></w:body></w:document>"
    )
    found = loaded(tmp_path, "a.docx", office.archive({"word/document.xml": body}), DOCX)
    assert found.text.strip() == "We pay twelve\teuros\na day"


def test_an_html_mail_is_read_like_a_page(tmp_path: Path) -> None:
    raw = b"From: a@b.c\r\nSubject: S\r\nContent-Type: text/html; charset=koi8-r\r\n\r\n<h1>H</h1><p>" + (
        "Привет, мир".encode("koi8-r") + b"</p><script>no</script>"
    )
    found = loaded(tmp_path, "a.eml", raw, EML)
    assert "Привет, мир" in found.text
    assert "no" not in found.text.split()


def test_a_mail_with_an_unknown_charset_is_read_all_the_same(tmp_path: Path) -> None:
    raw = b"From: a@b.c\r\nSubject: S\r\nContent-Type: text/plain; charset=x-nobody\r\n\r\nplain words\r\n"
    assert "plain words" in loaded(tmp_path, "a.eml", raw, EML).text


def test_namespaces_do_not_show(tmp_path: Path) -> None:
    raw = b'<a:r xmlns:a="urn:x"><a:item a:id="7"><a:name>N</a:name></a:item></a:r>'
    assert loaded(tmp_path, "a.xml", raw, XML).text.strip() == "item.id: 7\nname: N"


def test_pages_say_their_own_charset(tmp_path: Path) -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Слово</p></body></html>'
    assert loaded(tmp_path, "a.html", page.encode("cp1251"), HTML).text.strip() == "Слово"


def test_layout_tables_are_text(tmp_path: Path) -> None:
    page = b"<table><tr><td><p>left</p></td></tr></table><table><tr><td><table></table>x</td></tr></table>"
    found = loaded(tmp_path, "a.html", page, HTML)
    assert found.text.split() == ["left", "x"]
    assert not found.blocks


def test_a_scan_is_not_read_for_a_signature_or_a_picture_that_lies_in_it(tmp_path: Path) -> None:
    files = {"sig.p7s": b"\x30\x82\x01\x02\x00\xff", "pic.png": b"\x89PNG\r\n\x1a\n" + bytes(50)}
    with pytest.raises(ExtractionFailed) as failed:
        loaded(tmp_path, "a.pdf", pdf.with_files(pdf.scan(), files), PDF)
    assert failed.value.code == "no_text"
    found = loaded(tmp_path, "b.pdf", pdf.with_files(pdf.scan(), files | {"a.txt": b"readable words"}), PDF)
    assert "readable words" in found.text


def test_files_in_a_pdf_are_no_reason_to_refuse_its_pages(tmp_path: Path) -> None:
    many = pdf.with_files(pdf.pdf(["The page itself."]), {f"{at}.txt": b"hello" for at in range(MOST + 1)})
    text = loaded(tmp_path, "many.pdf", many, PDF).text
    assert "The page itself." in text
    assert "499.txt\n\nhello" in text
    assert "there are more." in text
    path = tmp_path / "long.pdf"
    path.write_bytes(pdf.with_files(pdf.pdf(["The page itself."]), {f"{at}.txt": b"word " * 150 for at in range(2)}))
    text = read(as_blob(path), path.name, PDF, Limits(output_chars=1000)).text
    assert text.startswith("The page itself.")
    assert "too much text" in text


def test_rtf_tables_and_headings(tmp_path: Path) -> None:
    raw = (
        rb"{\rtf1{\pard\outlinelevel0 Head\par}{\pard plain\par}"
        rb"\trowd{\pard\intbl a\cell}{\pard\intbl b\par c\cell}\row\pard after\par}"
    )
    found = loaded(tmp_path, "a.rtf", raw, RTF)
    assert found.text.strip() == "Head\n\nplain\n\na | b c\n\nafter"
    assert [(b.kind, b.label) for b in found.blocks] == [("heading", "Head"), ("table", "")]


def test_rtf_destinations_that_share_a_group_end_with_it(tmp_path: Path) -> None:
    raw = rb"{\rtf1 before\par{\header all pages \headerf first page\par}behind\par{\footer foot}last\par}"
    found = loaded(tmp_path, "a.rtf", raw, RTF)
    assert found.text.split("\n\n")[:-1] == ["first page", "all pages", "before", "behind", "last", "foot"]


def test_code_headings_reach_the_passages(tmp_path: Path) -> None:
    code = "\n\n".join(f"def function_{i}(a, b):\n" + "    total = a + b\n" * 20 for i in range(4))
    passages = split(loaded(tmp_path, "a.py", code.encode(), SOURCE), 2000, 400)
    assert [p.heading for p in passages] == [f"def function_{i}" for i in range(4)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1251", "koi8-r", "cp866"])
def test_russian_in_any_encoding(encoding: str) -> None:
    text = "Съешь же ещё этих мягких французских булок, да выпей чаю."
    assert decode(text.encode(encoding)).lstrip("\ufeff") == text


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("iso-2022-kr", "iso2022_kr", "한국어 메일입니다"),
        ("hz-gb-2312", "hz", "中文邮件"),
        ("utf-7", "utf-7", "Größe für Türen"),
        ("IBM437", "cp437", "Größe für Türen"),
        ("cp850", "cp850", "Größe für Türen"),
        ("ibm852", "cp852", "Łódź i Kraków"),
        ("mac-roman", "mac-roman", "Größe für Türen"),
        ("gb2312", "gb18030", "价格 100€"),
    ],
)
def test_a_named_encoding_is_that_one(label: str, encoding: str, text: str) -> None:
    assert decode_as(text.encode(encoding), label) == text


@pytest.mark.parametrize("label", ["punycode", "unicode_escape", "undefined", "rot13", "hex", "x\0y", "cp850"])
def test_a_name_of_no_fitting_encoding_says_nothing(label: str) -> None:
    assert decode_as("Ещё \\u0041 wörds".encode(), label) == "Ещё \\u0041 wörds"
    assert decode_as(b"plain words", label) == "plain words"


@pytest.mark.parametrize("end", ["", " "])  # of an even and an odd number of bytes
def test_what_says_in_bytes_that_it_is_utf16_is_utf8(tmp_path: Path, end: str) -> None:
    raw = f'<?xml version="1.0" encoding="utf-16"?><a><b>Grüße, hello world{end}</b></a>'
    assert loaded(tmp_path, "a.xml", raw.encode(), XML).text.strip() == "b: Grüße, hello world"
    assert "hello" in loaded(tmp_path, "a.xml", raw.replace("üß", "us").encode(), XML).text
    page = f"<html><head><meta charset=unicode></head><body><p>hello world{end}</p></body></html>"
    assert loaded(tmp_path, "a.html", page.encode(), HTML).text.strip() == "hello world"
    assert "Grüße" in loaded(tmp_path, "a.xml", raw.encode("utf-16"), XML).text


def test_a_damaged_byte_does_not_change_the_encoding(tmp_path: Path) -> None:
    text = "Обычный русский текст в кодировке, которую все ждут. " * 20
    data = bytearray(text.encode())
    data[501] = 0xFF
    found = loaded(tmp_path, "a.txt", bytes(data), TEXT)
    assert found.text.count("Обычный русский текст") >= 19


def test_thousands_of_columns_that_no_row_fills_are_named_soon() -> None:
    columns = [f"column {at}" for at in range(16_384)]
    builder = Builder(Limits())
    began = time.process_time()
    builder.table([columns, *([f"row {at}", "", "third"] for at in range(5_000))])
    assert time.process_time() - began < 2  # each column against each row took four
    text = builder.build(CSV).text
    assert text.startswith("column 1 | column 3 | column 4 |")
    assert "column 0: row 4999; column 2: third" in text


def test_the_builder_stops_at_its_limit() -> None:
    builder = Builder(Limits(output_chars=100))
    builder.add("words " * 15)
    with pytest.raises(ExtractionFailed) as failed:
        builder.add("words " * 15)
    assert failed.value.code == "too_large"
