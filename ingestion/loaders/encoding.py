"""Bytes to text: marks of order first, then UTF-8, then what the bytes look like."""

import codecs

import webencodings

from ingestion.documents import ExtractionFailed

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 65_536
# Python's own, https://docs.python.org/3/library/codecs.html#python-specific-encodings: no file is in one.
_PYTHON_SPECIFIC = frozenset(("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"))
_CYRILLIC = ("cp1251", "koi8-r", "cp866")
# The most frequent Russian letters, two thirds of any running text.
_FREQUENT = frozenset("оеаинтсрвлкмдп ")
_WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßÀÂÄÁÃÅÆÇÈÉÊËÍÎÏÑÓÔÖÕØÚÛÜ«»¿¡°§€£©®–—…\u2018\u2019“”„•\xa0")


def decode(data: bytes) -> str:
    """Return the text of `data`. Raises ExtractionFailed(corrupt) where no encoding fits."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data.decode(name, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as broken:
        # A cut or damaged byte in long UTF-8 is no reason to read all of it as something else.
        if broken.start > 64 and _mostly_utf8(data):
            return data.decode("utf-8", errors="replace")
    return data.decode(_guess(data), errors="replace")


def decode_as(data: bytes, label: str | None) -> str:
    """Return the text of bytes that are said to be in an encoding, as browsers understand its name: GB2312 means GBK,
    Latin-1 means Windows-1252. A name that browsers do not read (UTF-7, IBM850) means what Python knows by it. What is
    plainly UTF-8, or does not fit, is decoded as if nothing had been said.
    """
    if not label or (not data.isascii() and _is_utf8(data)):
        return decode(data)
    try:
        return _decode_strictly(data, label)
    except (LookupError, ValueError):  # no name of an encoding, or not that of these bytes
        return decode(data)


def is_utf16(label: str) -> bool:
    """Whether a name means one of the two UTF-16 encodings, as `unicode` does."""
    encoding = webencodings.lookup(label)
    return encoding is not None and encoding.name.startswith("utf-16")


def _decode_strictly(data: bytes, label: str) -> str:
    """Return the text of bytes in a named encoding. Raises LookupError, or ValueError where they do not fit it."""
    encoding = webencodings.lookup(label)
    if encoding is not None and encoding.name == "gbk":
        return data.decode("gb18030")  # as browsers do: Python's GBK lacks the euro's sign
    # `replacement`: browsers show a single sign for the whole of a page in ISO-2022-KR or HZ.
    if encoding is not None and encoding.name != "replacement":
        return str(encoding.codec_info.decode(data, "strict")[0])
    if codecs.lookup(label).name in _PYTHON_SPECIFIC:
        raise LookupError(label)
    return data.decode(label)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _mostly_utf8(data: bytes) -> bool:
    text = data[:_SAMPLE_BYTES].decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    letters = sum(1 for char in text if ord(char) > 127) - broken
    return letters > 20 * broken or broken <= max(1, len(text) // 2000)


def _guess(data: bytes) -> str:
    wide = _utf16_without_mark(data)
    if wide:
        return wide
    sample = data[:_SAMPLE_BYTES]
    cyrillic = max(_CYRILLIC, key=lambda name: _russian_share(sample, name))
    if _russian_share(sample, cyrillic) > 0.55:
        return cyrillic
    if _looks_western(sample):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        raise ExtractionFailed("corrupt", "This file is not text in any encoding that can be recognised.")
    return best.encoding


def _russian_share(sample: bytes, encoding: str) -> float:
    """Return the share of frequent lower-case Russian letters in what is not ASCII; 0 where there is too little."""
    text = sample.decode(encoding, errors="replace")
    foreign = [char for char in text if ord(char) > 127]
    if len(foreign) < 4 or len(foreign) * 5 < sum(char.isalpha() for char in text):
        return 0.0
    return sum(char in _FREQUENT for char in foreign) / len(foreign)


def _looks_western(sample: bytes) -> bool:
    """Tell text of a Western language: few letters beyond ASCII, and those the usual ones."""
    text = sample.decode("cp1252", errors="replace")
    foreign = [char for char in text if ord(char) > 127]
    usual = sum(char in _WESTERN for char in foreign)
    return usual >= 0.95 * len(foreign) and len(foreign) < 0.2 * len(text)


def _utf16_without_mark(data: bytes) -> str | None:
    sample = data[:4096]
    if len(sample) < 4:
        return None
    even, odd = sample[0::2].count(0) / len(sample[0::2]), sample[1::2].count(0) / len(sample[1::2])
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None
