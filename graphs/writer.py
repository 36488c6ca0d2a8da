"""The answer's way out of the graph: pieces of text are put together before they go to LangGraph's stream writer."""

import asyncio
from collections.abc import Callable
from typing import Any

PACE = 0.04  # seconds between two writes: each costs some 50 µs, and nobody sees the difference


class AnswerWriter:
    """Collects text and reasoning, and writes them at a steady pace; the first piece of each goes out at once."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        self._write = write
        self._pieces: list[str] = []
        self._is_reasoning = False
        self._loop = asyncio.get_running_loop()
        self._written = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def text(self, text: str) -> None:
        """Add a piece of the answer."""
        self._add(text, is_reasoning=False)

    def reasoning(self, text: str) -> None:
        """Add a piece of what the model thinks before it answers."""
        self._add(text, is_reasoning=True)

    def _add(self, text: str, *, is_reasoning: bool) -> None:
        if is_reasoning != self._is_reasoning:
            self.flush()
            self._is_reasoning, self._written = is_reasoning, 0.0
        self._pieces.append(text)
        if self._timer is None:
            due = self._written + PACE
            if due <= self._loop.time():
                self.flush()
            else:
                self._timer = self._loop.call_at(due, self.flush)

    def flush(self) -> None:
        """Write what was collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            self._written = self._loop.time()
            self._write({"event": "reasoning", "content": text} if self._is_reasoning else text)
