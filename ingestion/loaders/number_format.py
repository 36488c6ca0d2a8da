"""Numbers as a spreadsheet shows them: the common part of Excel's number formats (ECMA-376, part 1, 18.8.31)."""

import datetime
import re
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

_BRACKETS = re.compile(r"\[(?:\$([^\]-]*)[^\]]*|[^\]]*)\]")
# Placeholders of digits with what may stand between them, and an exponent.
_DIGITS = re.compile(r"[0#?][0#?,]*(?:\.[0#?]*)?|\.[0#?]+")
_EXPONENT = re.compile(r"[eE][+-]0+")
_MOST_DECIMALS = 15


class _Section(NamedTuple):
    before: str
    after: str
    integers: int
    decimals: int
    optional: int
    thousands: bool
    scale: int
    scientific: bool


def shown(value: object, code: str) -> str:
    """Return a cell's value as its format shows it; dates and times in ISO 8601, whatever their format."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, code)
    if isinstance(value, datetime.datetime):
        at_midnight = not (value.hour or value.minute or value.second)
        return value.date().isoformat() if at_midnight else value.isoformat(" ", "seconds")
    if isinstance(value, datetime.timedelta):
        return _duration(value)
    return str(value)


def _number(value: int | float, code: str) -> str:
    sections = code.split(";") if code not in ("", "General", "@") else []
    if not sections:
        return f"{value:.15g}"
    # Positive; negative; zero. A format with one section shows the sign itself.
    place = 1 if value < 0 and len(sections) > 1 else 2 if value == 0 and len(sections) > 2 else 0
    section = _parsed(sections[place])
    if section is None:
        return f"{value:.15g}"
    sign = "-" if value < 0 and place == 0 else ""
    return f"{section.before}{sign}{_digits(abs(value), section)}{section.after}".strip()


@lru_cache(maxsize=512)
def _parsed(code: str) -> _Section | None:
    """Return what a section of a format says; None where it is one that is not read here (dates, fractions)."""
    text, literals = _without_literals(code)
    exponent = _EXPONENT.search(text)
    match = _DIGITS.search(text)
    if "/" in text or "General" in text:
        return None
    if match is None:  # a word in the number's place, such as "-" for nothing
        return _Section(_restored(text, literals), "", 0, -1, 0, False, 0, False) if literals else None
    digits, end = match[0], exponent.end() if exponent else match.end()
    whole, _, fraction = digits.partition(".")
    trailing = len(whole) - len(whole.rstrip(",")) if "." not in digits else 0
    trailing = trailing or len(text[end:]) - len(text[end:].lstrip(","))
    return _Section(
        before=_restored(text[: match.start()], literals),
        after=_restored(text[end:].lstrip(","), literals),
        integers=whole.count("0"),
        decimals=min(len(fraction), _MOST_DECIMALS),
        optional=fraction.count("#") + fraction.count("?"),
        thousands="," in whole.strip(","),
        scale=2 * text.count("%") - 3 * trailing,
        scientific=exponent is not None,
    )


def _without_literals(code: str) -> tuple[str, list[str]]:
    """Return a section with its literal texts replaced by U+E000, and those texts in order."""
    literals: list[str] = []
    parts: list[str] = []

    def keep(text: str) -> None:
        literals.append(text)
        parts.append("\ue000")

    position = 0
    while position < len(code):
        character, rest = code[position], code[position:]
        if character == '"':
            end = code.find('"', position + 1)
            end = len(code) if end < 0 else end
            keep(code[position + 1 : end])
            position = end + 1
        elif character == "\\":
            keep(code[position + 1 : position + 2])
            position += 2
        elif character in "_*":  # the width of a character, or one that fills the cell
            parts.append(" " if character == "_" else "")
            position += 2
        elif bracket := _BRACKETS.match(rest):  # a colour, a condition, or a currency
            if bracket[1]:
                keep(bracket[1])
            position += bracket.end()
        else:
            parts.append(character)
            position += 1
    return "".join(parts), literals


def _restored(text: str, literals: list[str]) -> str:
    while "\ue000" in text:
        text = text.replace("\ue000", literals.pop(0), 1)
    return text


def _digits(value: int | float, section: _Section) -> str:
    if section.decimals < 0:
        return ""
    if section.scientific:
        return f"{value:.{section.decimals}E}"
    # Decimal of the shortest representation: 1.005 is shown as 1.01, as spreadsheets do.
    scaled = Decimal(repr(value)).scaleb(section.scale)
    rounded = scaled.quantize(Decimal(1).scaleb(-section.decimals), rounding=ROUND_HALF_UP)
    text = f"{rounded:,f}" if section.thousands else f"{rounded:f}"
    for _ in range(section.optional if "." in text else 0):
        if text.endswith("0"):
            text = text[:-1]
    text = text.rstrip(".") if "." in text else text
    if not section.integers and text.partition(".")[0] == "0":
        text = text[1:]  # `#` and `?` show no zero that does not count: nothing is a plain "-" in accounts
    missing = section.integers - len(text.partition(".")[0].replace(",", ""))
    return "0" * missing + text


def _duration(value: datetime.timedelta) -> str:
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
