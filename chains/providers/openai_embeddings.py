"""Embeddings over OpenAI's wire, read by our own pooled session."""

from typing import Any

from langchain_openai import OpenAIEmbeddings
from pydantic import ConfigDict, Field, SecretStr

from chains.providers.vectors import ordered, vectors_of
from chains.providers.wire import Call, Refused, Wire, borrowed


class LeanOpenAIEmbeddings(OpenAIEmbeddings):
    """LangChain's OpenAIEmbeddings; the asynchronous calls go over `wire`, `chunk_size` texts at a time."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    wire: Wire | None = Field(default=None, exclude=True, repr=False)

    async def aembed_documents(
        self, texts: list[str], chunk_size: int | None = None, **kwargs: Any
    ) -> list[list[float]]:
        """Return a vector for each text, in order. Raises an AppError."""
        step = chunk_size or self.chunk_size
        vectors: list[list[float]] = []
        async with borrowed(self.wire) as wire:
            for begin in range(0, len(texts), step):
                vectors += await self._embed(wire, texts[begin : begin + step])
        return vectors

    async def aembed_query(self, text: str, **kwargs: Any) -> list[float]:
        """Return the vector of a text. Raises an AppError."""
        return (await self.aembed_documents([text]))[0]

    async def _embed(self, wire: Wire, texts: list[str]) -> list[list[float]]:
        payload: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        if self.dimensions is not None:
            payload["dimensions"] = self.dimensions
        headers = {}
        if isinstance(self.openai_api_key, SecretStr) and (key := self.openai_api_key.get_secret_value()):
            headers["Authorization"] = f"Bearer {key}"
        try:
            answer = await wire.json(Call(f"{self.openai_api_base}/embeddings", payload, headers))
        except Refused as refusal:
            raise refusal.error from None
        return vectors_of(ordered(answer), count=len(texts))
