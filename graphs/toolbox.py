"""The tools that are on in a turn, and how much they may do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from graphs.tools.spec import ToolSpec

MAX_ROUNDS: Final = 8  # times that the model may call tools before it has to answer
MAX_CALLS: Final = 16  # of one round; further ones are refused
AT_ONCE: Final = 4
CALL_SECONDS: Final = 60.0
TURN_SECONDS: Final = 300.0  # of all rounds together
_RESULT_CHARS: Final = 12_000


def result_chars(context_tokens: int) -> int:
    """Return how many characters a call's result may have: for models that read little, less."""
    return min(_RESULT_CHARS, context_tokens * 2 // 3)


def reserve(context_tokens: int) -> int:
    """Return how many tokens of a model's window the prompt leaves to what tools will say."""
    return context_tokens // 3


@dataclass(frozen=True)
class Toolbox:
    """Tools by name. Those in `approved` wait for nobody in this conversation."""

    specs: Mapping[str, ToolSpec] = field(default_factory=dict)
    approved: frozenset[str] = frozenset()

    @cached_property
    def definitions(self) -> Sequence[dict[str, Any]]:
        """The tools as OpenAI's wire describes them."""
        return [dict(spec.definition) for spec in self.specs.values()]

    def waits(self, spec: ToolSpec) -> bool:
        """Whether a person has to approve each call."""
        return spec.needs_approval and spec.name not in self.approved


NO_TOOLS: Final = Toolbox()
