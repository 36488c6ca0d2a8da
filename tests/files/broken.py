"""Files that mean harm or are damaged."""

import io
import random
import zipfile

from tests.files.office import archive, docx

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx_bomb() -> bytes:
    """Return some 300 kB that unpack to 300 MB of paragraphs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("word/document.xml", "w", force_zip64=True) as part:
            part.write(f"<w:document {_WORD}><w:body>".encode())
            paragraph = b"<w:p><w:r><w:t>aaaaaaaaaaaaaaaaaaaaaaaa</w:t></w:r></w:p>" * 20_000
            for _ in range(260):
                part.write(paragraph)
            part.write(b"</w:body></w:document>")
        file.writestr("[Content_Types].xml", "<Types/>")
    return out.getvalue()


def lying_docx() -> bytes:
    """Return a Word file whose table of contents understates the size of its text a thousand times."""
    data = bytearray(docx([("Normal", "word " * 200_000)]))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as file:
        size = file.getinfo("word/document.xml").file_size
    return bytes(data).replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))


def billion_laughs() -> bytes:
    """Return the classic XML bomb."""
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">{entities}]><l>&l9;</l>'.encode()


def external_entity(target: str) -> bytes:
    """Return XML that asks the reader for a local file."""
    return f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "file://{target}">]><l>before &x; after</l>'.encode()


def deep_xml(depth: int = 100_000) -> bytes:
    """Return XML that is nested far deeper than any document."""
    return b'<?xml version="1.0"?>' + b"<a>" * depth + b"text" + b"</a>" * depth


def deep_html(depth: int = 100_000) -> bytes:
    """Return HTML that is nested far deeper than any page."""
    return b"<html><body>" + b"<div>" * depth + b"the text" + b"</div>" * depth


def deep_json(depth: int = 100_000) -> bytes:
    """Return JSON that is nested far deeper than any data."""
    return b"[" * depth + b"1" + b"]" * depth


def deep_rtf(depth: int = 100_000) -> bytes:
    """Return RTF that opens group in group."""
    return b"{\\rtf1 " + b"{" * depth + b"x" + b"}" * depth + b"}"


def path_trick() -> bytes:
    """Return a Word file with parts that point out of the archive."""
    body = f"<w:document {_WORD}><w:body><w:p><w:r><w:t>harmless</w:t></w:r></w:p></w:body></w:document>"
    return archive({"../../etc/passwd": "x", "/root/.ssh/id": "x", "word/document.xml": body})


def flipped(data: bytes, seed: int) -> bytes:
    """Return `data` with some bits flipped, a piece doubled or left out, or its end cut: by the seed."""
    chance = random.Random(seed)
    damaged = bytearray(data)
    kind = seed % 4
    if kind == 0:
        return bytes(damaged[: chance.randrange(1, len(damaged))])
    if kind == 1:
        for _ in range(chance.randint(1, 40)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    elif kind == 2:
        start = chance.randrange(len(damaged))
        del damaged[start : start + chance.randint(1, 200)]
    else:
        start = chance.randrange(len(damaged))
        damaged[start:start] = damaged[start : start + chance.randint(1, 400)]
    return bytes(damaged)
