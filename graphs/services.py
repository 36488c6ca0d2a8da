"""The services of a node: those that came with the run, or ones made of this process's settings.

The latter are for a graph without the API around it (`langgraph dev`, scripts). They answer from the configured model
and search the files of the user that the context names; whoever runs the graph keeps the conversation.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID
from weakref import WeakKeyDictionary

from langchain_core.messages import AnyMessage

from chains.models import ModelRegistry
from chains.plan import plan
from chains.profile import AnswerPlan
from graphs.context import ChatContext, TurnServices
from graphs.record import TurnRecord
from graphs.state import AnswerInfo, SourceReference
from llama_service.errors import error_of
from llama_service.settings import Settings, load_settings
from persistence.passages import load_passages
from persistence.search import Found, Retrieval, Retriever, Scope
from persistence.session import Database
from persistence.vectors import VectorIndex


class _Process:
    """What all turns of an event loop share: pooled connections to models and stores."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = ModelRegistry(settings)
        self.database: Database | None = None
        self.retriever: Retriever | None = None
        if settings.database_url is not None and settings.chroma_url is not None:
            self.database = Database(settings.postgres, 2)
            index = VectorIndex(settings.chroma_url, settings.collection_name, settings.chroma_token)
            self.retriever = Retriever(self.database, index, self.models.embeddings().of_query)


class _Files:
    def __init__(self, process: _Process, user_id: str | None) -> None:
        self._retriever = process.retriever
        self._database = process.database
        self._user_id = UUID(user_id) if user_id else None

    async def has_files(self) -> bool:
        return self._retriever is not None and self._user_id is not None

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        if self._retriever is None or self._user_id is None:
            return Retrieval(query)
        conversation = UUID(context.conversation_id) if context.conversation_id else None
        named = [UUID(file_id) for file_id in context.file_ids] or None
        scope = Scope(self._user_id, conversation, named, context.search_library)
        return await self._retriever.retrieve(scope, query, budget=budget)

    async def load(self, sources: Sequence[SourceReference]) -> list[Found]:
        if self._database is None or self._user_id is None:
            return []
        return await load_passages(self._database, self._user_id, sources)


class _NoBranch:
    async def recent(self, message_id: str) -> list[AnyMessage]:
        return []


class _Unkept:
    unfinished = ""

    async def question_committed(self) -> None:
        return None

    async def save(self, text: str, info: AnswerInfo, checkpoint_id: str | None) -> None:
        if error := info.get("error"):
            raise error_of(error["code"], error["message"])


# The one thing that outlives a call here: `langgraph dev` gives a graph no lifespan to keep connections in.
_processes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Process] = WeakKeyDictionary()


async def services_of(context: ChatContext | None) -> TurnServices:
    """Return the services that came with the run, or the process's own."""
    if context is not None and isinstance(context.services, TurnServices):
        return context.services
    loop = asyncio.get_running_loop()
    process = _processes.get(loop)
    if process is None:
        process = _processes[loop] = await asyncio.to_thread(lambda: _Process(load_settings()))
        await process.models.start()
    source = context.model_source if context is not None else None
    provider, fallback_from = plan(process.settings, await process.models.status(), source)
    model = process.models.default_model(provider) or provider
    return TurnServices(
        models=process.models,
        plan=AnswerPlan(provider, model, source, context.model_name if context else None, fallback_from),
        files=_Files(process, context.user_id if context else None),
        branch=_NoBranch(),
        answer=_Unkept(),
        record=TurnRecord(),
        source_budget=process.settings.retrieval_budget_chars,
    )
