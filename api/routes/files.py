"""Files: upload, state, content, passages."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import FileResponse

from api.cleanup import forget_file
from api.deps import CurrentUser, Cursor, Limit, Session, State
from api.errors import responses
from api.schemas.common import Page
from api.schemas.files import Attach, ChunkRead, FileRead, FileStatus, FileText
from api.state import AppState
from api.uploads import Upload, read_upload
from ingestion import detect
from llama_service import errors
from llama_service.errors import QuotaExceeded, UnsupportedFileType, ValidationFailed
from persistence import conversations, files
from persistence.blobs import Received

router = APIRouter(prefix="/files", tags=["files"])

_OWN = responses(errors.NotAuthenticated, errors.NotFound)
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "conversation_id": {"type": "string", "format": "uuid"},
                    },
                }
            }
        },
    }
}


def _reject_empty(received: Received) -> None:
    if received.size == 0:
        raise ValidationFailed(
            "The file is empty.", details=[{"loc": ["body", "file"], "msg": "The file is empty.", "type": "empty"}]
        )


@router.post(
    "/upload",
    status_code=202,
    response_model=FileRead,
    responses=_OWN
    | responses(errors.FileTooLarge, errors.QuotaExceeded, errors.UnsupportedFileType, errors.ValidationFailed)
    | {200: {"model": FileRead, "description": "The same bytes were uploaded before: that file."}},
    openapi_extra=_UPLOAD_BODY,
)
async def upload(request: Request, response: Response, user: CurrentUser, state: State) -> FileRead:
    """Take a file and return at once; reading and indexing go on in the background."""
    given = await read_upload(request, state.blobs, state.settings.max_filesize_bytes)
    try:
        _reject_empty(given.received)
        return await _keep(state, user.id, given, response)
    finally:
        await state.blobs.discard(given.received)


async def _keep(state: AppState, user_id: UUID, given: Upload, response: Response) -> FileRead:
    received, conversation_id = given.received, given.conversation_id
    mime = await asyncio.to_thread(detect.detect_file, received.path, given.name)
    async with state.database.transaction() as session:
        if conversation_id is not None:
            await conversations.get(session, user_id, conversation_id)
        # The same bytes at the same time, from one owner or from several, and their removal: one after the other.
        await files.alone(session, f"user {user_id}", f"blob {received.sha256}")
        known = await files.same(session, user_id, received.sha256, given.name)
        if known is not None:
            file_id, again = known.file.id, known.file.status == "failed"
            if again:
                await files.note(session, file_id, status="pending", stage="queued", progress=0.0, error=None)
        elif mime is None:
            raise UnsupportedFileType(detect.refusal(received.head, given.name))
        else:
            await _check_quota(state, session, user_id, received.size)
            row = await files.create(
                session, user_id, name=given.name, mime=mime, size=received.size, sha256=received.sha256
            )
            file_id, again = row.id, True
        if again:
            await state.blobs.keep(received)
        if conversation_id is not None:
            await files.attach(session, user_id, file_id, conversation_id)
        shape = FileRead.of(await files.get(session, user_id, file_id))
    if again:
        await state.ingestion.enqueue(file_id)
    else:
        response.status_code = 200
    return shape


async def _check_quota(state: AppState, session: Session, user_id: UUID, size: int) -> None:
    count, used = await files.usage(session, user_id)
    settings = state.settings
    if count >= settings.max_files_per_user:
        raise QuotaExceeded(f"You have {count} files, which is the limit; delete some to make room.")
    if used + size > settings.max_bytes_per_user_mb * 1024 * 1024:
        raise QuotaExceeded(f"Your files may take {settings.max_bytes_per_user_mb:g} MB in all; delete some first.")


@router.get("", responses=_OWN | responses(errors.BadRequest))
async def list_files(
    user: CurrentUser,
    session: Session,
    limit: Limit = 50,
    cursor: Cursor = None,
    conversation_id: UUID | None = None,
    status: Annotated[FileStatus | None, Query()] = None,
) -> Page[FileRead]:
    """List files, newest first."""
    if conversation_id is not None:
        await conversations.get(session, user.id, conversation_id)
    views, following = await files.page(
        session, user.id, limit=limit, cursor=cursor, conversation_id=conversation_id, status=status
    )
    return Page(items=[FileRead.of(view) for view in views], next_cursor=following)


@router.get("/status/{file_id}", responses=_OWN)
async def get_status(file_id: UUID, user: CurrentUser, session: Session) -> FileRead:
    """Return how far a file's indexing is, with the file."""
    return FileRead.of(await files.get(session, user.id, file_id))


@router.get("/{file_id}", responses=_OWN)
async def get_file(file_id: UUID, user: CurrentUser, session: Session) -> FileRead:
    """Return a file and how far its indexing is."""
    return FileRead.of(await files.get(session, user.id, file_id))


@router.get("/{file_id}/content", responses=_OWN, response_class=FileResponse)
async def content(file_id: UUID, user: CurrentUser, state: State) -> FileResponse:
    """Return the original bytes, to be saved or drawn by the page, never to be run by a browser."""
    async with state.database.reading() as session:
        row = (await files.get(session, user.id, file_id)).file
    path = await state.blobs.existing(row.sha256)
    return FileResponse(
        path,
        media_type=row.mime,
        filename=row.name,
        headers={"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"},
    )


@router.get("/{file_id}/text", responses=_OWN)
async def extracted_text(file_id: UUID, user: CurrentUser, session: Session) -> FileText:
    """Return the extracted text, which all offsets refer to, and where its pages lie."""
    return FileText.of(*await files.text_of(session, user.id, file_id))


@router.get("/{file_id}/chunks", responses=_OWN | responses(errors.BadRequest))
async def chunks(
    file_id: UUID, user: CurrentUser, session: Session, limit: Limit = 100, cursor: Cursor = None
) -> Page[ChunkRead]:
    """Return the passages in their order."""
    rows, following = await files.chunks(session, user.id, file_id, limit=limit, cursor=cursor)
    return Page(items=[ChunkRead.of(row) for row in rows], next_cursor=following)


@router.post("/process/{file_id}", status_code=202, responses=_OWN)
async def process(file_id: UUID, user: CurrentUser, state: State) -> FileRead:
    """Index a file again; searches find its old passages until the new ones are there."""
    async with state.database.transaction() as session:
        await files.get(session, user.id, file_id)
        await files.note(session, file_id, status="pending", stage="queued", progress=0.0, error=None)
        shape = FileRead.of(await files.get(session, user.id, file_id))
    await state.ingestion.enqueue(file_id)
    return shape


@router.post("/{file_id}/attach", responses=_OWN)
async def attach(file_id: UUID, body: Attach, user: CurrentUser, session: Session) -> FileRead:
    """Put a file at hand in a conversation."""
    await files.attach(session, user.id, file_id, body.conversation_id)
    return FileRead.of(await files.get(session, user.id, file_id))


@router.post("/{file_id}/detach", responses=_OWN)
async def detach(file_id: UUID, body: Attach, user: CurrentUser, session: Session) -> FileRead:
    """Take a file out of a conversation; it stays in the library."""
    await files.detach(session, user.id, file_id, body.conversation_id)
    return FileRead.of(await files.get(session, user.id, file_id))


@router.delete("/{file_id}", status_code=204, responses=_OWN)
async def delete(file_id: UUID, user: CurrentUser, state: State) -> None:
    """Delete a file: bytes, passages, vectors; a job that reads it ends."""
    await forget_file(state, user.id, file_id)
