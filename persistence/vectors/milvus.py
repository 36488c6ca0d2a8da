"""The vector index in Milvus, through pymilvus. See docs/decisions/0028."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import structlog
from pydantic import SecretStr
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from llama_service.errors import DependencyUnavailable
from persistence.vectors.port import IndexedPassage, VectorHit, slug

log = structlog.get_logger(__name__)

T = TypeVar("T")
_PATIENCE: Final = 30.0  # seconds for each call; without it the client tries again for minutes
_CONNECT_PATIENCE: Final = 3.0
_MADE_WITHIN: Final = 5.0  # seconds that another process may take to make a collection
_PAGE: Final = 5_000
_STRONG: Final = "Strong"  # a search sees all that was written before it
_COUNT: Final = "count(*)"


class MilvusIndex:
    """A VectorIndex in collections of a Milvus server, or a cluster. Blocking calls run in threads."""

    engine = "Milvus"

    def __init__(self, url: str, prefix: str, token: SecretStr | None = None) -> None:
        self._url = url
        self._token = token.get_secret_value() if token else ""
        # Two underscores, which no name holds: another service's `documents_test` is none of `documents`.
        self._prefix = f"{slug(prefix).replace('-', '_')}__"
        self._client: MilvusClient | None = None
        self._lock = threading.Lock()

    def _connect(self) -> MilvusClient:
        with self._lock:
            if self._client is None:
                # It writes a traceback for each refused call, beside the exception that it raises.
                logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
                self._client = MilvusClient(self._url, token=self._token, timeout=_CONNECT_PATIENCE)
            return self._client

    async def _run(self, work: Callable[[MilvusClient], T]) -> T:
        try:
            return await asyncio.to_thread(lambda: work(self._connect()))
        except (MilvusException, OSError, ValueError) as error:
            log.warning("vector_index_failed", engine=self.engine, error=type(error).__name__)
            raise DependencyUnavailable("The vector index can't be reached.") from error

    def _name(self, model: str, dimension: int) -> str:
        return f"{self._prefix}{slug(model).replace('-', '_')}_{dimension}"

    def _collections(self, client: MilvusClient) -> list[str]:
        return [name for name in client.list_collections(timeout=_PATIENCE) if name.startswith(self._prefix)]

    async def add(self, model: str, passages: Sequence[IndexedPassage]) -> None:
        """Write passages."""
        if not passages:
            return
        dimension = len(passages[0].vector)
        name = self._name(model, dimension)

        def add(client: MilvusClient) -> None:
            _make(client, name, dimension)
            rows = [
                {
                    "passage_id": str(passage.passage_id),
                    "file_id": str(passage.file_id),
                    "position": passage.position,
                    "embedding": list(passage.vector),
                }
                for passage in passages
            ]
            client.upsert(name, rows, timeout=_PATIENCE)

        await self._run(add)

    async def near(
        self, model: str, vector: Sequence[float], *, file_ids: Sequence[UUID], size: int, count: int
    ) -> list[VectorHit]:
        """Return the nearest passages, by whichever index the server chose; it filters before it searches."""
        name = self._name(model, len(vector))

        def near(client: MilvusClient) -> list[VectorHit]:
            if not client.has_collection(name, timeout=_PATIENCE):
                return []
            (found,) = client.search(
                name,
                data=[list(vector)],
                filter=_of(file_ids),
                limit=count,
                output_fields=["file_id", "position"],
                consistency_level=_STRONG,
                timeout=_PATIENCE,
            )
            return [
                VectorHit(UUID(hit["entity"]["file_id"]), int(hit["entity"]["position"]), float(hit["distance"]))
                for hit in found
            ]

        return await self._run(near) if file_ids else []

    async def remove(self, file_ids: Sequence[UUID]) -> None:
        """Delete files' passages from every collection of ours."""

        def remove(client: MilvusClient) -> None:
            for name in self._collections(client):
                client.delete(name, filter=_of(file_ids), timeout=_PATIENCE)

        if file_ids:
            await self._run(remove)

    async def counts(self) -> dict[str, int]:
        """Return the number of passages in each of our collections."""
        return await self._run(lambda client: {name: _count(client, name, "") for name in self._collections(client)})

    async def file_count(self, file_id: UUID) -> int:
        """Return how many passages of a file our collections hold."""
        return await self._run(
            lambda client: sum(_count(client, name, _of([file_id])) for name in self._collections(client))
        )

    async def file_counts(self) -> dict[UUID, int]:
        """Return how many passages of each file our collections hold."""

        def file_counts(client: MilvusClient) -> dict[UUID, int]:
            counts: dict[UUID, int] = {}
            for name in self._collections(client):
                pages = client.query_iterator(
                    name, batch_size=_PAGE, output_fields=["file_id"], consistency_level=_STRONG, timeout=_PATIENCE
                )
                while rows := pages.next():
                    for row in rows:
                        file_id = UUID(row["file_id"])
                        counts[file_id] = counts.get(file_id, 0) + 1
                pages.close()
            return counts

        return await self._run(file_counts)

    async def drop(self) -> None:
        """Delete our collections."""

        def drop(client: MilvusClient) -> None:
            for name in self._collections(client):
                client.drop_collection(name, timeout=_PATIENCE)

        await self._run(drop)

    async def ping(self) -> None:
        """Ask the server for its version."""
        await self._run(lambda client: client.get_server_version(timeout=_CONNECT_PATIENCE))

    async def close(self) -> None:
        """Close the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)


def _make(client: MilvusClient, name: str, dimension: int) -> None:
    """Make a collection where there is none. Another process may be making it: then wait for that one."""
    until = time.monotonic() + _MADE_WITHIN
    while not client.has_collection(name, timeout=_PATIENCE):
        try:
            _create(client, name, dimension)
        except MilvusException:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _create(client: MilvusClient, name: str, dimension: int) -> None:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("passage_id", DataType.VARCHAR, is_primary=True, max_length=36)
    schema.add_field("file_id", DataType.VARCHAR, max_length=36)
    schema.add_field("position", DataType.INT64)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimension)
    indexes = MilvusClient.prepare_index_params()
    indexes.add_index("embedding", index_type="AUTOINDEX", metric_type="COSINE")
    indexes.add_index("file_id", index_type="INVERTED")
    client.create_collection(name, schema=schema, index_params=indexes, consistency_level=_STRONG, timeout=_PATIENCE)


def _of(file_ids: Sequence[UUID]) -> str:
    """Return the filter of some files. An id is no text that somebody wrote: it can't say anything else."""
    return f"file_id in {json.dumps([str(file_id) for file_id in file_ids])}"


def _count(client: MilvusClient, name: str, condition: str) -> int:
    rows = client.query(name, filter=condition, output_fields=[_COUNT], consistency_level=_STRONG, timeout=_PATIENCE)
    return int(rows[0][_COUNT])
