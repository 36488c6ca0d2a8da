"""What a tool is to a turn: LangChain's tool, how people see it, and whether it may run without being asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool

from persistence.passages import FilePart
from persistence.search import Found, ScopeFile

BUILT_IN_SOURCE: Final = "built-in"
_CONTEXT = "tool_context"


class ToolFailed(ToolException):
    """A call that gives nothing; the words are for the model and for the person who reads the step.

    `files` are those that the words themselves may have been taken from.
    """

    def __init__(self, words: str, files: Sequence[ScopeFile] = ()) -> None:
        super().__init__(words)
        self.files = files


class Files(Protocol):
    """The files that a turn may see, as tools use them."""

    async def list_files(self) -> list[ScopeFile]:
        """Return the files, newest first."""
        ...

    async def search(self, query: str, file_ids: Sequence[UUID], budget: int) -> list[Found]:
        """Return passages, best first, of these files or, without any, of all."""
        ...

    async def read(
        self, file_id: UUID, *, page: int | None, heading: str | None, position: int, budget: int
    ) -> FilePart:
        """Return passages of a file in their order."""
        ...

    async def query(self, files: Sequence[ScopeFile], sql: str | None) -> str:
        """Return the rows that a query gives over the tables of files, or a list of these. Raises BadRequest."""
        ...


class Memory(Protocol):
    """What is remembered of the caller, for all of their conversations."""

    async def remember(self, text: str) -> None:
        """Remember a sentence. Raises ToolFailed where nothing is to be remembered."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a call may use of its turn. `budget` is how many characters its result may have."""

    files: Files
    budget: int
    user_id: str | None = None
    memory: Memory | None = None

    @classmethod
    def of(cls, config: RunnableConfig) -> "ToolContext":
        """Return the context of the call that LangChain hands this configuration to."""
        context = config["configurable"][_CONTEXT]
        assert isinstance(context, cls)  # noqa: S101  (given by `config_of`)
        return context

    def config(self) -> RunnableConfig:
        """Return the configuration to call a tool with."""
        return {"configurable": {_CONTEXT: self}}


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a turn knows it. `read_only` ones may run again; others run at most once."""

    tool: BaseTool
    title: str
    source: str = BUILT_IN_SOURCE
    read_only: bool = True
    needs_approval: bool = False

    @property
    def name(self) -> str:
        """The name that the model calls it by."""
        return self.tool.name

    @cached_property
    def definition(self) -> Mapping[str, Any]:
        """The tool as OpenAI's wire describes it: name, description and JSON schema of the arguments."""
        return convert_to_openai_tool(self.tool)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the arguments."""
        parameters: Mapping[str, Any] = self.definition["function"].get("parameters", {})
        return parameters


def find_files(files: Sequence[ScopeFile], name: str | None) -> list[ScopeFile]:
    """Return the files whose name holds `name`, all of them where it is None. Raises ToolFailed where none does."""
    if not files:
        raise ToolFailed("There are no files in this conversation.")
    if not name:
        return list(files)
    wanted = name.casefold()
    exact = [file for file in files if file.name.casefold() == wanted]
    found = exact or [file for file in files if wanted in file.name.casefold()]
    if not found:
        known = ", ".join(file.name for file in files[:50])
        raise ToolFailed(f"No file is named “{name[:200]}”. The files are: {known}")
    return found
