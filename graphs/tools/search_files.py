"""Search the files of the conversation, as retrieval does, with filters."""

from typing import Annotated

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from pydantic import Field

from graphs.tools.spec import ToolContext, ToolFailed, ToolSpec, find_files
from persistence.search import Found

_WIDER = 8  # times the budget is searched where a filter takes passages away


async def search_files(
    query: Annotated[str, Field(description="What to look for: a question or words", min_length=1, max_length=1000)],
    config: RunnableConfig,
    file: Annotated[str | None, Field(description="Only files whose name contains this")] = None,
    page: Annotated[int | None, Field(description="Only this page (PDF, slides)")] = None,
    heading: Annotated[str | None, Field(description="Only below headings that contain this")] = None,
) -> tuple[str, list[Found]]:
    """Search the user's files for passages about something. Returns numbered passages that can be cited."""
    turn = ToolContext.of(config)
    named = [found.id for found in find_files(await turn.files.list_files(), file)] if file else []
    narrowed = page is not None or heading is not None
    found = await turn.files.search(query, named, turn.budget * _WIDER if narrowed else turn.budget)
    wanted = (heading or "").casefold()
    fitting = [
        passage
        for passage in found
        if (page is None or passage.page == page) and wanted in (passage.heading or "").casefold()
    ]
    kept: list[Found] = []
    left = turn.budget
    for passage in fitting:
        left -= len(passage.text)
        if kept and left < 0:
            break
        kept.append(passage)
    if not kept:
        raise ToolFailed("Nothing was found.")
    return f"{len(kept)} passages were found.", kept


SPEC = ToolSpec(
    StructuredTool.from_function(coroutine=search_files, response_format="content_and_artifact"),
    title="Search files",
)
