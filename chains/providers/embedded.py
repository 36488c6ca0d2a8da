"""The model and the embeddings that ship with the service: OpenAI's wire on loopback, behind a key of their own."""

from pathlib import PurePath

from langchain_core.embeddings import Embeddings
from pydantic import SecretStr

from chains.providers.openai import OpenAIProvider
from chains.types import Capabilities, ModelInfo
from llama_service.settings import ProviderName

EMBEDDINGS_MODEL = "multilingual-e5-small"
_PLAIN_NAME = "embedded"


class EmbeddedProvider(OpenAIProvider):
    """The llama.cpp server and the embedder that `llama-service up` starts."""

    name: ProviderName = "embedded"
    continues_prefix = True  # llama.cpp does so
    embed_batch = 16  # a question waits for the batch before it

    def takes_tools(self, model: str) -> bool:
        """No: it calls what it is offered at random. A client that runs its own tools (`/v1`) may try."""
        return False

    def sees(self, model: str) -> bool:
        """No: the model that ships reads text alone."""
        return False

    @property
    def url(self) -> str | None:
        """The chat server's address."""
        return self.settings.embedded_chat_url

    @property
    def default_model(self) -> str | None:
        """The model that the server was started with, as soon as it told its name."""
        path = self.settings.embedded_model_path
        return next(iter(self._windows), path.stem if path else _PLAIN_NAME)

    @property
    def embeddings_model(self) -> str | None:
        """The multilingual E5 model, https://huggingface.co/intfloat/multilingual-e5-small."""
        return EMBEDDINGS_MODEL

    @property
    def prefixes(self) -> tuple[str, str]:
        """E5 was trained with these words before its texts."""
        return "query: ", "passage: "

    @property
    def api_key(self) -> SecretStr:
        """The key that `up` made for its children."""
        return self.settings.embedded_api_key or SecretStr("")

    def missing(self) -> str | None:
        """The chat server's address is missing where `up` did not start one."""
        return None if self.url else "the service was started without its own model (EMBEDDED_CHAT_URL)"

    def missing_for_embeddings(self) -> str | None:
        """The embedder's address is missing where `up` did not start one."""
        if self.settings.embedded_embeddings_url:
            return None
        return "the service was started without its own embeddings (EMBEDDED_EMBEDDINGS_URL)"

    def embeddings(self) -> Embeddings:
        """Return the E5 embeddings; the prefixes are for the caller to add."""
        return self._embeddings(self.settings.embedded_embeddings_url or "")

    async def list_models(self) -> list[ModelInfo]:
        """Ask for the one model; its window is what the server was started with, not what it was trained for."""
        infos: list[ModelInfo] = []
        for info in await super().list_models():
            name = PurePath(info.name).name.removesuffix(".gguf")
            infos.append(
                ModelInfo(
                    name=name,
                    size=info.size,
                    context_window=self.settings.embedded_context_tokens,
                    capabilities=Capabilities(),
                    default=not infos,
                )
            )
        self._windows = {info.name: self.settings.embedded_context_tokens for info in infos}
        return infos

    def context_window(self, model: str) -> int:
        """Return the window that the server is started with."""
        return self.settings.embedded_context_tokens
