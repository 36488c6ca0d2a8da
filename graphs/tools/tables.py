"""Ask sheets and CSV files with SQL: the tables that there are, and one query over them."""

from typing import Annotated

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from pydantic import Field

from graphs.tools.spec import ToolContext, ToolFailed, ToolSpec, find_files
from llama_service.errors import AppError
from persistence.search import ScopeFile

_SHEETS = "spreadsheet", "excel", "csv", "tab-separated"
_MOST_FILES = 20


async def _tables(turn: ToolContext, file: str | None) -> list[ScopeFile]:
    sheets = [found for found in await turn.files.list_files() if any(kind in found.mime for kind in _SHEETS)]
    if not sheets:
        raise ToolFailed("There is no spreadsheet or CSV file in this conversation.")
    return find_files(sheets, file)[:_MOST_FILES]


async def _answer(turn: ToolContext, file: str | None, sql: str | None) -> tuple[str, list[ScopeFile]]:
    files = await _tables(turn, file)
    try:
        return await turn.files.query(files, sql), files
    except AppError as error:
        # What the engine says of a query quotes cells and names of columns.
        raise ToolFailed(error.message, files) from None


async def list_tables(
    config: RunnableConfig,
    file: Annotated[str | None, Field(description="Only files whose name contains this")] = None,
) -> tuple[str, list[ScopeFile]]:
    """List the tables in the user's spreadsheets and CSV files, with their columns, types and first rows."""
    return await _answer(ToolContext.of(config), file, None)


async def query_table(
    sql: Annotated[str, Field(description="One SELECT statement in DuckDB's SQL", min_length=1, max_length=10_000)],
    config: RunnableConfig,
    file: Annotated[str | None, Field(description="Only files whose name contains this")] = None,
) -> tuple[str, list[ScopeFile]]:
    """Compute an exact answer from the user's spreadsheets and CSV files. Call list_tables first for their columns."""
    return await _answer(ToolContext.of(config), file, sql)


LIST_SPEC = ToolSpec(
    StructuredTool.from_function(coroutine=list_tables, response_format="content_and_artifact"), title="List tables"
)
QUERY_SPEC = ToolSpec(
    StructuredTool.from_function(coroutine=query_table, response_format="content_and_artifact"), title="Ask a table"
)
