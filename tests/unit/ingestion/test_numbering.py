"""The numbers of lists are those that Word, or a browser, shows."""

import time
from collections.abc import Sequence
from pathlib import Path

from lxml import etree

from ingestion.detect import DOCX, HTML
from ingestion.documents import Limits
from ingestion.loaders.child import read
from ingestion.loaders.numbering import Numbering
from tests.files import as_blob, office

_SPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_W = f'xmlns:w="{_SPACE}"'
_MANY = "9" * 5000


def paragraph(text: str, level: int = 0) -> str:
    return (
        f'<w:p><w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr></w:pPr>'
        f"<w:r><w:t>{text}</w:t></w:r></w:p>"
    )


def level(at: int, text: str, more: str = "", start: str = "1") -> str:
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="{start}"/><w:numFmt w:val="{"upperRoman" if at == 0 else "decimal"}"/>'
        f'{more}<w:lvlText w:val="{text}"/></w:lvl>'
    )


def lines(folder: Path, body: str, levels: Sequence[str]) -> list[str]:
    """Return the lines that a Word file with one list is read as."""
    lists = (
        f'<w:numbering {_W}><w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'
    )
    document = f"<w:document {_W}><w:body>{body}</w:body></w:document>"
    path = folder / "a.docx"
    path.write_bytes(office.archive({"word/document.xml": document, "word/numbering.xml": lists}))
    return read(as_blob(path), "a.docx", DOCX, Limits()).text.split()


def test_an_empty_paragraph_counts(tmp_path: Path) -> None:
    body = paragraph("A") + paragraph("") + paragraph("C")
    assert lines(tmp_path, body, [level(0, "%1.")]) == ["I.", "A", "III.", "C"]


def test_a_list_goes_on_through_the_cells_of_a_table(tmp_path: Path) -> None:
    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("B", "C"))
    body = f"{paragraph('A')}<w:tbl><w:tr>{cells}</w:tr></w:tbl>{paragraph('D')}"
    assert lines(tmp_path, body, [level(0, "%1.")]) == ["I.", "A", "II.", "B", "|", "III.", "C", "IV.", "D"]


def test_a_level_starts_again_where_it_says(tmp_path: Path) -> None:
    body = "".join(paragraph(text, at) for text, at in (("A", 0), ("b", 1), ("c", 2), ("d", 1), ("e", 2), ("F", 0)))
    body += paragraph("g", 1) + paragraph("h", 2)

    for more, expected in (
        ("", ["1.", "1.", "1."]),
        ('<w:lvlRestart w:val="0"/>', ["1.", "2.", "3."]),
        ('<w:lvlRestart w:val="1"/>', ["1.", "2.", "1."]),
        ('<w:lvlRestart w:val="7"/>', ["1.", "1.", "1."]),
    ):
        numbers = lines(tmp_path, body, [level(0, "%1."), level(1, "%2."), level(2, "%3.", more)])[0::2]
        assert [numbers[2], numbers[4], numbers[7]] == expected
        assert [numbers[at] for at in (0, 1, 3, 5, 6)] == ["I.", "1.", "2.", "II.", "1."]


def test_legal_numbers_may_be_switched_off(tmp_path: Path) -> None:
    body = paragraph("A") + paragraph("b", 1)
    for legal, expected in (("<w:isLgl/>", "1.1"), ('<w:isLgl w:val="0"/>', "I.1"), ('<w:isLgl w:val="1"/>', "1.1")):
        assert lines(tmp_path, body, [level(0, "%1."), level(1, "%1.%2", legal)])[2] == expected


def test_numbers_of_thousands_of_digits_are_none(tmp_path: Path) -> None:
    assert lines(tmp_path, paragraph("A"), [level(0, "%1.", start=_MANY)]) == ["I.", "A"]
    path = tmp_path / "a.html"
    path.write_text(f'<html><body><ol start="{_MANY}"><li>one</li><li value="{_MANY}">two</li></ol></body></html>')
    assert read(as_blob(path), "a.html", HTML, Limits()).text.split() == ["1.", "one", "2.", "two"]


def test_thousands_of_lists_are_read_in_one_pass() -> None:
    kinds = "".join(
        f'<w:abstractNum w:abstractNumId="{n}"><w:lvl w:ilvl="0"><w:pStyle w:val="S{n}"/></w:lvl></w:abstractNum>'
        for n in range(4000)
    )
    numbers = "".join(f'<w:num w:numId="{n}"><w:abstractNumId w:val="{n}"/></w:num>' for n in range(4000))
    root = etree.fromstring(f"<w:numbering {_W}>{kinds}{numbers}</w:numbering>")
    began = time.process_time()
    numbering = Numbering(root, f"{{{_SPACE}}}")
    assert time.process_time() - began < 2  # each list against each kind took seven
    assert numbering.by_style["S3999"] == ("3999", 0)
