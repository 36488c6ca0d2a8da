"""The reading order of a page whose text stands in columns, found from the boxes of its lines.

A column is a stack of lines that nearly fill its width, each in one piece; a table's cells are short or have gaps, and
are read row by row as they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_ROWS = 3  # of each column, at least
_CROSSING = 0.25  # of all rows, at most, may run across two columns: titles, figures
_FILLED = 0.6  # of a column's width, which half of its rows have to fill
_WHOLE = 0.85  # of a row's width that is text: more gaps make it a row of cells
_LONG = 9.0  # times its height a line is wide, at least


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a page in points; `bottom` is below `top`, as PDF counts."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return (self.bottom + self.top) / 2


def columns(boxes: Sequence[Box]) -> list[Box]:
    """Return the regions of a page in the order in which they are read; none where it has no columns."""
    found = _cut([box for box in boxes if box.right > box.left and box.top > box.bottom])
    return [_around(region) for region in found] if len(found) > 1 else []


def _cut(boxes: list[Box]) -> list[list[Box]]:
    """Cut at the gutter that the fewest lines cross; these lines part what stands above them from what is below."""
    gutter = _gutter(boxes)
    if gutter is None:
        return [boxes] if boxes else []
    across = sorted((box for box in boxes if box.left < gutter < box.right), key=lambda box: -box.top)
    rest = [box for box in boxes if not box.left < gutter < box.right]
    regions: list[list[Box]] = []
    for crossing in (*across, None):
        above = [box for box in rest if crossing is None or box.middle > crossing.middle]
        rest = [box for box in rest if crossing is not None and box.middle <= crossing.middle]
        regions += _cut([box for box in above if box.right <= gutter])
        regions += _cut([box for box in above if box.left >= gutter])
        if crossing is not None:
            regions.append([crossing])
    return regions


def _gutter(boxes: Sequence[Box]) -> float | None:
    if len(boxes) < 2 * _ROWS:
        return None
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    steps = range(int(left + (right - left) * 0.2), int(left + (right - left) * 0.8), 2)
    crossings = {x: sum(box.left < x < box.right for box in boxes) for x in steps}
    if not crossings:
        return None
    fewest = min(crossings.values())
    if fewest > _CROSSING * len(_rows(boxes)):
        return None
    free = [x for x, count in crossings.items() if count == fewest]
    place = float(median(free))
    sides = [box for box in boxes if box.right <= place], [box for box in boxes if box.left >= place]
    return place if all(_is_column(side) for side in sides) else None


def _is_column(boxes: Sequence[Box]) -> bool:
    rows = _rows(boxes)
    if len(rows) < _ROWS:
        return False
    width = max(box.right for box in boxes) - min(box.left for box in boxes)
    height = median(box.top - box.bottom for box in boxes)
    widths = [max(box.right for box in row) - min(box.left for box in row) for row in rows]
    whole = [sum(box.right - box.left for box in row) / wide for row, wide in zip(rows, widths, strict=True)]
    filled = [wide >= _FILLED * width and wide >= _LONG * height for wide in widths]
    return sum(filled) >= len(rows) / 2 and median(whole) >= _WHOLE


def _rows(boxes: Sequence[Box]) -> list[list[Box]]:
    """Group boxes that stand on one line, from the top of the page."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda each: -each.middle):
        if rows and rows[-1][0].middle - box.middle < (rows[-1][0].top - rows[-1][0].bottom) / 2:
            rows[-1].append(box)
        else:
            rows.append([box])
    return rows


def _around(boxes: Sequence[Box]) -> Box:
    return Box(
        min(box.left for box in boxes),
        min(box.bottom for box in boxes),
        max(box.right for box in boxes),
        max(box.top for box in boxes),
    )
