"""From the lines of a stream to JSON events: server-sent events as the standard has them, and as servers send them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
import re
from typing import Any

import orjson

from chains.faults import error_in_stream
from llama_service.errors import ProviderBadAnswer

_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"[A-Za-z][\w-]*(:|$)")
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonDecoder:
    """Decodes events. `is_ragged` tells that halves of surrogate pairs came, to be joined by `SurrogateJoiner`."""

    __slots__ = ("is_ragged",)

    def __init__(self) -> None:
        self.is_ragged = False

    def decode(self, data: bytes) -> dict[str, Any] | None:
        """Return a JSON object; None where this is none (yet). Raise what it reports, or ProviderBadAnswer."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            # Python's own decoder lets half a pair, and bytes that are no UTF-8, pass.
            try:
                event = json.loads(data.decode("utf-8", "replace"))
            except ValueError:
                return None
            self.is_ragged = True
        if not isinstance(event, dict):
            raise ProviderBadAnswer
        if "error" in event and (told := error_in_stream(event)):
            raise told
        return event


class SseDecoder(JsonDecoder):
    """Decodes a stream of server-sent events whose data are JSON objects, or the one JSON object in its place."""

    __slots__ = ("_data", "_is_begun", "_whole", "done")

    def __init__(self) -> None:
        super().__init__()
        self.done = False
        self._is_begun = False
        self._data = b""
        self._whole: list[bytes] | None = None

    def feed(self, line: bytes) -> dict[str, Any] | None:
        """Take a line; return the event that it completes. Raises ProviderBadAnswer for what is no event stream."""
        if not self._is_begun:
            line = line.removeprefix(_BOM)
            self._is_begun = bool(line)
            if line[:1] == b"{":
                self._whole = []
        if self._whole is not None:
            self._whole.append(line)
            return None
        if line.startswith(b"data:"):
            return self._take(line[5:].strip())
        if not line:
            if self._data:
                raise ProviderBadAnswer
        elif line[:1] != b":" and not _FIELD.match(line):
            raise ProviderBadAnswer
        return None

    def _take(self, data: bytes) -> dict[str, Any] | None:
        if data == b"[DONE]":
            self.done = True
            return None
        # An event's data may lie on several lines; nearly always one is enough.
        data = self._data + b"\n" + data if self._data else data
        event = self.decode(data) if data else None
        self._data = b"" if event is not None else data
        return event

    def rest(self) -> dict[str, Any] | None:
        """Return the whole answer, where the server sent one instead of a stream. Raises ProviderBadAnswer."""
        if self._whole is None:
            return None
        event = self.decode(b"\n".join(self._whole))
        if event is None:
            raise ProviderBadAnswer
        return event


class SurrogateJoiner:
    """Joins the halves of characters that were cut between two events; a half alone becomes U+FFFD."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """Return the text that is certain."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return joined(text)

    def rest(self) -> str:
        """Return what was held back, at the end."""
        half, self._half = self._half, ""
        return joined(half)


def joined(text: str) -> str:
    """Return a text whose characters are whole: the halves of each are joined, one alone becomes U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
