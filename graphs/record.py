"""A turn's diary: what each node took, gave and cost. It explains an answer, also one that broke off."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from chains.types import StreamEnd, StreamStart
from llama_service.errors import AppError

Node = Literal["retrieve", "augment", "generate", "persist"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model made of the prompt; `error` where it broke off, with the text so far."""

    text: str
    start: StreamStart | None = None
    end: StreamEnd | None = None
    error: AppError | None = None


@dataclass(slots=True)
class Step:
    """One node's part of a trace. Times are milliseconds since the turn began."""

    node: Node
    started_ms: float
    ms: float | None = None
    input: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class TurnRecord:
    """Written by the nodes while they work, read by whoever ends the turn."""

    began: float = field(default_factory=time.perf_counter)
    steps: list[Step] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    start: StreamStart | None = None
    end: StreamEnd | None = None
    retrieve_ms: int | None = None
    first_token_ms: int | None = None
    checkpoint_id: str | None = None

    @property
    def text(self) -> str:
        """What the model has said so far."""
        return "".join(self.parts)

    def elapsed_ms(self) -> int:
        """Return whole milliseconds since the turn began."""
        return round((time.perf_counter() - self.began) * 1000)

    @contextmanager
    def step(self, node: Node, **inputs: Any) -> Iterator[Step]:
        """Time a node; what it puts into the step's `output` is kept even when it fails."""
        begun = time.perf_counter()
        step = Step(node, round((begun - self.began) * 1000, 1), input=inputs)
        self.steps.append(step)
        try:
            yield step
        finally:
            step.ms = round((time.perf_counter() - begun) * 1000, 1)

    def trace(self) -> dict[str, Any]:
        """Return the diary as plain data: node name → input, output, milliseconds; and the checkpoint's id."""
        nodes = [
            {"node": s.node, "started_ms": s.started_ms, "ms": s.ms, "input": s.input, "output": s.output}
            for s in self.steps
        ]
        return {"nodes": nodes, "checkpoint_id": self.checkpoint_id}
