"""The embeddings that the index is made of: one source's, with its prefixes, under the policy of all calls."""

import asyncio
from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from chains.providers.base import Provider
from chains.resilience import Policy
from chains.types import Target
from llama_service.errors import ProviderTimeout
from llama_service.settings import ProviderName

QUESTION_SECONDS = 20.0
"""A question that takes longer to embed is better searched by its words alone."""


class EmbeddingsHandle:
    """Embeddings by name and size. `embeddings` is LangChain's; its asynchronous methods follow the policy."""

    def __init__(self, provider: Provider, policy: Policy) -> None:
        self.source: ProviderName = provider.name
        self.model = provider.embeddings_model or ""
        self.query_prefix, self.passage_prefix = provider.prefixes
        self.known_dimension: int | None = None
        self.embeddings: Embeddings = GuardedEmbeddings(self, provider, policy)

    async def of_query(self, text: str) -> tuple[str, Sequence[float]]:
        """Return the name of the model and the vector of a question. Raises an AppError."""
        return self.model, await self.embeddings.aembed_query(text)

    async def of_passages(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return the vector of each text as a passage, in order. Raises an AppError."""
        return await self.embeddings.aembed_documents(list(texts))

    async def dimension(self) -> int:
        """Return the length of a vector; asks the provider where none was seen yet. Raises an AppError."""
        if self.known_dimension is None:
            self.known_dimension = len(await self.embeddings.aembed_query("dimension"))
        return self.known_dimension


class GuardedEmbeddings(Embeddings):
    """Prefixes, batches and the policy around a provider's embeddings."""

    def __init__(self, handle: EmbeddingsHandle, provider: Provider, policy: Policy) -> None:
        self._handle = handle
        self._provider = provider
        self._policy = policy
        self._raw: Embeddings | None = None

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each passage, in order. Raises an AppError."""
        prefixed = [self._handle.passage_prefix + text for text in texts]
        vectors: list[list[float]] = []
        step = self._provider.embed_batch
        for begin in range(0, len(prefixed), step):
            vectors += await self._call(prefixed[begin : begin + step])
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a question. Raises an AppError."""
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                return (await self._call([self._handle.query_prefix + text]))[0]
        except TimeoutError as error:
            raise ProviderTimeout from error

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each passage, for synchronous callers; without the policy."""
        return self._ready().embed_documents([self._handle.passage_prefix + text for text in texts])

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question, for synchronous callers; without the policy."""
        return self._ready().embed_documents([self._handle.query_prefix + text])[0]

    async def _call(self, texts: Sequence[str]) -> list[list[float]]:
        raw = await asyncio.to_thread(self._ready) if self._raw is None else self._raw
        source = self._handle.source
        target = Target(source, self._handle.model, source)
        vectors = await self._policy.call(f"{source}:embeddings", target, lambda: raw.aembed_documents(list(texts)))
        if vectors:
            self._handle.known_dimension = len(vectors[0])
        return vectors

    def _ready(self) -> Embeddings:
        self._provider.require(self._provider.missing_for_embeddings())
        if self._raw is None:
            self._raw = self._provider.embeddings()
        return self._raw
