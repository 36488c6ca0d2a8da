"""Cursors: opaque to clients, a position in an order to us."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from llama_service.errors import BadRequest


def encode_cursor(*parts: datetime | UUID | str | int) -> str:
    """Return an opaque cursor that holds `parts`."""
    values = [part if isinstance(part, int) else str(part) for part in parts]
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def _part(raw: Any, kind: type) -> Any:
    if kind is datetime:
        return datetime.fromisoformat(raw)
    part = kind(raw)
    if kind is int and not -1 <= part < 2**31:
        raise ValueError
    return part


def decode_cursor(cursor: str, shape: Sequence[type]) -> list[Any]:
    """Return the parts of a cursor in the given types. Raises BadRequest for a cursor that was not ours."""
    try:
        raw = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(raw, list) or len(raw) != len(shape):
            raise ValueError
        return [_part(part, kind) for part, kind in zip(raw, shape, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise BadRequest("This cursor is not one of this list; begin again without it.") from None
