"""What every provider brings; the registry knows no more of them than this."""

from abc import ABC, abstractmethod

from langchain_core.embeddings import Embeddings

from chains.faults import NotConfigured
from chains.providers.lean import LeanModel
from chains.providers.wire import Limits, Wire
from chains.types import ModelInfo
from llama_service.settings import ProviderName, Settings


class Provider(ABC):
    """One provider of models, made from the settings. Making one opens nothing."""

    name: ProviderName

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self.settings = settings
        self.wire = wire
        self.limits = Limits.of(settings)
        self._windows: dict[str, int] = {}
        self._without_tools: set[str] = set()

    @property
    @abstractmethod
    def url(self) -> str | None:
        """The address that is asked, None where none is set."""

    @property
    @abstractmethod
    def default_model(self) -> str | None:
        """The model that answers where a request names none; None where the provider's first one does."""

    @property
    @abstractmethod
    def embeddings_model(self) -> str | None:
        """The model of `embeddings`."""

    @abstractmethod
    def missing(self) -> str | None:
        """Return what the operator has to set before chat works, None where nothing is missing."""

    @abstractmethod
    def chat_model(self, name: str) -> LeanModel:
        """Make LangChain's model of this name. It takes some milliseconds: keep it."""

    @abstractmethod
    def embeddings(self) -> Embeddings:
        """Return LangChain's embeddings of this provider."""

    @abstractmethod
    async def list_models(self) -> list[ModelInfo]:
        """Ask for the chat models. Raises an AppError."""

    @property
    def is_official(self) -> bool:
        """Whether the address is OpenAI's own service, whose models and prices are known."""
        return False

    def warn(self) -> None:  # noqa: B027  (most providers have nothing to warn of)
        """Log, once at the start, what the operator should know."""

    async def probe(self) -> None:
        """Find out whether the provider answers; raise an AppError where not."""
        await self.list_models()

    def missing_for_embeddings(self) -> str | None:
        """Return what the operator has to set before embeddings work."""
        return self.missing()

    @property
    def prefixes(self) -> tuple[str, str]:
        """What the embeddings' model wants before a query and before a passage."""
        return "", ""

    def context_window(self, model: str) -> int:
        """Return how many tokens `model` reads, as told by the provider or assumed."""
        return self._windows.get(model, self.assumed_window)

    def takes_tools(self, model: str) -> bool:
        """Whether tools may be offered to `model`: the wire has them, and nobody told that the model has none."""
        return self.has_tools and model not in self._without_tools

    def sees(self, model: str) -> bool:
        """Whether pictures may be shown to `model`, as far as that is known."""
        return False

    assumed_window: int = 8192
    """Tokens that a model reads where nobody tells."""
    continues_prefix: bool = False
    """Whether an unfinished answer at the prompt's end is gone on with, token by token, rather than replied to."""
    has_tools: bool = True
    """Whether the wire has tools at all."""
    embed_batch: int = 64
    """Texts that one call embeds: small enough for a repeat to be cheap, large enough for a GPU."""

    def require(self, missing: str | None) -> None:
        """Raise NotConfigured with a sentence about what is `missing`, if anything is."""
        if missing:
            raise NotConfigured(f"The model source “{self.name}” is not set up on this server: {missing}.")
