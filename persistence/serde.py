"""How checkpoint values become bytes and come back: never by calling what a blob names (docs/decisions/0004)."""

from typing import Any

import structlog
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

log = structlog.get_logger(__name__)

# What `dumps_typed` writes. LangGraph also reads "json" and "pickle", which can name a call.
_WRITTEN = frozenset({"null", "bytes", "bytearray", "msgpack"})


class StrictSerializer(JsonPlusSerializer):
    """LangGraph's serialiser with its allow-list in force, whatever the environment says and whoever imported it first.

    It restores plain data, LangChain's messages and LangGraph's own types. Any other type that a blob names is not
    imported: its plain content takes its place. A value in a form that this service never writes is read as None.
    """

    def __init__(self) -> None:
        super().__init__(pickle_fallback=False, allowed_json_modules=None, allowed_msgpack_modules=None)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return a value."""
        if data[0] not in _WRITTEN:
            log.warning("checkpoint_value_refused", form=data[0])
            return None
        return super().loads_typed(data)
