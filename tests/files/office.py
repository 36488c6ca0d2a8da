"""Makes office files, books and e-mails: by the usual libraries where they write, by hand elsewhere."""

import email.message
import email.policy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tests.files.compound import Tree, compound


def archive(parts: Mapping[str, str | bytes], *, stored: str | None = None) -> bytes:
    """Return a zip file; the part `stored` comes first and uncompressed, as OpenDocument and EPUB want it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        if stored is not None:
            file.writestr(zipfile.ZipInfo("mimetype"), stored)
        for name, data in parts.items():
            file.writestr(name, data)
    return out.getvalue()


def docx(paragraphs: Sequence[tuple[str, str]], table: Sequence[Sequence[str]] = ()) -> bytes:
    """Return a Word file of (style, text) paragraphs, then a table."""
    from docx import Document

    document = Document()
    for style, text in paragraphs:
        document.add_paragraph(text, style=style)
    if table:
        grid = document.add_table(rows=0, cols=len(table[0]))
        for row in table:
            cells = grid.add_row().cells
            for cell, text in zip(cells, row, strict=True):
                cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """Return a workbook."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def sales() -> bytes:
    """Return a workbook as people make them: a merged title, number formats, a comment, a hidden sheet."""
    from datetime import date

    from openpyxl import Workbook
    from openpyxl.comments import Comment

    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Sales"
    sheet.merge_cells("A1:D1")
    sheet["A1"] = "Quarterly sales 2025"
    sheet.append(["Date", "Region", "Amount", "Share"])
    sheet.append([date(2025, 3, 31), "North", 1234.5, 0.25])
    sheet.append([date(2025, 6, 30), "South", -987, 0.2])
    for row in (3, 4):
        sheet.cell(row, 1).number_format = "yyyy-mm-dd"
        sheet.cell(row, 3).number_format = '#,##0.00 "EUR"'
        sheet.cell(row, 4).number_format = "0%"
    sheet["B4"].comment = Comment("first quarter with the new team", "Ann")
    hidden = book.create_sheet("Rates")
    hidden.append(["Internal rate", 1.0842])
    hidden.sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def pptx(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """Return a presentation of (title, body, notes) slides."""
    from pptx import Presentation

    deck = Presentation()
    for title, body, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


_ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{kind}:1.0"'
    for name, kind in (
        *((kind, kind) for kind in ("office", "text", "table", "style", "chart")),
        ("draw", "drawing"),
    )
)
_ODF += ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'


def contract() -> bytes:
    """Return a Word file with a header, a footer, a comment, a tracked change and a moved sentence."""
    from docx import Document
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    document = Document()
    section = document.sections[0]
    section.header.paragraphs[0].text = "Walnut Trading, confidential"
    section.footer.paragraphs[0].text = "Contract 2025-117"
    document.add_heading("Delivery", 1)
    paragraph = document.add_paragraph("The price is ")
    who = 'w:id="7" w:author="Ann" w:date="2025-01-01T00:00:00Z"'
    for change in (
        f"<w:del {nsdecls('w')} {who}><w:r><w:delText>four hundred</w:delText></w:r></w:del>",
        f"<w:ins {nsdecls('w')} {who}><w:r><w:t>five hundred euros</w:t></w:r></w:ins>",
        f"<w:moveFrom {nsdecls('w')} {who}><w:r><w:t>moved away</w:t></w:r></w:moveFrom>",
    ):
        paragraph._p.append(parse_xml(change))
    document.add_comment(paragraph.add_run(", to be paid in March."), text="Is March too early?", author="Bob")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def deck_with_chart() -> bytes:
    """Return a presentation whose slide shows a chart."""
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Sales by region"
    data: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["North", "South"]
    data.add_series("2024", (19.2, 21.4))
    data.add_series("2025", (22.3, 28.6))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(2), Inches(6), Inches(4), data)
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def notebook() -> bytes:
    """Return a Jupyter notebook, as its server writes it."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Walnut harvest\n", "\n", "Tons by year."]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "source": ["harvest = load('tons.csv')\n", "harvest.mean()"],
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["reading 12 rows\n"]},
                {
                    "output_type": "execute_result",
                    "execution_count": 1,
                    "metadata": {},
                    "data": {"text/plain": ["48.25"], "text/html": ["<b>48.25</b>"]},
                },
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo" * 200}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'rain'", "traceback": ["\x1b[31mKeyError"]},
            ],
        },
    ]
    book = {"cells": cells, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1).encode()


def opendocument(kind: str, body: str, *, styles: str = "", more: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return an OpenDocument file; `kind` is text, spreadsheet or presentation.

    `styles` are the document's own, `more` other parts by their names, without their root.
    """
    content = (
        f"<office:automatic-styles>{styles}</office:automatic-styles><office:body><office:{kind}>{body}"
        f"</office:{kind}></office:body>"
    )
    parts = {
        name: f'<?xml version="1.0"?><office:document {_ODF}>{part}</office:document>'
        for name, part in {"content.xml": content, **more}.items()
    }
    parts["META-INF/manifest.xml"] = '<?xml version="1.0"?><manifest/>'
    return archive(parts, stored=f"application/vnd.oasis.opendocument.{kind}")


def epub(chapters: Sequence[tuple[str, str]]) -> bytes:
    """Return a book of (title, paragraph) chapters."""
    items = "".join(
        f'<item id="c{i}" href="text/c{i}.xhtml" media-type="application/xhtml+xml"/>' for i in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    parts = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        "OPS/book.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for index, (title, text) in enumerate(chapters):
        page = f'<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{title}</h1><p>{text}</p></body></html>'
        parts[f"OPS/text/c{index}.xhtml"] = page
    return archive(parts, stored="application/epub+zip")


def doc(text: str, *, encrypted: bool = False, beside: Sequence[str] = ()) -> bytes:
    """Return a Word 97 file with one piece of UTF-16 text ([MS-DOC] 2.5.1 FibBase, 2.9.177 Pcd).

    `beside` are footnotes, headers and footers, macros (none), comments, endnotes and text boxes.
    """
    stories = [story.replace("\n", "\r") for story in (text, *beside)]
    data = "".join(stories).encode("utf-16-le")
    first = 2048
    main = bytearray(first)
    struct.pack_into("<HH", main, 0, 0xA5EC, 0x00C1)
    struct.pack_into("<H", main, 0x0A, 0x0200 | (0x0100 if encrypted else 0))
    struct.pack_into(f"<{len(stories)}i", main, 0x4C, *map(len, stories))
    plc = struct.pack("<IIHIH", 0, len(data) // 2, 0, first, 0)
    clx = b"\x02" + struct.pack("<I", len(plc)) + plc
    struct.pack_into("<II", main, 0x01A2, 0, len(clx))
    return compound({"WordDocument": bytes(main) + data, "1Table": clx})


def xls(sheet: str, rows: Sequence[Sequence[str | float]]) -> bytes:
    """Return an Excel 97 workbook with one sheet ([MS-XLS]: BOF, BoundSheet8, Label, Number, EOF)."""

    def record(kind: int, data: bytes) -> bytes:
        return struct.pack("<HH", kind, len(data)) + data

    def begin(kind: int) -> bytes:
        return record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0x0DBB, 0x07CC, 0, 6))

    cells = b""
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if isinstance(value, str):
                encoded = value.encode("utf-16-le")
                cells += record(0x0204, struct.pack("<HHHHB", r, c, 0, len(value), 1) + encoded)
            else:
                cells += record(0x0203, struct.pack("<HHHd", r, c, 0, value))
    body = begin(0x0010) + cells + record(0x000A, b"")
    name = struct.pack("<BB", len(sheet), 0) + sheet.encode("ascii")
    head = begin(0x0005) + record(0x0042, struct.pack("<H", 1200))
    offset = len(head) + 4 + 6 + len(name) + 4
    bound = record(0x0085, struct.pack("<IBB", offset, 0, 0) + name)
    return compound({"Workbook": head + bound + record(0x000A, b"") + body})


def eml(
    subject: str,
    body: str,
    *,
    html: str | None = None,
    attachment: str | None = None,
    attached: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """Return an e-mail; `attached` are files by their names, those that end in .eml as forwarded messages."""
    message = email.message.EmailMessage()
    message["From"], message["To"] = "Ann Example <ann@example.com>", "bob@example.com"
    message["Subject"], message["Date"] = subject, "Mon, 02 Feb 2026 10:00:00 +0000"
    message.set_content(body)
    if html is not None:
        message.add_alternative(html, subtype="html")
    if attachment is not None:
        message.add_attachment(b"1,2", maintype="text", subtype="csv", filename=attachment)
    for name, content in attached.items():
        if name.endswith(".eml"):
            message.add_attachment(email.message_from_bytes(content, policy=email.policy.default))
        else:
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def msg(subject: str, body: str, *, recipient: tuple[str, str] | None = None) -> bytes:
    """Return an Outlook message with its subject and body, and a recipient's name and address ([MS-OXMSG] 2.4)."""
    values = {0x001A: "IPM.Note", 0x0037: subject, 0x1000: body}
    people = int(recipient is not None)
    streams = _properties(values, struct.pack("<8sIIII8s", b"\0" * 8, people, 0, people, 0, b"\0" * 8))
    if recipient is not None:
        streams["__recip_version1.0_#00000000"] = _properties(
            dict(zip((0x3001, 0x39FE), recipient, strict=True)), bytes(8)
        )
    streams["__nameid_version1.0"] = {"__substg1.0_00020102": b"", "__substg1.0_00030102": b""}
    return compound(streams)


def _properties(values: Mapping[int, str], head: bytes) -> Tree:
    streams: Tree = {}
    entries = b""
    for tag, text in values.items():
        data = text.encode("utf-16-le")
        streams[f"__substg1.0_{tag:04X}001F"] = data
        entries += struct.pack("<HHIII", 0x001F, tag, 6, len(data) + 2, 0)
    streams["__properties_version1.0"] = head + entries
    return streams


def changed(package: bytes, change: Callable[[str, str], tuple[str, str]]) -> bytes:
    """Return an Office file whose XML parts (name, text) are changed, as other programs would have written them."""
    with zipfile.ZipFile(io.BytesIO(package)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    written: dict[str, str | bytes] = {}
    for name, data in parts.items():
        if name.endswith((".xml", ".rels")):
            renamed, text = change(name, data.decode())
            written[renamed] = text
        else:
            written[name] = data
    return archive(written)


def strict(package: bytes) -> bytes:
    """Return a package in the strict variant of OOXML, which Excel offers as "Strict Open XML"."""
    office, purl = "http://schemas.openxmlformats.org", "http://purl.oclc.org/ooxml"
    spaces = {
        f"{office}/spreadsheetml/2006/main": f"{purl}/spreadsheetml/main",
        f"{office}/drawingml/2006/main": f"{purl}/drawingml/main",
        f"{office}/presentationml/2006/main": f"{purl}/presentationml/main",
        f"{office}/officeDocument/2006/relationships": f"{purl}/officeDocument/relationships",
    }

    def change(name: str, text: str) -> tuple[str, str]:
        for usual, other in spaces.items():
            text = text.replace(usual, other)
        return name, text

    return changed(package, change)


def web_contract() -> bytes:
    """Return a contract as Word on the web names its parts: numbered clauses, a table in a table, a row in a form's
    control, a text box.
    """
    from docx import Document
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    w = nsdecls("w")
    document = Document()
    numbering = document.part.numbering_part.element
    levels = "".join(
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for at, (kind, text) in enumerate((("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)")))
    )
    numbering.insert(0, parse_xml(f'<w:abstractNum {w} w:abstractNumId="77">{levels}</w:abstractNum>'))
    numbering.append(parse_xml(f'<w:num {w} w:numId="77"><w:abstractNumId w:val="77"/></w:num>'))
    for style, level, text in (
        ("Heading 1", 0, "Delivery"),
        ("Normal", 1, "The goods are sent in May."),
        ("Heading 1", 0, "Termination"),
        ("Normal", 1, "Each side may end this contract."),
        ("Normal", 1, "It ends by itself"),
        ("Normal", 2, "when a side is insolvent,"),
        ("Normal", 2, "when the port is closed."),
    ):
        paragraph = document.add_paragraph(text, style=style)
        own = f'<w:numPr {w}><w:ilvl w:val="{level}"/><w:numId w:val="77"/></w:numPr>'
        paragraph._p.get_or_add_pPr().append(parse_xml(own))
    grid = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        (cell for row in grid.rows for cell in row.cells), ("Item", "Price", "Bolt", ""), strict=True
    ):
        cell.text = text
    inner = grid.cell(1, 1).add_table(rows=1, cols=2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "41", "euros"
    cells = "".join(f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>" for text in ("Nut", "7"))
    grid._tbl.append(parse_xml(f"<w:sdt {w}><w:sdtContent><w:tr>{cells}</w:tr></w:sdtContent></w:sdt>"))
    box = "<w:txbxContent><w:p><w:r><w:t>Drawn beside the text</w:t></w:r></w:p></w:txbxContent>"
    shape = f'<w:r {w} xmlns:v="urn:schemas-microsoft-com:vml"><w:pict><v:textbox>{box}</v:textbox></w:pict></w:r>'
    document.add_paragraph("Signed in Bergen")._p.append(parse_xml(shape))
    out = io.BytesIO()
    document.save(out)
    return changed(
        out.getvalue(),
        lambda name, text: (
            (name.replace("word/document", "word/document2"), text.replace("/document.xml", "/document2.xml"))
            if not name.startswith("_rels")
            else (name, text.replace("word/document.xml", "word/document2.xml"))
        ),
    )


def commented_deck() -> bytes:
    """Return a presentation, in the strict variant, with a comment on its slide."""
    space = "http://purl.oclc.org/ooxml/presentationml/main"
    comment = (
        f'<p:cmLst xmlns:p="{space}"><p:cm authorId="0"><p:text>Is this the newest figure?</p:text></p:cm></p:cmLst>'
    )
    kind = "http://purl.oclc.org/ooxml/officeDocument/relationships/comments"
    link = f'<Relationship Id="rId77" Type="{kind}" Target="../comments/comment1.xml"/></Relationships>'

    def change(name: str, text: str) -> tuple[str, str]:
        return name, text.replace("</Relationships>", link) if name.endswith("slide1.xml.rels") else text

    deck = changed(strict(pptx([("Harvest", "forty tons", "")])), change)
    out = io.BytesIO(deck)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("ppt/comments/comment1.xml", comment)
    return out.getvalue()


def drawn_sheet() -> bytes:
    """Return a workbook with a chart, a text box, and a style without its name, which openpyxl refuses."""
    from openpyxl import Workbook
    from openpyxl.chart import BarChart, Reference

    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Tons"
    for row in (("Year", "Tons"), (2024, 41), (2025, 48)):
        sheet.append(row)
    chart = BarChart()
    chart.title = "Walnuts by year"
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    sheet.add_chart(chart, "E2")
    out = io.BytesIO()
    book.save(out)
    a = "http://schemas.openxmlformats.org/drawingml/2006/main"
    words = f'<a:p xmlns:a="{a}"><a:r><a:t>Figures of the harbour office</a:t></a:r></a:p>'
    box = f"<absoluteAnchor><sp><txBody>{words}</txBody></sp></absoluteAnchor></wsDr>"

    def change(name: str, text: str) -> tuple[str, str]:
        if name.endswith("drawing1.xml"):
            return name, text.replace("</wsDr>", box)
        return name, text.replace('<cellStyle name="Normal"', "<cellStyle") if name.endswith("styles.xml") else text

    return changed(out.getvalue(), change)
