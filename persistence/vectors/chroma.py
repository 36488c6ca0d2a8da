"""The vector index in Chroma, through langchain-chroma."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import chromadb
import httpx
import structlog
from chromadb.api import ClientAPI
from chromadb.config import Settings as ChromaSettings
from langchain_chroma import Chroma
from langchain_core.embeddings import Embeddings
from pydantic import SecretStr

from llama_service.errors import DependencyUnavailable
from persistence.vectors.port import IndexedPassage, VectorHit, slug

log = structlog.get_logger(__name__)

_PAGE = 5000
_SERVICE = "service"  # in a collection's metadata: the `COLLECTION_NAME` of the service that it belongs to


class _Given(Embeddings):
    """Hands the index vectors that were made elsewhere, by the passage's id."""

    def __init__(self) -> None:
        self.vectors: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the given vectors."""
        return [self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the given vector."""
        return self.vectors[text]


def collection_name(prefix: str, model: str, dimension: int) -> str:
    """Return the name of the collection for a model's vectors: another model never meets them."""
    return f"{prefix}-{slug(model)}-{dimension}"


def connect(url: str, token: SecretStr | None = None) -> ClientAPI:
    """Return a client of the Chroma server at `url`; `token` goes along as a bearer token. Blocks."""
    parts = urlsplit(url)
    return chromadb.HttpClient(
        host=parts.hostname or "localhost",
        port=parts.port or (443 if parts.scheme == "https" else 8000),
        ssl=parts.scheme == "https",
        headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else None,
        settings=ChromaSettings(anonymized_telemetry=False),
    )


def _owner(collection: Any) -> str | None:
    return (collection.metadata or {}).get(_SERVICE)


class ChromaIndex:
    """A VectorIndex in collections of a Chroma server. Blocking calls run in threads."""

    engine = "Chroma"

    def __init__(self, url: str, prefix: str, token: SecretStr | None = None) -> None:
        self._url = url
        self._token = token
        self._prefix = prefix
        self._stores: dict[str, Chroma] = {}
        self._client: Any = None
        self._lock = threading.Lock()

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(self._url, self._token)
            return self._client

    def _store(self, model: str, dimension: int, *, make: bool) -> Chroma:
        """Return a model's collection. Raises NotFoundError of chromadb where it is absent, unless to `make` it."""
        name = collection_name(self._prefix, model, dimension)
        client = self._connect()
        with self._lock:
            if name not in self._stores:
                self._claim(client, name)
                self._stores[name] = Chroma(
                    collection_name=name,
                    client=client,
                    embedding_function=_Given(),
                    collection_metadata={_SERVICE: self._prefix},
                    # A distributed Chroma, which has no such graphs, takes the measure for its own (SPANN).
                    collection_configuration={"hnsw": {"space": "cosine"}},
                    create_collection_if_not_exists=make,
                )
            return self._stores[name]

    def _claim(self, client: Any, name: str) -> None:
        """Mark a collection that has no mark yet, of before there were any, as ours: it is, by its whole name.

        Raises ValueError where it is another service's (`docs` with `x-model`, `docs-x` with `model`).
        """
        try:
            collection = client.get_collection(name)
        except chromadb.errors.NotFoundError:
            return
        owner = _owner(collection)
        if owner is None:
            collection.modify(metadata={_SERVICE: self._prefix})
        elif owner != self._prefix:
            raise ValueError(f"{name} is a collection of another service")

    async def _run(self, work: Any, *args: Any) -> Any:
        try:
            try:
                return await asyncio.to_thread(work, *args)
            except chromadb.errors.NotFoundError:
                # Another process has dropped the collection since this one looked it up.
                self._forget()
                return await asyncio.to_thread(work, *args)
        except (chromadb.errors.ChromaError, httpx.HTTPError, ValueError, OSError) as error:
            # A restarted or rebuilt server has other collections under the same names.
            self._forget()
            log.warning("vector_index_failed", engine=self.engine, error=type(error).__name__)
            raise DependencyUnavailable("The vector index can't be reached.") from error

    def _forget(self) -> None:
        with self._lock:
            self._stores.clear()
            self._client = None

    async def add(self, model: str, passages: Sequence[IndexedPassage]) -> None:
        """Write passages."""
        if passages:
            await self._run(self._add, model, passages)

    def _add(self, model: str, passages: Sequence[IndexedPassage]) -> None:
        store = self._store(model, len(passages[0].vector), make=True)
        ids = [str(passage.passage_id) for passage in passages]
        given = store.embeddings
        assert isinstance(given, _Given)  # noqa: S101  (set in _store)
        vectors = {id_: list(passage.vector) for id_, passage in zip(ids, passages, strict=True)}
        given.vectors.update(vectors)
        try:
            store.add_texts(
                ids,
                [{"file_id": str(p.file_id), "owner": str(p.owner), "position": p.position} for p in passages],
                ids,
            )
        finally:
            for id_ in ids:
                given.vectors.pop(id_, None)

    async def near(
        self, model: str, vector: Sequence[float], *, file_ids: Sequence[UUID], size: int, count: int
    ) -> list[VectorHit]:
        """Return the nearest passages, by a graph of everybody's that is filtered while it is walked."""
        if not file_ids:
            return []
        where: dict[str, Any] = {"file_id": {"$in": [str(file_id) for file_id in file_ids]}}
        found: list[VectorHit] = await self._run(self._near, model, vector, where, count)
        return found

    def _near(self, model: str, vector: Sequence[float], where: dict[str, Any], count: int) -> list[VectorHit]:
        try:
            store = self._store(model, len(vector), make=False)
        except chromadb.errors.NotFoundError:
            return []
        pairs = store.similarity_search_by_vector_with_relevance_scores(list(vector), k=count, filter=where)
        return [
            VectorHit(UUID(doc.metadata["file_id"]), int(doc.metadata["position"]), 1.0 - distance)
            for doc, distance in pairs
        ]

    async def remove(self, file_ids: Sequence[UUID]) -> None:
        """Delete files' passages from every collection of ours, and from those that nobody has marked yet."""
        if file_ids:
            await self._run(self._remove, {"file_id": {"$in": [str(file_id) for file_id in file_ids]}})

    def _remove(self, where: dict[str, Any]) -> None:
        for collection in self._collections(None, self._prefix):
            collection.delete(where=where)

    def _collections(self, *owners: str | None) -> list[Any]:
        # The name alone does not tell: `docs-x-model-384` begins like one of `docs`, and may be one of `docs-x`.
        named = [c for c in self._connect().list_collections() if c.name.startswith(f"{self._prefix}-")]
        return [c for c in named if _owner(c) in (owners or (self._prefix,))]

    async def counts(self) -> dict[str, int]:
        """Return the number of passages in each of our collections."""
        found: dict[str, int] = await self._run(lambda: {c.name: c.count() for c in self._collections()})
        return found

    async def file_count(self, file_id: UUID) -> int:
        """Return how many passages of a file the index holds."""

        def count() -> int:
            where: Any = {"file_id": str(file_id)}
            return sum(len(c.get(where=where, include=[])["ids"]) for c in self._collections())

        found: int = await self._run(count)
        return found

    async def file_counts(self) -> dict[UUID, int]:
        """Return how many passages of each file the index holds."""

        def count() -> dict[UUID, int]:
            counts: dict[UUID, int] = {}
            for collection in self._collections():
                offset = 0
                while rows := collection.get(include=["metadatas"], limit=_PAGE, offset=offset)["metadatas"]:
                    for row in rows:
                        file_id = UUID(row["file_id"])
                        counts[file_id] = counts.get(file_id, 0) + 1
                    offset += len(rows)
            return counts

        found: dict[UUID, int] = await self._run(count)
        return found

    async def drop(self) -> None:
        """Delete all of our collections."""

        def drop() -> None:
            client = self._connect()
            for collection in self._collections():
                client.delete_collection(collection.name)
            with self._lock:
                self._stores.clear()

        await self._run(drop)

    async def ping(self) -> None:
        """Ask the server whether it is there."""
        await self._run(lambda: self._connect().heartbeat())

    async def close(self) -> None:
        """Do nothing: Chroma's client (1.5) keeps its connections until the process ends, closed or not."""
