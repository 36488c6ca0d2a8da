"""Who is going to answer, as far as one can know before asking."""

from collections.abc import Mapping, Sequence

from chains.models import ModelCandidate
from chains.types import ProviderStatus
from llama_service.settings import ProviderName


def expected(
    candidates: Sequence[ModelCandidate], status: Mapping[ProviderName, ProviderStatus]
) -> tuple[ProviderName, ModelCandidate]:
    """Return the provider that is expected to take a turn, and its candidate (`ModelRegistry.candidates`).

    That is the first whose source answered its last probe; where none did, the first, whose error is then the one that
    is told.
    """
    for candidate in candidates:
        if candidate.source == "local":
            return ("ollama" if status["ollama"].available else "embedded"), candidate
        if status[candidate.source].available:
            return candidate.source, candidate
    first = candidates[0]
    assert first.source != "local"  # noqa: S101  (returned above)
    return first.source, first
