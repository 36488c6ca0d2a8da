"""Files: upload, state, content, passages."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import FileResponse

from api.cleanup import forget_file
from api.content import content_response
from api.deps import CurrentUser, Cursor, Limit, Session, State
from api.errors import responses
from api.schemas.common import Page
from api.schemas.files import Attach, ChunkRead, FileRead, FileStatus, FileText, Replace, UploadRead
from api.store_upload import store_upload
from api.uploads import read_upload
from llama_service import errors
from persistence import audit, conversations, files, versions

router = APIRouter(prefix="/files", tags=["files"])

_OWN = responses(errors.NotAuthenticated, errors.NotFound)
# Where the bytes are kept may be away.
_KEPT = responses(errors.DependencyUnavailable)
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
                        "replaces": {"type": "string", "format": "uuid"},
                        "library_id": {"type": "string", "format": "uuid"},
                    },
                }
            }
        },
    }
}


@router.post(
    "/upload",
    status_code=202,
    response_model=UploadRead,
    responses=_OWN
    | _KEPT
    | responses(
        errors.FileTooLarge, errors.Forbidden, errors.QuotaExceeded, errors.UnsupportedFileType, errors.ValidationFailed
    )
    | {200: {"model": UploadRead, "description": "The same bytes were uploaded before: that file."}},
    openapi_extra=_UPLOAD_BODY,
)
async def upload(request: Request, response: Response, user: CurrentUser, state: State) -> UploadRead:
    """Take a file and return at once; reading and indexing go on in the background.

    With `library_id`, it goes into that shared library, which you may edit, and not into your own.

    With `replaces`, the id of an older file of yours, it takes that one's place in all of its conversations and in
    the library as soon as it can be searched; until then, and if it can't be read, the old one stays.
    """
    given = await read_upload(request, state.blobs.spool, state.settings.max_filesize_bytes)
    try:
        shape, known = await store_upload(state, user, given)
    finally:
        await state.blobs.spool.discard(given.received)
    if known:
        response.status_code = 200
    return shape


@router.get("", responses=_OWN | responses(errors.BadRequest))
async def list_files(
    user: CurrentUser,
    session: Session,
    limit: Limit = 50,
    cursor: Cursor = None,
    conversation_id: UUID | None = None,
    status: Annotated[FileStatus | None, Query()] = None,
    unasked: Annotated[bool, Query(description="Only those that no question of the conversation came with")] = False,
) -> Page[FileRead]:
    """List files, newest first."""
    if conversation_id is not None:
        await conversations.get(session, user.id, conversation_id)
    views, following = await files.list_page(
        session,
        user.id,
        limit=limit,
        cursor=cursor,
        conversation_id=conversation_id,
        status=status,
        unasked=unasked,
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


@router.get(
    "/{file_id}/content",
    responses=_OWN | _KEPT | {206: {"description": "The range that `Range` asks for."}},
    response_class=FileResponse,
)
async def content(file_id: UUID, request: Request, user: CurrentUser, state: State) -> Response:
    """Return the original bytes, to be saved or drawn by the page, never to be run by a browser."""
    async with state.database.reading() as session:
        row = (await files.get(session, user.id, file_id)).file
    return content_response(await state.blobs.find(row.sha256), row, request.headers)


@router.get("/{file_id}/text", responses=_OWN)
async def extracted_text(file_id: UUID, user: CurrentUser, session: Session) -> FileText:
    """Return the extracted text, which all offsets refer to, and where its pages lie."""
    return FileText.of(*await files.text_of(session, user.id, file_id))


@router.get("/{file_id}/chunks", responses=_OWN | responses(errors.BadRequest))
async def chunks(
    file_id: UUID,
    user: CurrentUser,
    session: Session,
    limit: Limit = 100,
    cursor: Cursor = None,
    position: Annotated[int, Query(ge=0, le=10_000_000, description="Begin with this passage")] = 0,
) -> Page[ChunkRead]:
    """Return the passages in their order."""
    rows, following = await files.chunks(session, user.id, file_id, limit=limit, cursor=cursor, position=position)
    return Page(items=[ChunkRead.of(row) for row in rows], next_cursor=following)


@router.post("/process/{file_id}", status_code=202, responses=_OWN)
async def process(file_id: UUID, user: CurrentUser, state: State) -> FileRead:
    """Index a file again; searches find its old passages until the new ones are there."""
    async with state.database.transaction() as session:
        await files.get_own(session, user.id, file_id)
        await files.note(session, file_id, status="pending", stage="queued", progress=0.0, error=None)
        shape = FileRead.of(await files.get(session, user.id, file_id))
    await state.ingestion.enqueue(file_id)
    return shape


@router.post("/{file_id}/attach", responses=_OWN)
async def attach(file_id: UUID, body: Attach, user: CurrentUser, session: Session) -> FileRead:
    """Put a file at hand in a conversation."""
    await files.attach(session, user.id, file_id, body.conversation_id)
    return FileRead.of(await files.get(session, user.id, file_id))


@router.post("/{file_id}/detach", responses=_OWN | responses(errors.LegalHold))
async def detach(file_id: UUID, body: Attach, user: CurrentUser, session: Session) -> FileRead:
    """Take a file out of a conversation. Out of the last one, it goes to the library."""
    return FileRead.of(await files.detach(session, user.id, file_id, body.conversation_id))


@router.post("/{file_id}/replace", responses=_OWN | responses(errors.ValidationFailed, errors.LegalHold))
async def replace(file_id: UUID, body: Replace, user: CurrentUser, state: State) -> FileRead:
    """Let a file take the place of an older one: at once where it can be searched, else as soon as it can."""
    async with state.database.transaction() as session:
        removed = await versions.replace(session, user.id, new=file_id, old=body.file_id)
        shape = FileRead.of(await files.get(session, user.id, file_id))
        await audit.note(session, "file_replaced", user, ("file", body.file_id), newer=file_id)
    if removed is not None:
        await state.ingestion.pipeline.clean_up(removed)
    return shape


@router.delete("/{file_id}", status_code=204, responses=_OWN | responses(errors.LegalHold))
async def delete(file_id: UUID, user: CurrentUser, state: State) -> None:
    """Delete a file: bytes, passages, vectors; a job that reads it ends."""
    await forget_file(state, user, file_id)
