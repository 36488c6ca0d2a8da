"""Charts and diagrams of Office files, as tables and lists of what they show."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingestion.loaders.archive import Archive, reference
from ingestion.loaders.builder import Builder, flat


def add_graphics(archive: Archive, targets: Mapping[str, str], element: Any, builder: Builder) -> None:
    """Append the charts and diagrams that an element refers to; `targets` are those of its part (`Archive.targets`)."""
    for graphic in element.iter("{*}chart"):
        target = targets.get(reference(graphic))
        chart = archive.xml(target) if target else None
        if chart is not None:
            _add_chart(chart, builder)
    for graphic in element.iter("{*}relIds"):
        target = targets.get(reference(graphic, "dm"))
        diagram = archive.xml(target) if target else None
        lines = [_text(point) for point in diagram.iter("{*}pt")] if diagram is not None else []
        if lines := [line for line in lines if line]:
            builder.add("\n".join(f"- {line}" for line in lines))


def _add_chart(chart: Any, builder: Builder) -> None:
    title = next((_text(element) for element in chart.iter("{*}title")), "")
    if title:
        builder.add(title)
    series = list(chart.iter("{*}ser"))
    names = [next((_text(name) or _values(name).get(0, "") for name in one.findall("{*}tx")), "") for one in series]
    columns = [_values(data) for one in series for data in (*one.findall("{*}val"), *one.findall("{*}yVal"))]
    categories = next(
        (_values(data) for one in series for data in (*one.findall("{*}cat"), *one.findall("{*}xVal"))), {}
    )
    count = max((max(column, default=-1) for column in (categories, *columns)), default=-1) + 1
    rows = [[categories.get(n, ""), *(column.get(n, "") for column in columns)] for n in range(min(count, 10_000))]
    builder.table([["", *names], *rows])


def _values(data: Any) -> dict[int, str]:
    """Return a series' values by their index; the file keeps what was shown when it was saved."""
    return dict(_points(data))


def _points(data: Any) -> Iterator[tuple[int, str]]:
    for point in data.iter("{*}pt"):
        value = point.find("{*}v")
        index = point.get("idx") or ""
        if value is not None and index.isdecimal():
            yield int(index), flat(value.text or "")


def _text(element: Any) -> str:
    return flat("".join(piece.text or "" for piece in element.iter("{*}t")))
