"""The numbers that Word shows before paragraphs: "3.2", "(a)", "Article IV" (ECMA-376, part 1, 17.9)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

BULLET = "-"
"""What stands for a list's sign that is no number."""
_LEVELS = 9
_LONGEST = 40
_DIGITS = 9
_ROMAN = tuple(
    zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"),
        strict=True,
    )
)
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщэюя"


@dataclass(frozen=True, slots=True)
class _Level:
    """One level of a list: where it starts, how it counts, and its text with `%1` for the first level's number.

    It starts again behind paragraphs of the levels below `restart`, counted from 0 (ECMA-376, part 1, 17.9.10).
    """

    start: int
    style: str
    text: str
    legal: bool
    restart: int


class Numbering:
    """Counts a document's lists; ask for each numbered paragraph once, in the document's order."""

    def __init__(self, root: Any, w: str) -> None:
        self._w = w
        self._lists: dict[str, dict[int, _Level]] = {}
        self._counted_as: dict[str, str] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._restarts: set[tuple[str, int]] = set()
        self.by_style: dict[str, tuple[str, int]] = {}
        """A paragraph style's list and level, where a level of a list names the style."""
        if root is not None:
            self._read(root)

    def label(self, number: str, level: int) -> str:
        """Count a paragraph of a list, and return what stands before it: its number, BULLET, or nothing."""
        levels = self._lists.get(number)
        if levels is None or level not in levels:
            return ""
        counts = self._counts.setdefault(self._counted_as[number], {})
        begins = level not in counts or (number, level) in self._restarts
        self._restarts.discard((number, level))  # only where this list is met first
        counts[level] = levels[level].start if begins else counts[level] + 1
        for deeper in [each for each in counts if each > level]:
            if deeper not in levels or level < levels[deeper].restart:
                del counts[deeper]
        own = levels[level]
        if own.style == "bullet":
            return BULLET
        text = own.text
        for at in range(level, -1, -1):
            shown = levels.get(at, own)
            style = "decimal" if own.legal else shown.style
            place = counts.setdefault(at, shown.start)
            text = text.replace(f"%{at + 1}", counted(place, style))
        return text.strip()[:_LONGEST]

    def _read(self, root: Any) -> None:
        abstract: dict[str, dict[int, _Level]] = {}
        styles: dict[str, list[tuple[str, int]]] = {}
        for one in root.iterchildren(f"{self._w}abstractNum"):
            identity = one.get(f"{self._w}abstractNumId") or ""
            abstract[identity], styles[identity] = self._levels(one), self._styles(one)
        for one in root.iterchildren(f"{self._w}num"):
            number = one.get(f"{self._w}numId") or ""
            base = self._value(one, "abstractNumId")
            levels = dict(abstract.get(base, {}))
            for override in one.iterchildren(f"{self._w}lvlOverride"):
                levels |= self._levels(override)
                at = whole(override.get(f"{self._w}ilvl") or "")
                start = whole(self._value(override, "startOverride"))
                if at is not None and start is not None and at in levels:
                    levels[at] = replace(levels[at], start=start)
                    self._restarts.add((number, at))
            self._lists[number] = levels
            self._counted_as[number] = base  # lists of one kind count on from each other
            for style, at_level in styles.pop(base, ()):  # the first list of a kind is that of its styles
                self.by_style.setdefault(style, (number, at_level))

    def _levels(self, parent: Any) -> dict[int, _Level]:
        found = {}
        for level in parent.iterchildren(f"{self._w}lvl"):
            at, start = whole(level.get(f"{self._w}ilvl") or ""), whole(self._value(level, "start"))
            restart = whole(self._value(level, "lvlRestart"))
            if at is not None and at < _LEVELS:
                found[at] = _Level(
                    1 if start is None else start,
                    self._value(level, "numFmt") or "decimal",
                    self._value(level, "lvlText"),
                    self._is_on(level, "isLgl"),
                    at if restart is None else min(restart, at),
                )
        return found

    def _styles(self, abstract: Any) -> list[tuple[str, int]]:
        return [
            (style, whole(level.get(f"{self._w}ilvl") or "") or 0)
            for level in abstract.iterchildren(f"{self._w}lvl")
            if (style := self._value(level, "pStyle"))
        ]

    def _is_on(self, parent: Any, name: str) -> bool:
        return parent.find(f"{self._w}{name}") is not None and self._value(parent, name) not in ("0", "false", "off")

    def _value(self, parent: Any, name: str) -> str:
        child = parent.find(f"{self._w}{name}")
        return "" if child is None else child.get(f"{self._w}val") or ""


def whole(digits: str) -> int | None:
    """Return the number that is written in digits, or None; no list counts further than nine of them."""
    return int(digits) if digits.isdecimal() and len(digits) <= _DIGITS else None


def counted(number: int, style: str) -> str:
    """Return a number as a list of a style shows it, by Word's names of styles: lowerRoman, upperLetter, decimal …"""
    return _NUMBERS.get(style, str)(number)


def _roman(number: int) -> str:
    if not 0 < number < 4000:
        return str(number)
    text = ""
    for value, letters in _ROMAN:
        text += letters * (number // value)
        number %= value
    return text


def _letters(alphabet: str) -> Callable[[int], str]:
    """As Word does: after z comes aa, then bb."""
    size = len(alphabet)
    return lambda number: (
        alphabet[(number - 1) % size] * min((number - 1) // size + 1, 9) if number > 0 else str(number)
    )


_LATIN, _CYRILLIC = _letters("abcdefghijklmnopqrstuvwxyz"), _letters(_RUSSIAN)
_NUMBERS: Mapping[str, Callable[[int], str]] = {
    "none": lambda _: "",
    "decimalZero": lambda number: f"{number:02}",
    "lowerRoman": _roman,
    "upperRoman": lambda number: _roman(number).upper(),
    "lowerLetter": _LATIN,
    "upperLetter": lambda number: _LATIN(number).upper(),
    "russianLower": _CYRILLIC,
    "russianUpper": lambda number: _CYRILLIC(number).upper(),
}
