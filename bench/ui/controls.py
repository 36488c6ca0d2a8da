"""A probe that can't fail measures nothing: each is pointed at a page that was made bad, and has to say so."""

from dataclasses import replace

from bench.report import Row


class NotCaught(Exception):
    """A probe called a page good that had been made bad on purpose."""


def controlled(row: Row, spoilt: float, how: str) -> Row:
    """Return `row` with what its probe said of the spoilt page in the note.

    Raises NotCaught where that value, `spoilt`, would have kept the row's goal. `how` says what was done to the page.
    """
    control = replace(row, value=spoilt)
    if control.verdict != "missed":
        raise NotCaught(f"{row.figure}: {spoilt:.4g} {row.unit} with {how} keeps the goal of {row.goal} {row.unit}")
    said = f"control: {how}, {spoilt:,.4g} {row.unit}, caught"
    return replace(row, note=f"{row.note}; {said}" if row.note else said)
