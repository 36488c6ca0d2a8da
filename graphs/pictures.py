"""Pictures of questions: references in the state, bytes in the prompt of a model that sees."""

import asyncio
import base64
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from langchain_core.messages import BaseMessage, HumanMessage

from chains.prompts import IMAGES, human_message
from persistence.blobs import BlobStore
from persistence.files import VIEWABLE, of_ids, texts_of
from persistence.session import Database

MAX_PICTURES: Final = 8  # of a question, and of a prompt: the newest
MAX_PICTURE_BYTES: Final = 8 * 1024 * 1024
_NOT_SHOWN = "[a picture that this model is not shown]"
_RECOGNISED = "[a picture that this model is not shown; the text in it:]\n"
_RECOGNISED_CHARS = 3000  # about what a picture counts for in the prompt's budget


class Pictures(Protocol):
    """The caller's pictures."""

    async def picture(self, file_id: str) -> tuple[str, bytes] | None:
        """Return media type and bytes, None where the file is gone or somebody else's."""
        ...

    async def picture_text(self, file_id: str) -> str | None:
        """Return the text that was recognised in a picture, None where there is none."""
        ...


class PictureReader:
    """Reads pictures from where files are kept."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def read(self, user_id: UUID, file_id: UUID) -> tuple[str, bytes] | None:
        """Return media type and bytes, None where the file is gone or somebody else's."""
        async with self._database.reading() as session:
            row = next(iter(await of_ids(session, user_id, [file_id])), None)
        if row is None or row.mime not in VIEWABLE or row.size > MAX_PICTURE_BYTES:
            return None
        async with self._blobs.local(row.sha256) as path:
            return row.mime, await asyncio.to_thread(path.read_bytes)

    async def texts(self, user_id: UUID, file_ids: Sequence[UUID], patience: float) -> dict[UUID, str]:
        """Return what was recognised in pictures; those that are still being read are waited for, so many seconds."""
        until = time.monotonic() + patience
        while True:
            async with self._database.reading() as session:
                found = await texts_of(session, user_id, file_ids)
            if found is not None or time.monotonic() > until:
                return {file_id: text for file_id, text in (found or {}).items() if text}
            await asyncio.sleep(0.1)


def question_message(message_id: UUID, text: str, images: Sequence[UUID | str]) -> HumanMessage:
    """Return a question as the state keeps it: its pictures by their files' ids."""
    return human_message(text, [str(image) for image in images], str(message_id))


def images_of(message: BaseMessage | None) -> list[str]:
    """Return the ids of a message's pictures."""
    found: list[str] = message.additional_kwargs.get(IMAGES, []) if message is not None else []
    return found


async def with_pictures(messages: list[BaseMessage], pictures: Pictures, *, sees: bool) -> list[BaseMessage]:
    """Return a prompt whose questions show their pictures, the newest ones.

    A model that does not see reads the text that was recognised in them, or that there is a picture.
    """
    if not any(images_of(message) for message in messages):
        return messages
    shown, left = [], MAX_PICTURES
    for message in reversed(messages):
        images = images_of(message)
        if not images:
            shown.append(message)
            continue
        parts: list[str | dict[str, Any]] = []
        for image in images:
            found = await pictures.picture(image) if sees and left > 0 else None
            left -= 1
            if found is None:
                text = None if sees else await pictures.picture_text(image)
                parts.append({"type": "text", "text": _RECOGNISED + text[:_RECOGNISED_CHARS] if text else _NOT_SHOWN})
            else:
                parts.append(await asyncio.to_thread(_part, *found))
        shown.append(HumanMessage([*parts, {"type": "text", "text": str(message.text)}], id=message.id))
    return shown[::-1]


def _part(mime: str, content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{base64.b64encode(content).decode()}"}}
