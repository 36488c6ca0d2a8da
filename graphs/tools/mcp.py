"""Tools of MCP servers: asked for their tools now and then, called with a time-out and a limit on what they answer.

Whatever a server does, the caller gets a list or a result, or a ToolFailed with a reason.
"""

import asyncio
import importlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool

from graphs.tools.spec import ToolContext, ToolFailed, ToolSpec
from persistence.tables import McpServer

if TYPE_CHECKING:
    from langchain_mcp_adapters.sessions import Connection
    from mcp.types import Tool

log = structlog.get_logger(__name__)
T = TypeVar("T")

Headers = Callable[[McpServer, str | None], Awaitable[Mapping[str, str]]]
"""Returns the headers for a server on behalf of a user. Raises ToolFailed where they can't be read."""

LIST_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 55.0  # below what a call may take, so that the server's silence is told as that
MAX_BYTES = 4 * 1024 * 1024  # of one answer of a server
_MOST_TOOLS = 128
_SCHEMA_CHARS = 32_000
_DESCRIPTION_CHARS = 4_000
_NAME_CHARS = 64  # that OpenAI's wire takes
_KINDS = ("application/json", "text/event-stream")
_NO_MCP = "The server does not speak MCP as it should."


async def list_tools(server: McpServer, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a server's tools as they are kept: name, title, description, schema, and whether they only read.

    Raises ToolFailed.
    """
    exchange = _Exchange(server, headers)
    return await _within(LIST_SECONDS, exchange, _ask_for_tools(exchange.connection))


async def _sessions() -> Any:
    """Return the library, for those who use it: loaded beside the event loop, which it would hold up for a second."""
    return await asyncio.to_thread(importlib.import_module, "langchain_mcp_adapters.sessions")


async def _ask_for_tools(connection: "Connection") -> list[dict[str, Any]]:
    library = await _sessions()
    async with library.create_session(connection) as session:
        await session.initialize()
        tools: list[Tool] = []
        cursor: str | None = None
        while len(tools) < _MOST_TOOLS:
            page = await session.list_tools(cursor)
            tools += page.tools
            cursor = page.nextCursor
            if not cursor:
                break
    return [kept for tool in tools[:_MOST_TOOLS] if (kept := _kept(tool)) is not None]


def _kept(tool: "Tool") -> dict[str, Any] | None:
    """Return a tool as it is kept, None for one whose schema no model could follow."""
    try:
        Draft202012Validator.check_schema(tool.inputSchema)
    except SchemaError:
        log.warning("mcp_tool_left_out", tool=tool.name[:100], reason="schema")
        return None
    if tool.inputSchema.get("type") != "object" or len(str(tool.inputSchema)) > _SCHEMA_CHARS:
        log.warning("mcp_tool_left_out", tool=tool.name[:100], reason="schema")
        return None
    annotations = tool.annotations
    title = tool.title or (annotations.title if annotations else None) or tool.name
    return {
        "name": tool.name,
        "title": title[:200],
        "description": (tool.description or title)[:_DESCRIPTION_CHARS],
        "schema": tool.inputSchema,
        "read_only": bool(annotations and annotations.readOnlyHint),
    }


def needs_approval(server: McpServer, tool: Mapping[str, Any]) -> bool:
    """Whether calls of a server's tool wait for a person: as the administrator said, else unless it only reads."""
    if server.approval != "per_tool":
        return server.approval == "always"
    said = server.tool_approval.get(tool["name"])
    return bool(said) if said is not None else not tool["read_only"]


def specs_of(server: McpServer, headers: Headers, taken: set[str]) -> Sequence[ToolSpec]:
    """Return the tools of a server. Their names begin with the server's, so that those of two never clash."""
    specs = []
    for tool in server.tools:
        name = _free(f"{server.name}__{tool['name']}", taken)
        specs.append(
            ToolSpec(
                StructuredTool(
                    name=name,
                    description=tool["description"],
                    args_schema=tool["schema"],
                    coroutine=_caller(server, tool["name"], headers),
                ),
                title=tool["title"],
                source=server.name,
                read_only=tool["read_only"],
                needs_approval=needs_approval(server, tool),
            )
        )
    return specs


def _free(wanted: str, taken: set[str]) -> str:
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", wanted)[:_NAME_CHARS]
    name, number = plain, 1
    while name in taken:
        number += 1
        end = f"_{number}"
        name = plain[: _NAME_CHARS - len(end)] + end
    taken.add(name)
    return name


def _caller(server: McpServer, tool: str, headers: Headers) -> Callable[..., Awaitable[str]]:
    async def call(turn_config: RunnableConfig, **arguments: Any) -> str:
        given = await headers(server, ToolContext.of(turn_config).user_id)
        # The node that calls has a time-out of its own.
        exchange = _Exchange(server, given)
        return await _within(None, exchange, _call(exchange.connection, tool, arguments))

    return call


async def _call(connection: "Connection", tool: str, arguments: dict[str, Any]) -> str:
    library = await _sessions()
    async with library.create_session(connection) as session:
        await session.initialize()
        result = await session.call_tool(tool, arguments)
    parts = [block.text if block.type == "text" else f"[{block.type}]" for block in result.content]
    text = "\n".join(parts)
    if result.isError:
        raise ToolFailed(text[:4000] or "The tool failed without a word.")
    return text


class _Exchange:
    """What one session sends and gets. `failed` has the failures that the library drops, to wait on without end."""

    def __init__(self, server: McpServer, headers: Mapping[str, str]) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = server
        self._headers = dict(headers)

    @property
    def connection(self) -> "Connection":
        """What the library is asked to connect to."""
        connection: Any = {
            "transport": "sse" if self._server.transport == "sse" else "streamable_http",
            "url": self._server.url,
            "headers": self._headers,
            "timeout": _CONNECT_SECONDS,
            "sse_read_timeout": _READ_SECONDS,
            "httpx_client_factory": self._client,
        }
        checked: Connection = connection
        return checked

    def _client(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        times = httpx.Timeout(_CONNECT_SECONDS, read=timeout.read if timeout else _READ_SECONDS)
        return httpx.AsyncClient(headers=headers, timeout=times, auth=auth, transport=_Bounded(self))

    def fail(self, error: httpx.TransportError) -> httpx.TransportError:
        """Note a failure and return it."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # nobody may be there to look at it
        return error


class _Unusable(httpx.TransportError):
    """An answer that is of no use; the words tell why."""


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > MAX_BYTES:
                words = f"The server's answer is longer than {MAX_BYTES // 1048576} MB."
                raise self._exchange.fail(_Unusable(words))
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx.AsyncHTTPTransport):
    """A transport that reads no more of an answer than a model could use, and no answer of another protocol."""

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Accept-Encoding"] = "identity"  # the limit is on what arrives
        response = await super().handle_async_request(request)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == 200 and kind not in _KINDS:
            await response.aclose()
            raise self._exchange.fail(_Unusable(_NO_MCP))
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  (of an asynchronous transport)
        response.stream = _BoundedStream(response.stream, self._exchange)
        return response


async def _within(seconds: float | None, exchange: _Exchange, work: Coroutine[Any, Any, T]) -> T:
    """Do work of the MCP library in a task of its own, whose cancel scopes are none of the caller's business.

    Raises ToolFailed, with a reason that tells no secret, for whatever goes wrong.
    """
    task = asyncio.create_task(work)
    ends: list[asyncio.Future[Any]] = [task, exchange.failed]
    try:
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            task.cancel()
    if task.done() and not task.cancelled() and task.exception() is None:
        return task.result()
    if exchange.failed.done():
        error = exchange.failed.exception()
    elif not task.done():
        raise ToolFailed(f"The server did not answer within {seconds:.0f} seconds.")
    elif task.cancelled():
        raise ToolFailed("The server broke the connection off.")
    else:
        error = _inner(task.exception())
    if isinstance(error, ToolFailed):
        raise error
    log.info("mcp_failed", error=type(error).__name__)
    raise ToolFailed(_reason(error))


def _inner(error: BaseException | None) -> BaseException | None:
    """Return the first error of groups within groups that is no mere consequence."""
    while isinstance(error, BaseExceptionGroup):
        meant = [each for each in error.exceptions if not isinstance(each, asyncio.CancelledError)]
        error = meant[0] if meant else error.exceptions[0]
    return error


def _reason(error: BaseException | None) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"The server answered with the HTTP status {error.response.status_code}."
    if isinstance(error, _Unusable):
        return str(error)
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "The server did not answer in time."
    if isinstance(error, httpx.TransportError | OSError):
        return "The server can't be reached."
    if type(error).__name__ == "McpError":
        return f"The server refused: {str(error)[:1000]}"
    return _NO_MCP
