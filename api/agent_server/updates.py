"""What may be put over a thread's state: values that its next run can go on with."""

from typing import Annotated, Any, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from api.agent_server.schemas import unsupported
from api.errors import details_of
from graphs.chat import Graph
from graphs.state import ChatState
from llama_service.errors import ValidationFailed

# What is annotated has a rule of its own: messages are added up, and what is found again is in no checkpoint.
_VALUES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind)
    for name, kind in get_type_hints(ChatState, include_extras=True).items()
    if get_origin(kind) is not Annotated
}


def check_update(graph: Graph, values: dict[str, Any], as_node: str | None) -> None:
    """Refuse messages, values that the state has not or of another type, and nodes that there are not.

    Raises ValidationFailed.
    """
    if as_node is not None and as_node not in graph.builder.nodes:
        raise unsupported("as_node", "The graph has no such node.")
    for name, value in values.items():
        if name == "messages":
            raise unsupported(name, "Messages are changed by runs: ask from an earlier checkpoint.")
        if name not in _VALUES:
            raise unsupported(name, "The graph has no such value.")
        try:
            _VALUES[name].validate_python(value, strict=True)
        except ValidationError as wrong:
            raise ValidationFailed(details=details_of(wrong, "body", "values", name)) from None
