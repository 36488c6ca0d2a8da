"""Reading an upload from the wire block by block: what is too large is cut off while it comes in."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from uuid import UUID

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from api.middleware import without_limit
from llama_service.errors import BadRequest, FileTooLarge, ValidationFailed
from persistence.blobs import Received, Spool

_FIELD_BYTES = 4096
# Boundaries, headers and small fields around the file.
_ENVELOPE_BYTES = 64 * 1024
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in whole, under a temporary name, where it shall belong, and which older one it replaces."""

    received: Received
    name: str
    conversation_id: UUID | None
    replaces: UUID | None
    library_id: UUID | None = None


def clean_name(given: str) -> str:
    """Return a file's name without folders and control characters: it is shown, never used as a path."""
    name = PureWindowsPath(PurePosixPath(given).name).name
    name = "".join(char for char in name if char.isprintable()).strip(". ")
    if len(name) > _MAX_NAME:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[: max(1, _MAX_NAME - len(suffix) - 1)]}{dot}{suffix}"[:_MAX_NAME]
    return name or "unnamed"


class _Form:
    """Collects what the multipart parser finds; the file's bytes wait in `blocks` for the disk."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.fields: dict[str, bytearray] = {}
        self.file_name: str | None = None
        self.file_ended = False
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._field: str | None = None
        self._in_file = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
        }

    def _header_end(self) -> None:
        # Bytes as they are: the names in them are UTF-8 and are decoded one by one.
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == "file" and self.file_name is None:
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")
            self._in_file = True
        else:
            self._field = name
            self.fields.setdefault(name, bytearray())

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.blocks.append(data[start:end])
        elif self._field is not None and len(self.fields[self._field]) < _FIELD_BYTES:
            self.fields[self._field].extend(data[start:end])

    def _part_end(self) -> None:
        if self._in_file:
            self.file_ended = True
        self._in_file, self._field = False, None


async def read_upload(request: Request, spool: Spool, limit: int) -> Upload:
    """Return the `file` of a multipart body. The caller keeps or discards its bytes.

    Raises FileTooLarge as soon as `limit` bytes are passed, ValidationFailed without a file, BadRequest for a body
    that is no multipart form or breaks off.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise _missing()
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit + _ENVELOPE_BYTES:
        raise FileTooLarge.over(limit)
    without_limit(request)
    form = _Form()
    parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]  # a TypedDict of callables

    async def blocks() -> AsyncIterator[bytes]:
        total = 0
        async for data in request.stream():
            total += len(data)
            if total > limit + _ENVELOPE_BYTES:
                raise FileTooLarge.over(limit)
            parser.write(data)
            for block in form.blocks:
                yield block
            form.blocks.clear()
        parser.finalize()

    try:
        received = await spool.receive(blocks(), limit)
    except ClientDisconnect:
        raise BadRequest.because("upload_broke_off", "The upload broke off.") from None
    except MultipartParseError:
        raise BadRequest("This is not a multipart form.") from None
    try:
        return _checked(form, received)
    except BaseException:
        await asyncio.shield(spool.discard(received))
        raise


def _checked(form: _Form, received: Received) -> Upload:
    if form.file_name is None:
        raise _missing()
    if not form.file_ended:
        raise BadRequest.because("upload_broke_off", "The upload broke off.")
    given = {name: _uuid(form, name) for name in ("conversation_id", "replaces", "library_id")}
    return Upload(received, clean_name(form.file_name), **given)


def _missing() -> ValidationFailed:
    return ValidationFailed(details=[{"loc": ["body", "file"], "msg": "Field required", "type": "missing"}])


def _uuid(form: _Form, name: str) -> UUID | None:
    raw = form.fields.get(name, b"").decode("utf-8", "replace").strip()
    if not raw:
        return None
    try:
        return UUID(raw)
    except ValueError:
        raise ValidationFailed(details=[{"loc": ["body", name], "msg": "not a UUID", "type": "uuid_parsing"}]) from None
