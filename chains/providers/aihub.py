"""AI HUB: a hub of models behind a Keycloak sign-in.

The wire lies in `aihub_token` (signing in), `aihub_exchange` (in the name of whoever chats), `aihub_access` (signed-in
calls), `aihub_limits` (what the hub takes) and `aihub_wire` (its answers); LangChain's chat model in `aihub_chat`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import structlog
from langchain_core.embeddings import Embeddings

from chains.providers.aihub_access import Access
from chains.providers.aihub_chat import DEFAULT_MAX_TOKENS, ChatAIHub
from chains.providers.aihub_exchange import ExchangedTokens, SubjectTokens
from chains.providers.aihub_limits import MAX_PROMPT_CHARS
from chains.providers.aihub_token import Account
from chains.providers.base import Provider
from chains.providers.own_loop import in_own_loop
from chains.providers.vectors import vectors_of
from chains.providers.wire import Wire
from chains.types import Capabilities, ModelInfo
from llama_service.errors import ProviderBadAnswer
from llama_service.settings import ProviderName, Settings

__all__ = ["AIHubEmbeddings", "AIHubProvider", "ChatAIHub"]

log = structlog.get_logger(__name__)

_EMBED_AT_ONCE = 8
_PROMPT_TOKENS = MAX_PROMPT_CHARS // 4


class AIHubEmbeddings(Embeddings):
    """Embeddings of an AI HUB, which takes one text a call: up to 8 calls run side by side."""

    def __init__(self, access: Access, model: str) -> None:
        self.model = model
        self._access = access

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, in order. Raises an AppError."""
        places = asyncio.Semaphore(_EMBED_AT_ONCE)

        async def embed(text: str) -> list[float]:
            async with places:
                return await self.aembed_query(text)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(embed(text)) for text in texts]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return vectors_of([task.result() for task in tasks], count=len(texts))

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a text. Raises an AppError."""
        path = f"models/{quote(self.model, safe='')}/embed"
        return vectors_of([_vector(await self._access.json(path, {"input": text}))], count=1)[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, for synchronous callers."""
        alone = AIHubEmbeddings(Access(self._access.hub_url, self._access.account), self.model)
        return in_own_loop(lambda: alone.aembed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text, for synchronous callers."""
        return self.embed_documents([text])[0]


def _vector(answer: Any) -> Any:
    """Return the vector under `embeddings[0]`, `embedding` or `data[0].embedding`."""
    try:
        if answer.get("embeddings"):
            return answer["embeddings"][0]
        return answer["embedding"] if "embedding" in answer else answer["data"][0]["embedding"]
    except (LookupError, TypeError, AttributeError) as error:
        raise ProviderBadAnswer from error


class AIHubProvider(Provider):
    """The hub at `AIHUB_URL`."""

    name: ProviderName = "aihub"
    has_tools = False
    assumed_window = _PROMPT_TOKENS

    def __init__(self, settings: Settings, wire: Wire, subjects: SubjectTokens | None = None) -> None:
        super().__init__(settings, wire)
        self._first_model: str | None = None
        secret, password = settings.aihub_client_secret, settings.aihub_password
        account = Account(
            token_url=settings.aihub_keycloak_host or "",
            client_id=settings.aihub_client_id or "",
            client_secret=secret.get_secret_value() if secret else "",
            username=settings.aihub_username,
            password=password.get_secret_value() if password else None,
            verify_tls=settings.aihub_verify_ssl,
        )
        exchanged = None
        if settings.aihub_as_user and subjects is not None:
            exchanged = ExchangedTokens(account, subjects, settings.aihub_audience)
        self._access = Access(settings.aihub_url or "", account, wire, exchanged)

    @property
    def url(self) -> str | None:
        """The hub's address."""
        return self.settings.aihub_url

    @property
    def default_model(self) -> str | None:
        """`AIHUB_MODEL`, else the first that the hub lists."""
        return self.settings.aihub_model or self._first_model

    @property
    def embeddings_model(self) -> str | None:
        """`AIHUB_EMBED_MODEL`."""
        return self.settings.aihub_embed_model

    def missing(self) -> str | None:
        """Name the settings without which nobody can sign in."""
        needed = {
            "AIHUB_URL": self.settings.aihub_url,
            "AIHUB_KEYCLOAK_HOST": self.settings.aihub_keycloak_host,
            "AIHUB_CLIENT_ID": self.settings.aihub_client_id,
        }
        names = [name for name, value in needed.items() if not value]
        return f"{', '.join(names)} not set" if names else None

    def missing_for_embeddings(self) -> str | None:
        """Besides signing in, the model has to be named."""
        return self.missing() or (None if self.embeddings_model else "AIHUB_EMBED_MODEL not set")

    def warn(self) -> None:
        """Log, once at the start, that the hub's certificate is not checked."""
        if self.missing() is None and not self.settings.aihub_verify_ssl:
            log.warning("aihub_tls_not_verified", hint="set AIHUB_VERIFY_SSL=true")

    def chat_model(self, name: str) -> ChatAIHub:
        """Return the model of this name."""
        return ChatAIHub.over(self._access, name, stream_path=self.settings.aihub_chat_stream_path)

    def embeddings(self) -> Embeddings:
        """Return embeddings of `AIHUB_EMBED_MODEL`."""
        return AIHubEmbeddings(self._access, self.embeddings_model or "")

    async def list_models(self) -> list[ModelInfo]:
        """Ask for the chat models and their limits."""
        answer = await self._access.json("models?type=chatbot", within=self.settings.provider_probe_timeout)
        rows = answer.get("models") if isinstance(answer, dict) else answer
        if not isinstance(rows, list):
            raise ProviderBadAnswer
        told = [row if isinstance(row, dict) else {"id": row} for row in rows]
        named = [(name, row) for row in told if (name := row.get("id") or row.get("name"))]
        if named:
            self._first_model = str(named[0][0])
        infos = [self._info(str(name), row) for name, row in named]
        self._windows.update({info.name: info.context_window for info in infos if info.context_window})
        return infos

    def _info(self, name: str, row: Mapping[str, Any]) -> ModelInfo:
        window = _number(row.get("contextWindow") or row.get("maxInputTokens"))
        return ModelInfo(
            name=name,
            context_window=min(window or _PROMPT_TOKENS, _PROMPT_TOKENS),
            max_output_tokens=_number(row.get("maxOutputTokens")) or DEFAULT_MAX_TOKENS,
            capabilities=Capabilities(streaming=bool(self.settings.aihub_chat_stream_path)),
            default=name == self.default_model,
        )


def _number(told: object) -> int | None:
    return int(str(told)) if str(told).isdigit() else None
