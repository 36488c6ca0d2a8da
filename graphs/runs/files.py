"""The caller's files, as a run searches them."""

from collections.abc import Sequence
from uuid import UUID

from graphs.context import ChatContext
from graphs.state import SourceReference
from persistence.passages import load_passages
from persistence.search import Found, Retrieval, Retriever, Scope
from persistence.session import Database


class CallerFiles:
    """Search within the files that a turn's caller may see. `has_any` is known when the question is committed."""

    def __init__(
        self,
        retriever: Retriever,
        database: Database,
        user_id: UUID | None,
        conversation_id: UUID,
        patience: float,
        *,
        has_any: bool = True,
    ) -> None:
        self.has_any = has_any
        self._retriever = retriever
        self._database = database
        self._user_id = user_id
        self._conversation_id = conversation_id
        self._patience = patience

    async def has_files(self) -> bool:
        """Return whether the caller has any files."""
        return self._user_id is not None and self.has_any

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        """Return the passages for a query within the turn's scope, `budget` in characters."""
        if self._user_id is None:
            return Retrieval(query)
        named = [UUID(file_id) for file_id in context.file_ids] or None
        scope = Scope(self._user_id, self._conversation_id, named, context.search_library)
        return await self._retriever.retrieve(scope, query, budget=budget, wait=self._patience)

    async def load(self, sources: Sequence[SourceReference]) -> list[Found]:
        """Return referenced passages with their texts, those that the caller may still see."""
        return await load_passages(self._database, self._user_id, sources) if self._user_id else []
