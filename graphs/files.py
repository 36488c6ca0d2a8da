"""The caller's files, as a run searches and reads them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from graphs.context import ChatContext
from graphs.pictures import PictureReader
from graphs.state import SourceReference
from persistence.passages import FilePart, load_passages, read_part
from persistence.relevance import MessageKind
from persistence.search import Found, Retrieval, Retriever, Scope, ScopeFile, came_with, list_files
from persistence.session import Database
from persistence.withheld import withhold


class Tables(Protocol):
    """Sheets and CSV files, as something answers queries over them."""

    async def query(self, files: Sequence[ScopeFile], sql: str | None) -> str:
        """Return the rows of one SELECT, or a list of the tables. Raises BadRequest."""
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """What a turn may see of the files, and where they are found."""

    retriever: Retriever
    database: Database
    scope: Scope


class CallerFiles:
    """The files that a turn's caller may see, as far as its `reach`; None for a caller who has none.

    `has_any` is known when the question is committed.
    """

    def __init__(
        self,
        reach: Reach | None,
        tables: Tables,
        pictures: PictureReader | None,
        patience: float,
        *,
        has_any: bool = True,
    ) -> None:
        self.has_any = has_any
        self._reach = reach
        self._tables = tables
        self._pictures = pictures
        self._patience = patience

    async def has_files(self) -> bool:
        """Return whether the caller has any files."""
        return self._reach is not None and self.has_any

    async def retrieve(self, query: str, context: ChatContext, budget: int) -> Retrieval:
        """Return the passages for a query within the turn's scope, `budget` in characters."""
        if self._reach is None:
            return Retrieval(query)
        return await self._reach.retriever.retrieve(self._reach.scope, query, budget=budget, wait=self._patience)

    async def kind_of(self, message: str) -> MessageKind | None:
        """Return what a message asks for, None where nothing tells."""
        return await self._reach.retriever.kind_of(message) if self._reach else None

    async def came_with(self, message_id: str | None) -> bool:
        """Return whether files were attached with this question."""
        if self._reach is None or message_id is None:
            return False
        return await came_with(self._reach.database, self._reach.scope, UUID(message_id))

    async def load(self, sources: Sequence[SourceReference]) -> list[Found]:
        """Return referenced passages with their texts, those that the caller may still see."""
        reach = self._reach
        return await load_passages(reach.database, reach.scope.user_id, sources) if reach else []

    async def may_read(self, file_ids: Collection[str], *, shared: bool) -> bool:
        """Whether the caller may still read each of these files; one that is gone counts where it was another's."""
        if self._reach is None or not file_ids:
            return not file_ids
        record = {"file_ids": list(file_ids), "content": "any", "shared": shared}
        async with self._reach.database.reading() as session:
            return await withhold(session, self._reach.scope.user_id, record) is record

    async def list_files(self) -> list[ScopeFile]:
        """Return the files, newest first."""
        return await list_files(self._reach.database, self._reach.scope) if self._reach else []

    async def search(self, query: str, file_ids: Sequence[UUID], budget: int) -> list[Found]:
        """Return passages, best first, of these files (of the scope) or, without any, of all."""
        if self._reach is None:
            return []
        scope = replace(self._reach.scope, file_ids=file_ids, library_ids=None) if file_ids else self._reach.scope
        return (await self._reach.retriever.retrieve(scope, query, budget=budget)).sources

    async def read(
        self, file_id: UUID, *, page: int | None, heading: str | None, position: int, budget: int
    ) -> FilePart:
        """Return passages of a file in their order."""
        if self._reach is None:
            return FilePart([], None)
        return await read_part(
            self._reach.database,
            self._reach.scope,
            file_id,
            page=page,
            heading=heading,
            position=position,
            budget=budget,
        )

    async def query(self, files: Sequence[ScopeFile], sql: str | None) -> str:
        """Return the rows that a query gives over the tables of files, or a list of these. Raises BadRequest."""
        return await self._tables.query(files, sql)

    async def picture(self, file_id: str) -> tuple[str, bytes] | None:
        """Return media type and bytes of a picture, None where the file is gone or somebody else's."""
        if self._reach is None or self._pictures is None:
            return None
        return await self._pictures.read(self._reach.scope.user_id, UUID(file_id))

    async def picture_text(self, file_id: str) -> str | None:
        """Return the text that was recognised in a picture, None where there is none."""
        if self._reach is None or self._pictures is None:
            return None
        found = await self._pictures.texts(self._reach.scope.user_id, [UUID(file_id)], 0)
        return found.get(UUID(file_id))
