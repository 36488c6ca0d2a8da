"""Services for a graph that runs without the API: `langgraph dev` and scripts.

They answer from the configured model and search the files of the user that the context names; the talk is kept by
whoever runs the graph.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from langgraph.config import get_stream_writer

from chains.models import ModelRegistry
from chains.plan import plan
from chains.prompts import Said
from graphs.context import ChatContext, Services
from graphs.record import Generation, TurnRecord
from llama_service.settings import ProviderName, Settings, load_settings
from persistence.search import Retrieval, Retriever, Scope
from persistence.session import Database
from persistence.vectors import VectorIndex


class _Shared:
    """What all turns of an event loop share: pooled connections to models and stores."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = ModelRegistry(settings)
        self.retriever: Retriever | None = None
        if settings.database_url is not None and settings.chroma_url is not None:
            database = Database(settings.postgres_dsn("asyncpg"), 2)
            index = VectorIndex(settings.chroma_url, settings.collection_name)
            self.retriever = Retriever(database, index, self.registry.embeddings().of_query)


class StandaloneServices:
    """A node's services where no API is around it; the state carries everything from node to node."""

    said = ""

    def __init__(self, shared: _Shared, planned: ProviderName) -> None:
        self.registry = shared.registry
        self.record = TurnRecord()
        self.budget = shared.settings.retrieval_budget_chars
        self.planned: ProviderName = planned
        self._retriever = shared.retriever

    @property
    def small(self) -> bool:
        """Whether the model that ships with the service is expected to answer."""
        return self.planned == "embedded"

    async def has_files(self) -> bool:
        """Whether there may be any."""
        return self._retriever is not None

    async def history(self) -> Sequence[Said]:
        """Return nothing: the state itself holds the talk."""
        return []

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        """Search the files of the user that the context names; nobody's where it names none."""
        if self._retriever is None or context.user_id is None:
            return Retrieval(query)
        scope = Scope(
            UUID(context.user_id),
            UUID(context.conversation_id) if context.conversation_id else None,
            [UUID(file_id) for file_id in context.file_ids] or None,
        )
        return await self._retriever.retrieve(scope, query, budget=budget)

    async def kept(self) -> None:
        """Return at once: whoever runs the graph keeps the question."""

    def say(self, text: str) -> None:
        """Hand text to whoever streams the graph with `stream_mode="custom"`."""
        self.record.parts.append(text)
        get_stream_writer()(text)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Hand an event to the same."""
        get_stream_writer()({"event": event, **data})

    async def told(self) -> None:
        """Return at once: nobody else keeps what was said."""

    async def finish(self, generation: Generation) -> None:
        """Pass an error on: here nobody else would tell it."""
        if generation.error is not None:
            raise generation.error


# The one thing that outlives a call here: `langgraph dev` gives a graph no lifespan to keep connections in.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


async def services_of(context: ChatContext | None) -> Services:
    """Return the services that the context carries, or ones made of this process's settings."""
    if context is not None and isinstance(context.services, Services):
        return context.services
    loop = asyncio.get_running_loop()
    shared = _shared.get(loop)
    if shared is None:
        shared = _shared[loop] = await asyncio.to_thread(lambda: _Shared(load_settings()))
        await shared.registry.start()
    source = context.model_source if context is not None else None
    return StandaloneServices(shared, plan(shared.settings, await shared.registry.status(), source)[0])
