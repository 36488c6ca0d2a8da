"""The services of a node: those that came with the run, or ones made of this process's settings.

The latter are for a graph without the API around it (`langgraph dev`, scripts). They answer from the configured model
and search the files of the user that the context names; whoever runs the graph keeps the conversation.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from langchain_core.messages import AnyMessage

from chains.models import ModelRegistry
from chains.plan import expected
from chains.profile import AnswerPlan
from graphs.context import ChatContext, FileSearch, TurnServices
from graphs.files import CallerFiles, Reach
from graphs.record import TurnRecord
from graphs.state import AnswerInfo
from graphs.toolbox import Toolbox
from graphs.tools import BUILT_IN
from llama_service.errors import BadRequest, error_of
from llama_service.settings import Settings, load_settings
from persistence.model_policy import EVERY_MODEL
from persistence.personal import NOTHING_SAID
from persistence.search import Retriever, Scope, ScopeFile
from persistence.session import Database
from persistence.tool_calls import CallRecord
from persistence.vectors import open_index


class _Process:
    """What all turns of an event loop share: pooled connections to models and stores."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = ModelRegistry(settings)
        self.database: Database | None = None
        self.retriever: Retriever | None = None
        has_index = settings.vector_engine != "chroma" or settings.chroma_url is not None
        if settings.database_url is not None and has_index:
            self.database = Database(settings.postgres, 2)
            index = open_index(settings, self.database)
            self.retriever = Retriever(self.database, index, self.models.embeddings(), self.models.reranker())


class _NoTables:
    async def query(self, files: Sequence[ScopeFile], sql: str | None) -> str:
        raise BadRequest("Tables can be asked where the service runs, not here.")


def _files(process: _Process, context: ChatContext | None) -> FileSearch:
    reach = None
    if process.retriever is not None and process.database is not None and context is not None and context.user_id:
        conversation = UUID(context.conversation_id) if context.conversation_id else None
        named = [UUID(file_id) for file_id in context.file_ids] or None
        libraries = [UUID(library_id) for library_id in context.library_ids] or None
        scope = Scope(UUID(context.user_id), conversation, named, context.search_library, libraries)
        reach = Reach(process.retriever, process.database, scope)
    return CallerFiles(reach, _NoTables(), None, patience=0)


class _UnkeptCalls:
    """Calls that are written down nowhere: each run of the node makes them again."""

    async def begin(self, calls: Sequence[tuple[str, str, str]], checkpoint_id: str | None) -> Mapping[str, CallRecord]:
        return {id_: CallRecord(id_, status, None, is_new=True) for id_, _, status in calls}

    async def set(self, call_id: str, status: str, result: dict[str, Any] | None) -> None:
        return None


class _NoBranch:
    async def recent(self, message_id: str) -> list[AnyMessage]:
        return []


class _Unkept:
    unfinished = ""
    personal = NOTHING_SAID

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
    name = context.model_name if context else None
    provider, chosen = expected(process.models.candidates(source, name), await process.models.status())
    model = chosen.name or process.models.default_model(provider) or provider
    return TurnServices(
        models=process.models,
        access=EVERY_MODEL,
        plan=AnswerPlan(provider, model, source, name, chosen.fallback_from),
        files=_files(process, context),
        branch=_NoBranch(),
        answer=_Unkept(),
        tools=Toolbox({spec.name: spec for spec in BUILT_IN if context is not None and spec.name in context.tools}),
        calls=_UnkeptCalls(),
        memory=None,
        record=TurnRecord(),
        source_budget=process.settings.retrieval_budget_chars,
    )
