"""What the operator sees while the service starts."""

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


class Progress(Protocol):
    """Takes the news of steps, which go on side by side; `name` tells them apart."""

    def begin(self, name: str, doing: str) -> None:
        """Note that a step has begun; `doing` says what it does."""

    def advance(self, name: str, done: int, total: int) -> None:
        """Note how far a long step has come."""

    def finish(self, name: str, note: str = "") -> None:
        """Note that a step is done."""

    def skip(self, name: str, reason: str) -> None:
        """Note that a step was left out or failed, and that the start goes on without it."""


class SilentProgress:
    """For tests and for callers that show nothing."""

    def begin(self, name: str, doing: str) -> None:
        """Show nothing."""

    def advance(self, name: str, done: int, total: int) -> None:
        """Show nothing."""

    def finish(self, name: str, note: str = "") -> None:
        """Show nothing."""

    def skip(self, name: str, reason: str) -> None:
        """Show nothing."""


class _Step:
    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.started = time.monotonic()
        self.seconds: float | None = None
        self.note = ""
        self.skipped = False
        self.share: tuple[int, int] | None = None
        self.spinner = Spinner("dots")

    def end(self, note: str, *, skipped: bool = False) -> None:
        self.seconds = time.monotonic() - self.started
        self.note = note
        self.skipped = skipped


class ConsoleProgress:
    """Steps with ticks and times on a terminal, plain lines elsewhere. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, _Step] = {}
        self._live = (
            Live(get_renderable=self._table, console=console, refresh_per_second=10) if (console.is_terminal) else None
        )

    def __enter__(self) -> "ConsoleProgress":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the table as it stands; later news appear as plain lines below it."""
        if self._live:
            self._live.stop()
            self._live = None

    def begin(self, name: str, doing: str) -> None:
        """Show a new step."""
        self._steps[name] = _Step(doing)
        self._line(f"{name}: {doing}")

    def advance(self, name: str, done: int, total: int) -> None:
        """Move the step's bar; without a terminal, a line for each tenth."""
        step = self._steps[name]
        before = step.share[0] * 10 // step.share[1] if step.share and step.share[1] else 0
        step.share = (done, total)
        if total and done * 10 // total > before:
            self._line(f"{name}: {done * 100 // total} %")

    def finish(self, name: str, note: str = "") -> None:
        """Tick the step off."""
        step = self._steps[name]
        step.end(note)
        self._line(f"{name}: ready after {step.seconds:.1f} s" + (f" ({note})" if note else ""))

    def skip(self, name: str, reason: str) -> None:
        """Show why the step was left out."""
        self._steps.setdefault(name, _Step("")).end(reason, skipped=True)
        self._line(f"{name}: left out: {reason}")

    def _line(self, text: str) -> None:
        if self._live is None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, step in self._steps.items():
            if step.seconds is None:
                elapsed = f"{time.monotonic() - step.started:5.1f} s"
                middle = ProgressBar(step.share[1], step.share[0], width=30) if step.share else Text(step.doing)
                table.add_row(step.spinner, Text(name, style="bold"), middle, Text(elapsed, style="dim"))
            else:
                mark = Text("-", style="yellow") if step.skipped else Text("✓", style="green")
                shown = Text(step.note or step.doing, style="yellow" if step.skipped else "")
                table.add_row(mark, Text(name, style="bold"), shown, Text(f"{step.seconds:5.1f} s", style="dim"))
        return table
