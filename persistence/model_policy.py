"""Which models somebody may ask, as those who ask models see it; `persistence.model_rules` keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from llama_service.settings import ModelSource


@dataclass(frozen=True, slots=True)
class AllowedModel:
    """A model that may be asked; without a name every model of the source."""

    source: ModelSource
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """What the rules of somebody's groups say of models.

    `allowed` is None where every model may be asked. `default` answers where nobody names a model. `system_prompt`
    stands before every prompt, whatever else is asked for.
    """

    allowed: Sequence[AllowedModel] | None = None
    default: AllowedModel | None = None
    system_prompt: str | None = None

    def allows(self, source: str, name: str | None) -> bool:
        """Whether a model of a provider may be asked."""
        if self.allowed is None:
            return True
        return any(model.source == source and model.name in (None, name) for model in self.allowed)

    def first_of(self, source: str) -> str | None:
        """Return the first model of a provider that is allowed by its name."""
        return next((model.name for model in self.allowed or () if model.source == source), None)


EVERY_MODEL = ModelAccess()


class ModelPolicy(Protocol):
    """Tells what is allowed to whom, and what administrators say of prices; both known for some seconds."""

    async def access(self, user_id: UUID | None) -> ModelAccess:
        """Return what somebody may ask, None being who is not signed in."""
        ...

    async def prices(self) -> Mapping[str, tuple[float, float]]:
        """Return US dollars for a million tokens in and out, by `source/model`."""
        ...
