"""Stop sequences for a wire that knows none."""

from collections.abc import Sequence


class StopCutter:
    """Lets text through up to the first stop sequence, also where the sequence comes in pieces."""

    def __init__(self, stops: Sequence[str] | None) -> None:
        self._stops = [stop for stop in stops or () if stop]
        self._hold = max((len(stop) for stop in self._stops), default=1) - 1
        self._kept = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """Take more text, return what is certain to lie before a stop sequence."""
        if not self._stops or self.hit:
            return "" if self.hit else text
        text = self._kept + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.hit = True
            self._kept = ""
            return text[: min(places)]
        split = max(0, len(text) - self._hold)
        self._kept = text[split:]
        return text[:split]

    def rest(self) -> str:
        """Return what was held back, at the end of the text."""
        rest, self._kept = self._kept, ""
        return rest
