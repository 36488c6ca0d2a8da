"""The words that model calls are spoken in: what is asked, what comes back, what a provider can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llama_service.settings import ModelSource, ProviderName

ReasoningEffort: TypeAlias = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class ModelParams:
    """How to answer; each provider says it in its own words. None leaves the choice to the provider.

    `max_tokens` bounds the answer. `tools` are tool definitions in OpenAI's form; with the choice `none` the model
    knows them and has to answer without. `reasoning_effort` is for models that think, and left out for others.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] | None = None
    tools: Sequence[dict[str, Any]] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    reasoning_effort: ReasoningEffort | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Which model is going to be asked. `requested` is the source as the caller named it (or the default)."""

    source: ProviderName
    model: str
    requested: ModelSource


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a provider: how it ended (`ok` or an error's code) and after how many milliseconds.

    For a stream the milliseconds are those to the first token.
    """

    source: ProviderName
    model: str
    outcome: str
    ms: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `estimated` where the provider did not count them, or the call broke off.

    `cached_tokens` are those of the input that the provider had read before; `cost_usd` is None where nobody knows the
    price.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated: bool = False
    cached_tokens: int = 0
    cost_usd: float | None = None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Usage":
        """Return a usage that was kept as plain data, also by another version."""
        return cls(**{name: kept[name] for name in cls.__dataclass_fields__ if name in kept})


def sum_of(usages: Sequence[Usage]) -> Usage:
    """Return what several calls have cost together; the price is not known where that of one is not."""
    costs = [usage.cost_usd for usage in usages]
    return Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        sum(usage.total_tokens for usage in usages),
        any(usage.estimated for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        None if None in costs else sum(cost for cost in costs if cost is not None),
    )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class StreamStart:
    """The first token is here (or the answer ended empty).

    `fallback_from` is the source that was asked first where another one answers. `notices` tell what was left
    out of the request because of the provider's limits. `message_id` is LangChain's id of the answer where somebody
    listens to its callbacks.
    """

    source: ProviderName
    model: str
    fallback_from: ModelSource | None
    attempts: list[Attempt]
    notices: list[str] = field(default_factory=list)
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The answer is complete. `finish_reason` is the provider's word, mostly `stop` or `length`."""

    finish_reason: str
    usage: Usage
    model: str
    attempts: list[Attempt]
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What a provider's limits made us leave out; sent by a provider's stream before its first delta."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The end of a provider's own stream; what the provider did not say is None."""

    finish_reason: str
    usage: Usage | None = None
    model: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thinks, which is no part of its answer."""

    text: str


Delta: TypeAlias = str | Reasoning | Notice | End
StreamItem: TypeAlias = StreamStart | str | Reasoning | StreamEnd


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, for callers that do not stream."""

    text: str
    start: StreamStart
    end: StreamEnd
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do, as far as its provider tells."""

    streaming: bool = True
    tools: bool = False
    vision: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One chat model of a provider. `size` is in bytes, costs are US dollars for a million tokens."""

    name: str
    size: int | None = None
    quantization: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: Capabilities = Capabilities()
    default: bool = False
    cost_input: float | None = None
    cost_output: float | None = None


@dataclass(frozen=True, slots=True)
class ModelList:
    """The chat models of a source; `error` is a sentence where they could not be asked for."""

    mode: ModelSource
    models: list[ModelInfo]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a provider is: calls in flight and waiting, and whether its circuit is open."""

    in_flight: int
    waiting: int
    circuit_open: bool


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """Whether a provider answers. `latency_ms` is the probe's time, None where there was no answer."""

    available: bool
    latency_ms: int | None
    url: str | None
    error: str | None
