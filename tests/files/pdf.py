"""Writes small PDF files by hand: text, pages, an outline, a password, a scan."""

import hashlib
import io
from collections.abc import Mapping, Sequence

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def pdf(pages: Sequence[str], *, outline: Sequence[tuple[str, int]] = (), password: str | None = None) -> bytes:
    """Return a PDF with one text per page (lines by `\\n`); `outline` holds (title, page index)."""
    key = _Encryption(password) if password is not None else None
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    first = 4 + 2 * len(pages)
    catalog = "<< /Type /Catalog /Pages 2 0 R" + (f" /Outlines {first} 0 R >>" if outline else " >>")
    objects = [
        catalog.encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, text in enumerate(pages):
        number = 5 + 2 * index
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        box = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {number} 0 R >>"
        stream = _content(text)
        stream = key.encrypt(stream, number) if key else stream
        objects += [box.encode(), b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream"]
    objects += _outline(outline, first) if outline else []
    return _file(objects, key)


def form(
    texts: Sequence[tuple[int, int, str]],
    fields: Sequence[tuple[str, str, tuple[int, int, int, int]]] = (),
    comments: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return a page with texts at their places, filled-in fields (name, value, rectangle) and comments (author, text).

    A field whose value is "/Yes" is a ticked box.
    """
    annotations = [
        f"<< /Type /Annot /Subtype /Widget /T ({name}) /Rect [{' '.join(map(str, place))}] /F 4 "
        + (
            f"/FT /Btn /V {value} /AS {value} >>"
            if value.startswith("/")
            else f"/FT /Tx /V ({value}) /DA (/F1 9 Tf) >>"
        )
        for name, value, place in fields
    ]
    annotations += [
        f"<< /Type /Annot /Subtype /Text /Rect [20 20 40 40] /T ({author}) /Contents ({text}) >>"
        for author, text in comments
    ]
    numbers = [f"{6 + n} 0 R" for n in range(len(annotations))]
    shown = " ".join(f"1 0 0 1 {x} {y} Tm ({text}) Tj" for x, y, text in texts)
    stream = f"BT /F1 10 Tf {shown} ET".encode("cp1252")
    page = (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> "
        f"/Annots [{' '.join(numbers)}] >>"
    )
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{' '.join(numbers[: len(fields)])}] >> >>".encode(),
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        page.encode(),
        b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream",
        *(annotation.encode() for annotation in annotations),
    ]
    return _file(objects, None)


def with_files(document: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a PDF with files in it, as an invoice has its data."""
    import pypdfium2

    opened = pypdfium2.PdfDocument(document)
    for name, content in files.items():
        opened.new_attachment(name).set_data(content)
    out = io.BytesIO()
    opened.save(out)
    return out.getvalue()


def scan() -> bytes:
    """Return a PDF whose only page shows a grey square: nothing to read."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R >>"
    content = b"0.5 g 20 20 100 100 re f"
    stream = b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream"
    return _file(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, stream], None
    )


def _content(text: str) -> bytes:
    lines = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in text.split("\n")]
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    return f"BT /F1 11 Tf 14 TL 50 740 Td {shown} ET".encode("cp1252")


def _outline(outline: Sequence[tuple[str, int]], first: int) -> list[bytes]:
    numbers = range(first + 1, first + 1 + len(outline))
    root = f"<< /Type /Outlines /First {numbers[0]} 0 R /Last {numbers[-1]} 0 R /Count {len(outline)} >>"
    entries = [root.encode()]
    for number, (title, page) in zip(numbers, outline, strict=True):
        chain = f" /Next {number + 1} 0 R" if number != numbers[-1] else ""
        chain += f" /Prev {number - 1} 0 R" if number != numbers[0] else ""
        entries.append(f"<< /Title ({title}) /Parent {first} 0 R /Dest [{4 + 2 * page} 0 R /Fit]{chain} >>".encode())
    return entries


class _Encryption:
    """The standard security handler, revision 2 (40-bit RC4)."""

    def __init__(self, password: str) -> None:
        padded = (password.encode() + _PADDING)[:32]
        self.owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
        material = padded + self.owner + (0xFFFFFFFC).to_bytes(4, "little") + b"0123456789abcdef"
        self.key = hashlib.md5(material).digest()[:5]
        self.user = _rc4(self.key, _PADDING)

    def encrypt(self, data: bytes, number: int) -> bytes:
        return _rc4(hashlib.md5(self.key + number.to_bytes(3, "little") + b"\0\0").digest()[:10], data)

    def entry(self) -> bytes:
        values = f"/O <{self.owner.hex()}> /U <{self.user.hex()}>"
        return f"/Encrypt << /Filter /Standard /V 1 /R 2 {values} /P -4 >>".encode()


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def _file(objects: Sequence[bytes], key: _Encryption | None) -> bytes:
    out = bytearray(b"%PDF-1.5\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    identity = b"/ID [<" + b"0123456789abcdef".hex().encode() + b"> <" + b"0123456789abcdef".hex().encode() + b">]"
    encryption = key.entry() + b" " + identity if key else b""
    out += b"trailer\n<< /Size %d /Root 1 0 R " % (len(objects) + 1) + encryption + b" >>\n"
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)
