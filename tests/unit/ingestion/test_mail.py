"""E-mails as programs write them: which parts are the text, which are attached, in which character set they are."""

from pathlib import Path

from ingestion.detect import EML
from ingestion.documents import Limits
from ingestion.loaders.child import read
from tests.files import as_blob

_CALENDAR = ("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\nUID:1\r\nEND:VCALENDAR")
_PAGE = ("text/html", "<p>Please come to the review in room 5.</p>")
_NOTES = ("text/plain; name=notes.txt\r\nContent-Disposition: attachment; filename=notes.txt", "the important notes")
_LOGO = ("image/png; name=logo.png\r\nContent-Disposition: inline; filename=logo.png", "x")


def parts(kind: str, *children: tuple[str, str]) -> tuple[str, str]:
    """Return a multipart's content type and body."""
    mark = f"mark{sum(len(body) for _, body in children)}"
    lines = "".join(f"--{mark}\r\nContent-Type: {head}\r\n\r\n{body}\r\n" for head, body in children)
    return f"multipart/{kind}; boundary={mark}", f"{lines}--{mark}--\r\n"


def text_of(folder: Path, part: tuple[str, str]) -> str:
    head, body = part
    path = folder / "a.eml"
    path.write_bytes(f"From: a@b.c\r\nSubject: S\r\nMIME-Version: 1.0\r\nContent-Type: {head}\r\n\r\n{body}".encode())
    return read(as_blob(path), "a.eml", EML, Limits()).text


def test_an_invitation_is_read_as_its_page_not_as_its_calendar(tmp_path: Path) -> None:
    for before in ((), (("text/plain", " \r\n"),)):
        text = text_of(tmp_path, parts("alternative", *before, _PAGE, _CALENDAR))
        assert "Please come to the review in room 5." in text
        assert "VCALENDAR" not in text


def test_calendar_data_beside_the_text_are_not_part_of_it(tmp_path: Path) -> None:
    text = text_of(tmp_path, parts("mixed", ("text/plain", "Come, please."), _CALENDAR))
    assert "Come, please." in text
    assert "VCALENDAR" not in text


def test_what_is_attached_inside_of_the_other_alternative_is_read(tmp_path: Path) -> None:
    page = parts("mixed", parts("related", _PAGE, _LOGO), _NOTES)
    text = text_of(tmp_path, parts("alternative", ("text/plain", "See attached."), page))
    assert "See attached." in text
    assert "Attachments: notes.txt\n" in text
    assert "the important notes" in text
    assert "room 5" not in text
