"""Shapes of tools."""

from typing import Any

from pydantic import Field

from api.schemas.common import Shape
from graphs.tools.spec import ToolSpec


class ToolRead(Shape):
    """A tool that a model may call for the caller; `source` is `built-in` or the name of an MCP server."""

    name: str
    title: str
    description: str
    source: str
    needs_approval: bool
    # pydantic has an old method of the name that the API uses
    arguments_schema: dict[str, Any] = Field(serialization_alias="schema")

    @classmethod
    def of(cls, spec: ToolSpec) -> "ToolRead":
        """Return a tool as the API shows it."""
        return cls(
            name=spec.name,
            title=spec.title,
            description=spec.tool.description,
            source=spec.source,
            needs_approval=spec.needs_approval,
            arguments_schema=dict(spec.schema),
        )


class ToolsRead(Shape):
    """The tools that may be switched on, and the names of those that are on where nobody has chosen."""

    items: list[ToolRead]
    default: list[str]
