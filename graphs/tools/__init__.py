"""The tools that a model may call, one file each: LangChain tools, and `BUILT_IN`, the list of them."""

from collections.abc import Sequence
from typing import Final

from graphs.tools import calculate, current_date, read_file, remember, search_files, tables
from graphs.tools.spec import ToolSpec

BUILT_IN: Final[Sequence[ToolSpec]] = (
    search_files.SPEC,
    read_file.SPEC,
    tables.LIST_SPEC,
    tables.QUERY_SPEC,
    calculate.SPEC,
    current_date.SPEC,
    remember.SPEC,
)
