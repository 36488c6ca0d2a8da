"""Read a part of a file: a page, what is below a heading, or from a place on."""

from typing import Annotated

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from pydantic import Field

from graphs.tools.spec import ToolContext, ToolFailed, ToolSpec, find_files
from persistence.search import Found


async def read_file(
    file: Annotated[str, Field(description="The file's name, or a part of it", min_length=1, max_length=400)],
    config: RunnableConfig,
    page: Annotated[int | None, Field(description="Only this page (PDF, slides)")] = None,
    heading: Annotated[str | None, Field(description="Only below headings that contain this")] = None,
    position: Annotated[int, Field(description="Where to read on, as the call before told", ge=0)] = 0,
) -> tuple[str, list[Found]]:
    """Read a file of the user's from its beginning, or a part of it. Returns numbered passages that can be cited."""
    turn = ToolContext.of(config)
    chosen = find_files(await turn.files.list_files(), file)
    if len(chosen) > 1:
        names = ", ".join(each.name for each in chosen[:50])
        raise ToolFailed(f"Several files fit; name one of them: {names}")
    part = await turn.files.read(chosen[0].id, page=page, heading=heading, position=position, budget=turn.budget)
    if not part.passages:
        raise ToolFailed("There is no such part in this file.")
    more = f" It goes on at position {part.following}." if part.following is not None else " This is the end of it."
    return f"{chosen[0].name}:{more}", part.passages


SPEC = ToolSpec(
    StructuredTool.from_function(coroutine=read_file, response_format="content_and_artifact"),
    title="Read a file",
)
