"""A turn's record: what each node took, gave and cost. It explains an answer, also one that broke off."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.errors import GraphBubbleUp

from chains.types import StreamEnd, StreamStart, Usage, sum_of
from graphs.state import NOTHING_SEARCHED, AnswerInfo, Searched, Summary
from llama_service import tracing
from persistence.search import Found


@dataclass(slots=True)
class Step:
    """One node's part of a trace. Times are milliseconds since the turn began."""

    node: str
    started_ms: float
    ms: float | None = None
    input: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class TurnRecord:
    """Written by the nodes while they work, read by whoever ends the run."""

    began: float = field(default_factory=time.perf_counter)
    attempt: int = 1
    steps: list[Step] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    reasoning_parts: list[str] = field(default_factory=list)
    searched: Searched = field(default_factory=lambda: NOTHING_SEARCHED)
    sources: list[dict[str, Any]] = field(default_factory=list)
    # Those of the first part of a continued answer, as their readers may see them; their numbers are taken.
    earlier_sources: Sequence[dict[str, Any]] = ()
    # The passages of the sources by number, and the calls of tools by id as their readers see them.
    passages: dict[int, Found] = field(default_factory=dict)
    tool_steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    # What each call of a model has cost, also one that broke off; and that of them which no state will know of.
    spent: list[Usage] = field(default_factory=list)
    lost: Sequence[Usage] = ()
    start: StreamStart | None = None
    end: StreamEnd | None = None
    # What the turn's state begins with: the newest messages, the question last, and the summary of those before.
    window: Sequence[AnyMessage] = ()
    summary: Summary | None = None
    retrieve_ms: int | None = None
    first_token_ms: int | None = None
    # How long the model has thought, and since when it does so now.
    reasoning_ms: int | None = None
    reasoning_since: int | None = None
    checkpoint_id: str | None = None

    @property
    def text(self) -> str:
        """What this run's model has written so far."""
        return "".join(self.parts)

    @property
    def reasoning(self) -> str:
        """What this run's model has thought so far."""
        return "".join(self.reasoning_parts)

    def note_reasoning(self, *, goes_on: bool) -> None:
        """Count the time between the first piece of a thought and the first that is none."""
        if goes_on:
            self.reasoning_since = self.elapsed_ms() if self.reasoning_since is None else self.reasoning_since
        elif self.reasoning_since is not None:
            self.reasoning_ms = (self.reasoning_ms or 0) + self.elapsed_ms() - self.reasoning_since
            self.reasoning_since = None

    def elapsed_ms(self) -> int:
        """Return whole milliseconds since the turn began."""
        return round((time.perf_counter() - self.began) * 1000)

    @contextmanager
    def step(self, node: str, **inputs: Any) -> Iterator[Step]:
        """Time a node; what it puts into the step's `output` is kept even when it fails."""
        begun = time.perf_counter()
        step = Step(node, round((begun - self.began) * 1000, 1), input=inputs)
        self.steps.append(step)
        # A node that stops to ask a person has not failed.
        with tracing.span(node, {"llama.node": node}, no_failure=(GraphBubbleUp,)):
            try:
                yield step
            finally:
                step.ms = round((time.perf_counter() - begun) * 1000, 1)

    def answer_info(self, error: dict[str, str] | None = None) -> AnswerInfo:
        """Return how the answer came about, as the state keeps it."""
        start, end = self.start, self.end
        return AnswerInfo(
            model_source=start.source if start else None,
            model_name=start.model if start else None,
            fallback_from=start.fallback_from if start else None,
            finish_reason=end.finish_reason if end else None,
            usage=asdict(sum_of(self.spent)) if self.spent else None,
            reasoning=self.reasoning,
            searched=self.searched,
            error=error,
        )

    def trace(self) -> dict[str, Any]:
        """Return the record as plain data: node name, input, output, milliseconds; attempts; the checkpoint's id."""
        nodes = [asdict(step) for step in self.steps]
        return {"nodes": nodes, "attempt": self.attempt, "checkpoint_id": self.checkpoint_id}
