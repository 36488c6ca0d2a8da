"""Who is going to answer, as far as one can know before asking."""

from collections.abc import Mapping

from chains.types import ProviderStatus
from llama_service.settings import ModelSource, ProviderName, Settings


def plan(
    settings: Settings, status: Mapping[ProviderName, ProviderStatus], source: ModelSource | None
) -> tuple[ProviderName, ModelSource | None]:
    """Return the provider that is expected to take a turn, and the source that it stands in for, if any.

    A source that was named is never replaced. Without one, the first of the default and the fallback sources that
    answered its last probe is expected; where none did, the default, whose error is then the one that is told.
    """
    requested = source or settings.default_model_source
    if requested == "local":
        return ("ollama" if status["ollama"].available else "embedded"), None
    if source is not None:
        return requested, None
    for candidate in (requested, *settings.model_fallback_sources):
        if status[candidate].available:
            return candidate, None if candidate == requested else requested
    return requested, None
