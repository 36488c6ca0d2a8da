"""A model that reads question and passage together, behind an address that the operator sets (`RERANK_URL`).

The wire is Cohere's and Jina's, which vLLM and Infinity speak too; a server that refuses it is asked in TEI's.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import structlog

from chains.providers.wire import Call, Refused, Wire
from llama_service.errors import AppError, ProviderBadAnswer
from llama_service.settings import Settings

log = structlog.get_logger(__name__)

SECONDS = 3.0
"""A question does not wait longer: the order of words and vectors is good enough."""
_REST = 30.0  # seconds for which a server that failed is not asked again


class Reranker:
    """Scores passages for a question. One object for the process."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        address = settings.rerank_url or ""
        self._url = address if address.endswith("/rerank") else f"{address}/rerank"
        self._model = settings.rerank_model
        self._key = settings.rerank_api_key
        self._wire = wire
        self._speaks_tei = False
        self._rests_until = 0.0

    async def scores(self, question: str, passages: Sequence[str]) -> list[float] | None:
        """Return a score for each passage, higher is better; None where the server does not answer as it should."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            return await self._ask(question, passages)
        except AppError as error:
            self._rests_until = time.monotonic() + _REST
            log.warning("rerank_failed", code=error.code)
            return None

    async def _ask(self, question: str, passages: Sequence[str]) -> list[float]:
        try:
            return _scores(await self._send(question, passages), len(passages))
        except Refused as refused:
            if self._speaks_tei or refused.status not in (400, 422):
                raise refused.error from None
        self._speaks_tei = True
        try:
            return _scores(await self._send(question, passages), len(passages))
        except Refused as refused:
            self._speaks_tei = False
            raise refused.error from None

    async def _send(self, question: str, passages: Sequence[str]) -> Any:
        payload: dict[str, Any] = {"query": question}
        if self._speaks_tei:
            payload |= {"texts": list(passages), "truncate": True}
        else:
            payload |= {"documents": list(passages), "top_n": len(passages)}
        if self._model and not self._speaks_tei:
            payload["model"] = self._model
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"} if self._key else {}
        return await self._wire.json(Call(self._url, payload, headers), within=SECONDS)


def _scores(answer: Any, count: int) -> list[float]:
    """Return the scores in the order of the passages. Raises ProviderBadAnswer where one is missing or no number."""
    rows = answer.get("results") if isinstance(answer, dict) else answer
    found: dict[int, float] = {}
    for row in rows if isinstance(rows, list) else ():
        index = row.get("index") if isinstance(row, dict) else None
        score = row.get("relevance_score", row.get("score")) if isinstance(row, dict) else None
        if isinstance(index, int) and isinstance(score, int | float) and math.isfinite(score):
            found[index] = float(score)
    if set(found) != set(range(count)):
        raise ProviderBadAnswer
    return [found[index] for index in range(count)]
