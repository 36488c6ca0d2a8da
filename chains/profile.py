"""How a turn is shaped for the model that is expected to answer: the one place that knows the demo model's limits."""

from dataclasses import dataclass

from llama_service.settings import ModelSource, ProviderName

# The demo model reads some 50 tokens a second: its turn gets fewer sources.
_DEMO_SOURCES = 1_600  # characters
# At its default of 0.8 it answers beside the point.
_DEMO_TEMPERATURE = 0.1
# Tokens; a model of half a billion parameters that has lost its thread repeats itself, for minutes.
_DEMO_ANSWER = 400


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """Who is expected to answer, and how the turn is shaped for that model.

    `source` and `name` are what the turn asks for, None for the default; `provider` and `model` what is expected to
    answer; `fallback_from` the source that it stands in for. Another provider may still answer, where this one fails
    before its first word.
    """

    provider: ProviderName
    model: str
    source: ModelSource | None = None
    name: str | None = None
    fallback_from: ModelSource | None = None

    @property
    def is_demo_model(self) -> bool:
        """Whether the model that ships with the service is expected to answer: it needs less text, simpler words."""
        return self.provider == "embedded"

    @property
    def condenses_follow_ups(self) -> bool:
        """Whether the model may be asked to make a follow-up question whole: the demo model is slow and bad at it."""
        return not self.is_demo_model

    @property
    def temperature(self) -> float | None:
        """The temperature where the turn names none."""
        return _DEMO_TEMPERATURE if self.is_demo_model else None

    @property
    def max_tokens(self) -> int | None:
        """The limit of the answer where the turn names none."""
        return _DEMO_ANSWER if self.is_demo_model else None

    def source_budget(self, budget: int, context_tokens: int) -> int:
        """Return how many characters of sources the turn gets: `budget`, or a quarter of what the model reads."""
        if self.is_demo_model:
            return _DEMO_SOURCES
        return min(budget, max(_DEMO_SOURCES, context_tokens * 3 // 4))
