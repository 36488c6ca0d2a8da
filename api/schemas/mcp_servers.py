"""Shapes of MCP servers."""

from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from api.schemas.common import Body, Shape
from graphs.tools.mcp import needs_approval
from llama_service.errors import InvalidValue
from persistence.tables import McpServer

Transport = Literal["streamable_http", "sse"]
Approval = Literal["always", "never", "per_tool"]
_HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
HeaderName = Annotated[str, StringConstraints(pattern=_HEADER)]


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue("http_address", "an address that begins with http:// or https://")
    if parts.username or parts.password:
        raise InvalidValue("address_with_password", "an address without a password; put it into a header")
    return url


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or len(text) > 8_000:
        raise InvalidValue("header_value", "a header's value is a line of ASCII characters")
    return value


HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]
Address = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000), AfterValidator(_address)]


class McpServerChange(Body):
    """What may be changed; only fields that are present are. `headers` replace all that were there before."""

    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]{0,23}$")
    url: Address | None = None
    transport: Transport | None = None
    headers: dict[HeaderName, HeaderValue] | None = Field(
        default=None, max_length=20, description="Sent with each call; kept encrypted and never shown again"
    )
    user_header: HeaderName | None = Field(
        default=None, description="A header that tells the server the e-mail address of who asks"
    )
    enabled: bool | None = None
    approval: Approval | None = None
    tool_approval: dict[str, bool] | None = Field(
        default=None, max_length=200, description="Whether calls of single tools wait, by the tool's own name"
    )
    allowed_groups: list[UUID] | None = Field(
        default=None, max_length=100, description="Groups whose members alone may use it; null: everybody may"
    )


class McpServerCreate(McpServerChange):
    """A server to add. With `per_tool`, tools that do not say that they only read wait for approval."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,23}$")
    url: Address
    transport: Transport = "streamable_http"
    enabled: bool = True
    approval: Approval = "per_tool"


class McpToolRead(Shape):
    """A tool as its server told it."""

    name: str
    title: str
    description: str
    read_only: bool
    needs_approval: bool


class McpServerRead(Shape):
    """An MCP server; of its secret headers the names alone are shown."""

    id: UUID
    name: str
    url: str
    transport: Transport
    header_names: list[str]
    user_header: str | None
    allowed_groups: list[UUID] | None
    enabled: bool
    approval: Approval
    status: Literal["ok", "error", "disabled"]
    error: str | None
    tools: list[McpToolRead]
    checked_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: McpServer) -> Self:
        """Return a row as the API shows it."""
        names = (
            "id",
            "name",
            "url",
            "transport",
            "header_names",
            "user_header",
            "allowed_groups",
            "enabled",
            "approval",
        )
        return cls(
            **{name: getattr(row, name) for name in (*names, "error", "checked_at", "created_at")},
            status="disabled" if not row.enabled else "error" if row.error else "ok",
            tools=[
                McpToolRead(
                    **{name: tool[name] for name in ("name", "title", "description", "read_only")},
                    needs_approval=needs_approval(row, tool),
                )
                for tool in row.tools
            ],
        )


class McpServersRead(Shape):
    """All MCP servers."""

    items: list[McpServerRead]
