"""What a benchmark says: rows of a table, each with its goal where there is one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `goal` is the limit that it has to keep, in the same unit; `note` says how it came about."""

    benchmark: str
    figure: str
    value: float
    unit: str
    goal: float | None = None
    better: Literal["less", "more"] = "less"
    note: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `missed`, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        kept = self.value <= self.goal if self.better == "less" else self.value >= self.goal
        return "ok" if kept else "missed"

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return {**asdict(self), "verdict": self.verdict}


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| figure | measured | goal | | how |", "|---|---:|---:|---|---|"]
    for row in rows:
        sign = "≤" if row.better == "less" else "≥"
        goal = f"{sign} {_number(row.goal)} {row.unit}" if row.goal is not None else ""
        measured = f"{_number(row.value)} {row.unit}"
        lines.append(f"| {row.benchmark}: {row.figure} | {measured} | {goal} | {row.verdict} | {row.note} |")
    return "\n".join(lines)
