"""Every format once, with the text, pages and marks that reading it has to give, and every reason for a failure."""

import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass

from ingestion.detect import (
    CSV,
    DOC,
    DOCX,
    EML,
    EPUB,
    HTML,
    JSON,
    JSONL,
    MARKDOWN,
    MSG,
    NOTEBOOK,
    ODP,
    ODS,
    ODT,
    PDF,
    PPT,
    PPTX,
    RTF,
    SOURCE,
    TEXT,
    TSV,
    XLS,
    XLSB,
    XLSX,
    XML,
    ZIP,
)  # fmt: skip
from ingestion.documents import FailureCode
from tests.files import broken, office
from tests.files.compound import compound
from tests.files.pdf import form, pdf, scan, with_files
from tests.files.pictures import saved
from tests.files.records import ppt, xlsb


@dataclass(frozen=True)
class Sample:
    """A file and what is expected: parts of its text in order, pages, labels of marks by kind, or a reason."""

    name: str
    make: Callable[[], bytes]
    mime: str | None
    text: tuple[str, ...] = ()
    pages: int | None = None
    marks: tuple[tuple[str, str], ...] = ()
    failure: FailureCode | None = None

    def __str__(self) -> str:
        return self.name


_RTF = (
    rb"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0\fcharset204 Arial;}}{\*\generator hidden;}"
    rb"\f0 \'cf\'f0\'e8\'e2\'e5\'f2 \u8212? world\par second {\b bold} \u-10179?\u-8704? line\par}"
)
_HTML = """<!doctype html><html><head><meta charset="utf-8"><title>Title</title><script>hidden()</script></head><body>
<h1>Main</h1><p>Hello <b>bold</b> text<br>next line</p><p hidden>invisible</p><ul><li>one</li><li>two</li></ul>
<table><tr><th>name</th><th>age</th></tr><tr><td>Ann</td><td>5</td></tr></table><pre>x = 1\n  y = 2</pre>
</body></html>"""
_XML = (
    b'<?xml version="1.0"?><root a="1"><item id="2"><name>Foo</name><d>text <b>bold</b> tail</d></item>'
    b"<item><name>Bar</name></item></root>"
)
_PYTHON = b"import os\n\nclass A:\n    def f(self):\n        pass\n\n\ndef g():\n    return 1\n"
_MARKDOWN = "# Title\n\ntext\n\n```\n# not a heading\n```\n\nSub\n---\n\nmore, \u0451\u0436\n".encode()
_ODT = (
    '<text:h text:outline-level="2">Head</text:h><text:p>One<text:s text:c="3"/>two</text:p>'
    "<text:list><text:list-item><text:p>entry</text:p></text:list-item></text:list>"
)
_ODS = (
    '<table:table table:name="Plan"><table:table-row><table:table-cell><text:p>city</text:p></table:table-cell>'
    "<table:table-cell><text:p>size</text:p></table:table-cell></table:table-row><table:table-row>"
    "<table:table-cell><text:p>Oslo</text:p></table:table-cell><table:table-cell><text:p>7</text:p></table:table-cell>"
    '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
    '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row></table:table>'
)
_WORD_ODT = (
    '<text:list><text:list-item><text:h text:outline-level="1">Duties</text:h></text:list-item>'
    "<text:list-header><text:p>Between the items</text:p></text:list-header></text:list>"
    "<text:p>The goods are sent in May."
    "<office:annotation><dc:creator>Bob</dc:creator><text:p>Not in June?</text:p></office:annotation></text:p>"
    '<text:p><draw:frame><draw:object xlink:href="./Object 1"/></draw:frame></text:p>'
)
_ODT_PARTS = {
    "styles.xml": "<office:master-styles><style:master-page><style:header><text:p>Walnut Trading</text:p>"
    "</style:header><style:footer><text:p>Contract 2025-118</text:p></style:footer></style:master-page>"
    "</office:master-styles>",
    "Object 1/content.xml": "<chart:chart><chart:title><text:p>Tons by year</text:p></chart:title><table:table>"
    "<table:table-rows><table:table-row><table:table-cell><text:p>2024</text:p></table:table-cell><table:table-cell>"
    "<text:p>41</text:p></table:table-cell></table:table-row></table:table-rows></table:table></chart:chart>",
}
_HIDDEN_ODS = (
    '<table:table table:name="Rates" table:style-name="ta1"><table:table-row><table:table-cell><text:p>1.0842</text:p>'
    "<office:annotation><text:p>from the bank</text:p></office:annotation></table:table-cell></table:table-row>"
    "</table:table>"
)
_HIDDEN_STYLE = '<style:style style:name="ta1"><style:table-properties table:display="false"/></style:style>'
_WORD_RTF = (
    rb"{\rtf1\ansi{\header\pard Walnut Trading\par}{\footerf Contract 2025-119\par}"
    rb"\pard The price is five hun\-dred {\*\atnid B}{\*\atnauthor Bob}{\*\annotation\pard Too much?\par}euros.\par"
    rb"{\shp{\*\shpinst{\sp{\sn hidden}}{\shptxt\pard Drawn beside the text\par}}}{\pict\wmetafile8\bin9 }}}{{{\par }"
    rb"{\object{\*\objdata hidden}{\result\pard What the object shows\par}}\pard Micro\_switch\par}"
)
_CHINESE = "图书馆的朱镕基先生"  # the third character from the end is in GBK, not in the GB2312 that pages declare
_MAIL = "\r\n".join(
    (
        "From: ann@example.com", "Subject: Minutes", "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="a"', "",
        "--a", 'Content-Type: multipart/alternative; boundary="b"', "",
        "--b", "Content-Type: text/plain", "", " ", "--b", "Content-Type: text/html; charset=gb2312",
        "Content-Transfer-Encoding: base64", "", base64.b64encode(f"<p>{_CHINESE}</p>".encode("gbk")).decode(), "--b--",
        "--a", "Content-Type: text/plain", "", "The text behind the picture.",
        "--a", 'Content-Type: multipart/mixed; boundary="c"', "",
        "--c", "Content-Type: text/plain; name=plan.txt", "Content-Disposition: attachment", "",
        "Plant walnuts in May.",
        "--c--", "--a", "Content-Type: text/plain", "", "Sent by the list of the harbour office.", "--a--", "",
    )
)  # fmt: skip
_FORMULA = (
    "<!doctype html><title>Sums</title><section><p>The mean is <math><mi>m</mi><mo>=</mo><mn>48</mn></math>.</section>"
)
_RUSSIAN = "Это русский текст, который хранится в старой кодировке и должен читаться без вопросов."

GOOD = (
    Sample(
        "two-pages.pdf",
        lambda: pdf(["Page one.\nSecond line (x).", "Chapter Two\nMore here."], outline=[("Chapter Two", 1)]),
        PDF,
        ("Page one.\nSecond line (x).", "Chapter Two\nMore here."),
        2,
        (("page", "1"), ("page", "2"), ("heading", "Chapter Two")),
    ),
    Sample(
        "report.docx",
        lambda: office.docx(
            [
                ("Heading 1", "Intro"),
                ("Normal", "Some text."),
                ("List Bullet", "item"),
                ("Heading 2", "Под"),
                ("Normal", "Мир"),
            ],
            [["Name", "Age"], ["Ann", "5"]],
        ),
        DOCX,
        ("Intro", "Some text.", "- item", "Под", "Мир", "Name | Age\nAnn | 5"),
        None,
        (("heading", "Intro"), ("heading", "Под"), ("table", "")),
    ),
    Sample(
        "book.xlsx",
        lambda: office.xlsx({"People": [["Name", "Age"], ["Ann", 5], ["Bob", 6.5]], "Empty": [], "More": [["x"]]}),
        XLSX,
        ("People", "Name | Age\nAnn | 5\nBob | 6.5", "More", "x"),
        None,
        (("sheet", "People"), ("sheet", "More")),
    ),
    Sample(
        "sales.xlsx",
        office.sales,
        XLSX,
        (
            "Sales\n\nQuarterly sales 2025\nDate | Region | Amount | Share",
            "2025-03-31 | North | 1,234.50 EUR | 25%",
            "2025-06-30 | South | -987.00 EUR | 20%",
            "B4: first quarter with the new team",
            "Rates (hidden sheet)",
            "Internal rate | 1.0842",
        ),
        None,
        (("sheet", "Sales"), ("sheet", "Rates (hidden sheet)")),
    ),
    Sample(
        "deck.pptx",
        lambda: office.pptx([("First", "body text", "a note"), ("Second", "more", "")]),
        PPTX,
        ("First", "body text", "a note", "Second", "more"),
        2,
        (("slide", "1"), ("slide", "2"), ("heading", "First"), ("heading", "Second")),
    ),
    Sample(
        "a.odt",
        lambda: office.opendocument("text", _ODT),
        ODT,
        ("Head", "One   two", "- entry"),
        None,
        (("heading", "Head"),),
    ),
    Sample(
        "a.ods",
        lambda: office.opendocument("spreadsheet", _ODS),
        ODS,
        ("city | size\nOslo | 7",),
        None,
        (("sheet", "Plan"),),
    ),
    Sample(
        "a.odp",
        lambda: office.opendocument(
            "presentation", "<draw:page><text:p>one</text:p></draw:page><draw:page><text:p>two</text:p></draw:page>"
        ),
        ODP,
        ("one", "two"),
        2,
        (("slide", "1"), ("slide", "2")),
    ),
    Sample(
        "novel.epub",
        lambda: office.epub([("Chapter 1", "It was dark."), ("Глава 2", "Стало светло.")]),
        EPUB,
        ("Chapter 1", "It was dark.", "Глава 2", "Стало светло."),
        None,
        (("heading", "Chapter 1"), ("heading", "Глава 2")),
    ),
    Sample(
        "old.doc", lambda: office.doc("First paragraph.\nВторой абзац.\n"), DOC, ("First paragraph.\n\nВторой абзац.",)
    ),
    Sample(
        "old.xls",
        lambda: office.xls("Sheet A", [["Name", "Age"], ["Ann", 5.0], ["Борис", 6.5]]),
        XLS,
        ("Name | Age\nAnn | 5\nБорис | 6.5",),
        None,
        (("sheet", "Sheet A"),),
    ),
    Sample(
        "mail.eml",
        lambda: office.eml("Отчёт", "Dear Bob,\nsee this.", html="<p>html</p>", attachment="data.csv"),
        EML,
        ("Отчёт", "From: Ann Example <ann@example.com>", "Dear Bob,\nsee this.", "Attachments: data.csv"),
        None,
        (("heading", "Отчёт"),),
    ),
    Sample("mail.msg", lambda: office.msg("Subject line", "The body of it."), MSG, ("Subject line", "The body of it.")),
    Sample("note.rtf", lambda: _RTF, RTF, ("Привет \u2014 world", "second bold \U0001f600 line")),
    Sample(
        "page.html",
        lambda: _HTML.encode(),
        HTML,
        ("Title", "Main", "Hello bold text\nnext line", "- one\n- two", "name | age\nAnn | 5", "x = 1\n  y = 2"),
        None,
        (("heading", "Title"), ("heading", "Main"), ("table", "")),
    ),
    Sample("data.xml", lambda: _XML, XML, ("root.a: 1", "item.id: 2\nname: Foo\nd: text bold tail", "name: Bar")),
    Sample(
        "rows.csv",
        lambda: "Имя;Возраст\nАнна;5\nБорис;6\n".encode("cp1251"),
        CSV,
        ("Имя | Возраст\nАнна | 5\nБорис | 6",),
    ),
    Sample("rows.tsv", lambda: b"a\tb\n1\t2\n", TSV, ("a | b\n1 | 2",)),
    Sample(
        "a.json", lambda: b'{"a": {"b": [1, 2, {"c": "d"}]}, "e": null, "f": [1, 2]}', JSON, ("a.b[2].c: d", "f: 1, 2")
    ),
    Sample("a.jsonl", lambda: b'{"a": 1}\n{"a": 2}\n', JSONL, ("a: 1", "a: 2")),
    Sample(
        "code.py", lambda: _PYTHON, SOURCE, (_PYTHON.decode(),), None, (("heading", "class A"), ("heading", "def g"))
    ),
    Sample(
        "read.md", lambda: _MARKDOWN, MARKDOWN, (_MARKDOWN.decode(),), None, (("heading", "Title"), ("heading", "Sub"))
    ),
    Sample("utf8.txt", lambda: "\ufeffcafe\u0301 \u2014 ёж\r\nline".encode(), TEXT, ("caf\xe9 \u2014 ёж\nline",)),
    Sample("koi8.txt", lambda: _RUSSIAN.encode("koi8-r"), TEXT, (_RUSSIAN,)),
    Sample("cp1251.txt", lambda: _RUSSIAN.encode("cp1251"), TEXT, (_RUSSIAN,)),
    Sample("cp866.txt", lambda: _RUSSIAN.encode("cp866"), TEXT, (_RUSSIAN,)),
    Sample("utf16.txt", lambda: _RUSSIAN.encode("utf-16"), TEXT, (_RUSSIAN,)),
    Sample("utf16be.txt", lambda: "Hello plain world".encode("utf-16-be"), TEXT, ("Hello plain world",)),
    Sample(
        "latin1.txt",
        lambda: "Les \xe9l\xe8ves \xe9taient tr\xe8s fatigu\xe9s apr\xe8s la f\xeate.".encode("latin-1"),
        TEXT,
        ("Les \xe9l\xe8ves",),
    ),
    Sample("renamed.txt", lambda: pdf(["A PDF under another name."]), PDF, ("A PDF under another name.",), 1),
    Sample(
        "renamed.xls", lambda: b"<html><body><p>A page that says it is a workbook.</p></body></html>", HTML, ("A page",)
    ),
    Sample(
        "columns.pdf",
        lambda: form(
            [(60, 740, "The history of the harbour and of the railway in one page of two columns")]
            + [(60, 700 - 14 * n, f"Left line {n} tells of the harbour and its ships") for n in range(6)]
            + [(330, 700 - 14 * n, f"Right line {n} tells of the railway and trains") for n in range(6)]
        ),
        PDF,
        ("in one page", "Left line 0", "Left line 5", "Right line 0", "Right line 5"),
        1,
    ),
    Sample(
        "table.pdf",
        lambda: form(
            [
                (x, 700 - 14 * n, text)
                for n in range(6)
                for x, text in ((60, f"Item {n}"), (300, f"{n}.50"), (420, f"{n * 19} EUR"))
            ]
        ),
        PDF,
        ("Item 1", "1.50", "19 EUR", "Item 2", "2.50", "38 EUR"),
        1,
    ),
    Sample(
        "form.pdf",
        lambda: form(
            [
                (60, 700, "Name of the firm:"),
                (60, 670, "Pays by"),
                (160, 670, "invoice"),
                (240, 670, "card"),
                (60, 634, "Town:"),
                (60, 604, "Town:"),
            ],
            [
                ("firm", "Walnut Trading", (180, 690, 380, 715)),
                ("invoice", "/Yes", (145, 666, 157, 680)),
                ("card", "/Off", (225, 666, 237, 680)),
                ("clerk", "Ann Example", (60, 40, 200, 60)),
                ("first", "Lyon", (140, 630, 300, 645)),
                ("second", "Turin", (140, 600, 300, 615)),
            ],
            [("Bob", "Please sign until Friday")],
        ),
        PDF,
        (
            "Name of the firm: Walnut Trading",
            "[x] invoice",
            "Town: Lyon",
            "Town: Turin",
            "clerk: Ann Example",
            "Bob: Please sign until Friday",
        ),
        1,
    ),
    Sample(
        "contract.docx",
        office.contract,
        DOCX,
        (
            "Walnut Trading, confidential",
            "The price is five hundred euros, to be paid in March.",
            "Comments:\nBob: Is March too early?",
            "Contract 2025-117",
        ),
        None,
        (("heading", "Delivery"),),
    ),
    Sample(
        "chart.pptx",
        office.deck_with_chart,
        PPTX,
        ("Sales by region", "| 2024 | 2025", "North | 19.2 | 22.3", "South | 21.4 | 28.6"),
        1,
    ),
    Sample(
        "harvest.ipynb",
        office.notebook,
        NOTEBOOK,
        ("Tons by year.", "harvest.mean()", "reading 12 rows", "48.25", "KeyError: 'rain'"),
        None,
        (("heading", "Walnut harvest"),),
    ),
    Sample(
        "with files.eml",
        lambda: office.eml(
            "Offer",
            "See the attachments.",
            attached={
                "contract.docx": office.contract(),
                "half.pdf": b"%PDF-1.7\n%garbage\n1 0 obj <<",
                "before.eml": office.eml("Earlier", "We asked for forty bolts."),
            },
        ),
        EML,
        (
            "See the attachments.",
            "Attachments: contract.docx, half.pdf, Earlier.eml",
            "The price is five hundred euros",
            "half.pdf: not read. This PDF is damaged",
            "We asked for forty bolts.",
        ),
        None,
        (("heading", "contract.docx"), ("heading", "Earlier.eml")),
    ),
    Sample(
        "docs.zip",
        lambda: office.archive(
            {
                "2025/contract.docx": office.contract(),
                "2025/notes/plan.md": "# Plan\n\nPlant walnut trees in autumn.",
                "inner.zip": office.archive({"deep.txt": "A file in an archive in an archive."}),
                "__MACOSX/._plan.md": "rubbish of a system",
                "program.exe": b"MZ" + bytes(100),
            }
        ),
        ZIP,
        (
            "The price is five hundred euros",
            "Plant walnut trees in autumn.",
            "A file in an archive in an archive.",
            "program.exe: not read",
        ),
        None,
        (("heading", "2025/contract.docx"), ("heading", "Plan"), ("heading", "deep.txt")),
    ),
    Sample(
        "invoice.png",
        lambda: saved([["Invoice 2025-117", "Total due: 41 500 EUR"]], "PNG"),
        "image/png",
        ("Invoice 2025-117", "Total due: 41 500 EUR"),
        1,
        (("page", "1"), ("recognised", "")),
    ),
    Sample(
        "scanned.pdf",
        lambda: saved([["The first page of a scan"], ["Payment within thirty days"]], "PDF"),
        PDF,
        ("The first page of a scan", "Payment within thirty days"),
        2,
        (("page", "2"), ("recognised", "")),
    ),
    Sample(
        "fax.tiff",
        lambda: saved([["Order of forty walnut trees"], ["To be delivered in May"]], "TIFF"),
        "image/tiff",
        ("Order of forty walnut trees", "To be delivered in May"),
        2,
        (("page", "2"),),
    ),
    Sample("tricky.docx", broken.path_trick, DOCX, ("harmless",)),
    Sample(
        "deck.ppt",
        lambda: ppt(
            [("Отчёт", "Forty tons\nof walnuts", "Say hello first"), ("Prices", "Without tax", "")],
            [["Item", "Price"], ["Bolt", "41"]],
            ("Bob", "Is this the newest price?"),
        ),
        PPT,
        (
            "Отчёт",
            "Forty tons\nof walnuts",
            "Say hello first",
            "Prices",
            "Item | Price\nBolt | 41",
            "Bob: Is this the",
            "Walnut Trading 2025",
        ),
        2,
        (("slide", "2"), ("heading", "Отчёт"), ("heading", "Prices"), ("table", "")),
    ),
    Sample(
        "plan.xlsb",
        lambda: xlsb("Plan", [["city", "size"], ["Осло", 7.0], ["Rome", 2.5]]),
        XLSB,
        ("Plan", "city | size\nОсло | 7\nRome | 2.5"),
        None,
        (("sheet", "Plan"),),
    ),
    Sample(
        "wide.csv",
        lambda: ("Name,Remark of the harbour office,Text\n" + f"Ann,,{'walnut ' * 60}\nBob,,{'tree ' * 60}\n").encode(),
        CSV,
        ("Remark of the harbour office", "Name: Ann; Text: walnut", "Name: Bob; Text: tree"),
    ),
    Sample(
        "strict.xlsx",
        lambda: office.strict(office.xlsx({"People": [["Name", "Age"], ["Ann", 5]]})),
        XLSX,
        ("People", "Name | Age\nAnn | 5"),
        None,
        (("sheet", "People"),),
    ),
    Sample(
        "drawn.xlsx",
        office.drawn_sheet,
        XLSX,
        ("Tons", "Year | Tons\n2024 | 41", "Walnuts by year", "Figures of the harbour office"),
        None,
        (("sheet", "Tons"),),
    ),
    Sample(
        "backslashes.xlsx",
        lambda: office.changed(
            office.xlsx({"People": [["Name", "Age"], ["Ann", 5]]}),
            lambda name, text: (name if name.startswith(("[", "_")) else name.replace("/", "\\"), text),
        ),
        XLSX,
        ("People", "Name | Age\nAnn | 5"),
    ),
    Sample(
        "web.docx",
        office.web_contract,
        DOCX,
        (
            "1. Delivery",
            "1.1 The goods are sent in May.",
            "2. Termination",
            "2.1 Each side may end this contract.",
            "2.2 It ends by itself",
            "(a) when a side is insolvent,",
            "(b) when the port is closed.",
            "Item | Price\nBolt | 41 euros\nNut | 7\n",
            "Signed in Bergen\nDrawn beside the text",
        ),
        None,
        (("heading", "2. Termination"),),
    ),
    Sample(
        "commented.pptx",
        office.commented_deck,
        PPTX,
        ("Harvest", "forty tons", "Comments:\nIs this the newest figure?"),
        1,
    ),
    Sample(
        "word.odt",
        lambda: office.opendocument("text", _WORD_ODT, more=_ODT_PARTS),
        ODT,
        (
            "Walnut Trading",
            "Duties",
            "- Between the items",
            "The goods are sent in May.",
            "Tons by year",
            "2024 | 41",
            "Comments:\nBob: Not in June?",
            "Contract 2025-118",
        ),
        None,
        (("heading", "Duties"),),
    ),
    Sample(
        "hidden.ods",
        lambda: office.opendocument("spreadsheet", _HIDDEN_ODS, styles=_HIDDEN_STYLE),
        ODS,
        ("Rates (hidden sheet)", "1.0842\n", "Comments:\nfrom the bank"),
        None,
        (("sheet", "Rates (hidden sheet)"),),
    ),
    Sample(
        "stories.doc",
        lambda: office.doc(
            "The running text.\n",
            beside=(
                "\x02 A footnote.\n",
                "Header of page 1\nHeader of page 2\n",
                "",
                "Too much?\n",
                "The end.\n",
                "Boxed\n",
            ),
        ),
        DOC,
        ("The running text.", "A footnote.", "The end.", "Boxed", "Comments:\nToo much?", "Header of page"),
    ),
    Sample(
        "word.rtf",
        lambda: _WORD_RTF,
        RTF,
        (
            "Walnut Trading",
            "Drawn beside the text",
            "What the object shows",
            "Micro-switch",
            "Comments:\nBob: Too much?",
            "Contract 2025-119",
        ),
    ),
    Sample(
        "parts.eml",
        lambda: _MAIL.encode(),
        EML,
        (
            _CHINESE,
            "The text behind the picture.",
            "Sent by the list of the harbour office.",
            "Attachments: plan.txt",
            "Plant walnuts in May.",
        ),
    ),
    Sample(
        "people.msg",
        lambda: office.msg("Tea", "At four.", recipient=("Ann Example", "ann@example.com")),
        MSG,
        ("To: Ann Example <ann@example.com>", "At four."),
    ),
    Sample(
        "chinese.html",
        lambda: f'<html><head><meta charset="gb2312"></head><body><p>{_CHINESE}</p></body></html>'.encode("gbk"),
        HTML,
        (_CHINESE,),
    ),
    Sample(
        "steps.html",
        lambda: (
            b'<html><body><ol start="3"><li>Open the lid.</li><li><p>Turn the key.</p><ol type="a"><li>Left</li>'
            b"<li>Right</li></ol></li><li>Close it.</li></ol><p>Done.</p><ul><li><p>Bolts</p></li></ul></body></html>"
        ),
        HTML,
        ("3. Open the lid.", "4. Turn the key.", "a. Left", "b. Right", "5. Close it.", "\nDone.", "- Bolts"),
    ),
    Sample("formula.html", lambda: _FORMULA.encode(), HTML, ("Sums", "The mean is m=48.")),
    Sample(
        "short.xml",
        lambda: '<?xml version="1.0" encoding="windows-1251"?><a><b>Ёж</b></a>'.encode("cp1251"),
        XML,
        ("b: Ёж",),
    ),
    Sample(
        "invoice.pdf",
        lambda: with_files(
            pdf(["Invoice 2025-120 of Walnut Trading"]),
            {"data.xml": b'<?xml version="1.0"?><a><due>41 500</due></a>'},
        ),
        PDF,
        ("Invoice 2025-120 of Walnut Trading", "data.xml", "due: 41 500"),
        1,
        (("heading", "data.xml"),),
    ),
)

BAD = (
    Sample("empty.txt", lambda: b"", TEXT, failure="empty"),
    Sample("empty.pdf", lambda: b"", TEXT, failure="empty"),
    Sample("blank.txt", lambda: b" \n\t\n ", TEXT, failure="no_text"),
    Sample("scan.pdf", scan, PDF, failure="no_text"),
    Sample("locked.pdf", lambda: pdf(["secret"], password="pw"), PDF, failure="encrypted"),
    Sample("locked.doc", lambda: office.doc("x", encrypted=True), DOC, failure="encrypted"),
    Sample(
        "locked.docx",
        lambda: compound({"EncryptedPackage": b"x", "EncryptionInfo": b"x"}),
        DOCX,
        failure="encrypted",
    ),
    Sample("half.pdf", lambda: b"%PDF-1.7\n%garbage\n1 0 obj <<", PDF, failure="corrupt"),
    Sample(
        "locked.ppt",
        lambda: compound({"PowerPoint Document": b"x", "Current User": struct.pack("<8xIIII", 20, 0xF3D1C4DF, 0, 0)}),
        PPT,
        failure="encrypted",
    ),
    Sample("half.ppt", lambda: ppt([("a", "b", "")], (), ("", ""))[:3000], PPT, failure="corrupt"),
    Sample("other.ppt", lambda: compound({"PowerPoint Document": b"x"}), PPT, failure="corrupt"),
    Sample("half.xlsb", lambda: xlsb("Plan", [["city"]])[:900], XLSB, failure="corrupt"),
    Sample("half.docx", lambda: office.docx([("Normal", "text")])[:2000], DOCX, failure="corrupt"),
    Sample("half.json", lambda: b'{"a": [1, 2', JSON, failure="corrupt"),
    Sample("half.xml", lambda: b'<?xml version="1.0"?><a><b>', XML, failure="corrupt"),
    Sample("bomb.docx", broken.docx_bomb, DOCX, failure="too_large"),
    Sample("lying.docx", broken.lying_docx, DOCX, failure="corrupt"),
    Sample("laughs.xml", broken.billion_laughs, XML, failure="corrupt"),
    Sample("deep.xml", broken.deep_xml, XML, failure="corrupt"),
    Sample("deep.html", broken.deep_html, HTML, failure="corrupt"),
    Sample("deep.json", broken.deep_json, JSON, failure="corrupt"),
    Sample("deep.rtf", broken.deep_rtf, RTF, failure="corrupt"),
    Sample("program.txt", lambda: b"\x7fELF\x02\x01\x01" + bytes(100), None, failure="unsupported"),
    Sample("half.png", lambda: saved([["words"]], "PNG")[:900], "image/png", failure="corrupt"),
    Sample("nothing.zip", lambda: office.archive({"__MACOSX/x": "a"}), ZIP, failure="no_text"),
    Sample(
        "half.zip",
        lambda: office.archive({"a.txt": bytes(n * n % 251 for n in range(999))})[:300],
        ZIP,
        failure="corrupt",
    ),
    Sample("many.zip", lambda: office.archive({f"{n}.txt": "words" for n in range(501)}), ZIP, failure="too_large"),
    Sample("half.ipynb", lambda: b'{"cells": [{', NOTEBOOK, failure="corrupt"),
    Sample("archive.tar.gz", lambda: b"\x1f\x8b" + bytes(99), None, failure="unsupported"),
    Sample("archive.docx", lambda: office.archive({"a.txt": "hello"}), None, failure="unsupported"),
    Sample("noise.txt", lambda: bytes(range(256)) * 8, None, failure="unsupported"),
)
