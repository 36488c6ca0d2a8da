"""Citations in an answer: every `[n]` must name a source that the model was given."""

import re
from collections.abc import Mapping

CITATION = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
# With the blank before it, which goes too where the citation does. Code is left alone: `items[3]` cites nothing.
_MARK = re.compile(rf"([ \t]?){CITATION.pattern}")
_HELD = re.compile(r"[ \t]?\[[\d,\s]{0,24}$")
_WORD = re.compile(r"\w{3,}")
_SHARED = 0.5


class CitationFilter:
    """Takes out citations of nothing while the text streams by.

    Only the few characters that may become a citation are held back. Text inside code is passed as it is.
    """

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self._held = ""
        self._in_code = False
        self.removed = 0
        self.cited: set[int] = set()

    def feed(self, delta: str) -> str:
        """Return what may be shown after `delta` has come."""
        if not self._held and "[" not in delta and "`" not in delta and not delta.endswith(" "):
            return delta
        text = self._held + delta
        held = _HELD.search(text)
        cut = held.start() if held else len(text)
        # A blank at the end may belong to a citation that has to go.
        if not held and text.endswith(" ") and not text.endswith("  "):
            cut = len(text) - 1
        self._held = text[cut:]
        return self._clean(text[:cut])

    def end(self) -> str:
        """Return what was still held back when the text ends."""
        rest, self._held = self._held, ""
        return self._clean(rest)

    def _clean(self, text: str) -> str:
        if "[" not in text and "`" not in text:
            return text
        parts = re.split(r"(`+)", text)
        for index, part in enumerate(parts):
            if part.startswith("`"):
                self._in_code = not self._in_code
            elif not self._in_code:
                parts[index] = _MARK.sub(self._judge, part)
        return "".join(parts)

    def _judge(self, match: re.Match[str]) -> str:
        numbers = [int(number) for number in match[2].split(",")]
        good = [number for number in numbers if 1 <= number <= self._sources]
        self.removed += len(numbers) - len(good)
        self.cited.update(good)
        return (match[1] if good else "") + "".join(f"[{number}]" for number in good)


def cited_numbers(answer: str, sources: int) -> set[int]:
    """Return the numbers, from 1 to `sources`, that an answer cites outside of code."""
    reader = CitationFilter(sources)
    reader.feed(answer)
    reader.end()
    return reader.cited


def supporting(answer: str, sources: Mapping[int, str]) -> list[int]:
    """Return the numbers of the sources that an answer without citations plainly rests on, best first.

    A source counts where it holds at least half of the answer's words; for models too small to cite by themselves.
    """
    words = {word.lower()[:6] for word in _WORD.findall(answer)}
    if len(words) < 3:
        return []
    shares = []
    for number, text in sources.items():
        known = {word.lower()[:6] for word in _WORD.findall(text)}
        share = len(words & known) / len(words)
        if share >= _SHARED:
            shares.append((share, number))
    return [number for _, number in sorted(shares, key=lambda pair: (-pair[0], pair[1]))[:2]]
