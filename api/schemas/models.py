"""Shapes of models and their providers."""

from api.schemas.common import Shape
from llama_service.settings import ModelSource


class CapabilitiesRead(Shape):
    """What a model can do, as far as its provider tells."""

    streaming: bool
    tools: bool
    vision: bool


class ModelRead(Shape):
    """A chat model. `size` is in bytes, `context_window` in tokens, costs are US dollars for a million tokens."""

    name: str
    size: int | None = None
    quantization: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: CapabilitiesRead
    default: bool = False
    cost_input: float | None = None
    cost_output: float | None = None


class ModelListRead(Shape):
    """The chat models of a source; `error` where they could not be asked for."""

    mode: ModelSource
    models: list[ModelRead]
    count: int
    error: str | None = None


class DefaultModelRead(Shape):
    """The model that answers where none is named; `model_name` is null where only the provider knows it.

    `fallback_from` is the source that should answer and can't be reached.
    """

    model_source: ModelSource
    model_name: str | None
    fallback_from: ModelSource | None


class StatusRead(Shape):
    """Whether a provider answers; `url` and `error` are told to who is signed in."""

    available: bool
    latency_ms: int | None
    url: str | None = None
    error: str | None = None


class StatusList(Shape):
    """All providers."""

    embedded: StatusRead
    ollama: StatusRead
    openai: StatusRead
    aihub: StatusRead
