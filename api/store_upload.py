"""What becomes of an upload that came in whole: the file that is there already, or a new one."""

import asyncio
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.files import FileRead, NamesakeRead, UploadRead
from api.state import AppState
from api.uploads import Upload
from ingestion import detect
from llama_service.errors import QuotaExceeded, UnsupportedFileType, ValidationFailed
from persistence import audit, conversations, files, leftovers, libraries, versions
from persistence.audit import Actor
from persistence.files import FileView
from persistence.tables import File


async def store_upload(state: AppState, user: Actor, given: Upload) -> tuple[UploadRead, bool]:
    """Keep an upload and queue it; return it, and whether it was there already.

    Raises ValidationFailed for an empty file, UnsupportedFileType, QuotaExceeded, NotFound for a conversation or a
    file to replace that is not the user's, or a library that they do not see; Forbidden where they may not edit it.
    """
    user_id = user.id
    if given.received.size == 0:
        raise ValidationFailed.because("empty", "The file is empty.", field="file")
    mime = await asyncio.to_thread(detect.detect_file, given.received.path, given.name)
    async with state.database.transaction() as session:
        # What is refused need not travel; what is kept is noted first.
        await _admit(state, session, user_id, given, mime)
        await leftovers.note(session, [given.received.sha256])
    if state.blobs.remote:
        # What travels must not hold a transaction.
        await state.blobs.keep(given.received)
    removed = None
    async with state.database.transaction() as session:
        # The same bytes at the same time, from one owner or from several, and their removal: one after the other.
        await leftovers.lock_exclusively(session, f"user {user_id}", leftovers.blob_key(given.received.sha256))
        found = await _admit(state, session, user_id, given, mime)
        file, again = await _enter(session, user_id, given, found)
        await state.blobs.keep(given.received)
        if given.conversation_id is not None:
            await files.attach(session, user_id, file.id, given.conversation_id)
        if given.library_id is not None:
            await libraries.add_file(session, user_id, given.library_id, file.id)
        if given.replaces is not None and given.replaces != file.id:
            removed = await versions.replace(session, user_id, new=file.id, old=given.replaces)
        changed = isinstance(found, str) and given.replaces is None
        older = await versions.same_name(session, user_id, file, given.conversation_id) if changed else []
        # What it replaced may be gone by now, which the row says and this session's copy of it does not.
        session.expunge_all()
        shape = FileRead.of(await files.get(session, user_id, file.id))
        if given.library_id is not None:
            await audit.note(session, "library_file_added", user, ("library", given.library_id), file=shape.id)
        if given.replaces is not None and given.replaces != shape.id:
            await audit.note(session, "file_replaced", user, ("file", given.replaces), newer=shape.id)
    if removed is not None:
        await state.ingestion.pipeline.clean_up(removed)
    if again:
        await state.ingestion.enqueue(file.id)
    namesakes = [NamesakeRead.model_validate(row) for row in older]
    return UploadRead(**dict(shape), same_name=namesakes), not again


async def _admit(
    state: AppState, session: AsyncSession, user_id: UUID, given: Upload, mime: str | None
) -> FileView | str:
    """Return the file that has these bytes already, or the media type of a new one; refuse what may not come in."""
    if given.conversation_id is not None:
        await conversations.get(session, user_id, given.conversation_id)
    if given.library_id is not None:
        await libraries.get(session, user_id, given.library_id, edits=True)
    if given.replaces is not None:
        await files.get_own(session, user_id, given.replaces)
    known = await files.same(session, user_id, given.received.sha256, given.name)
    if known is not None:
        return known
    if mime is None:
        raise UnsupportedFileType.because(*detect.refusal(given.received.head, given.name))
    await _check_quota(state, session, user_id, given)
    return mime


async def _check_quota(state: AppState, session: AsyncSession, user_id: UUID, given: Upload) -> None:
    """Refuse what is too much. What the upload replaces does not count: it is about to go."""
    count, used = await files.usage(session, user_id, without=given.replaces)
    settings = state.settings
    if count >= settings.max_files_per_user:
        message = f"You have {count} files, which is the limit; delete some to make room."
        raise QuotaExceeded.because("too_many_files", message, limit=settings.max_files_per_user)
    if used + given.received.size > settings.max_bytes_per_user_mb * 1024 * 1024:
        message = f"Your files may take {settings.max_bytes_per_user_mb:g} MB in all; delete some first."
        raise QuotaExceeded.because("too_many_bytes", message, limit=settings.max_bytes_per_user_mb)


async def _enter(session: AsyncSession, user_id: UUID, given: Upload, found: FileView | str) -> tuple[File, bool]:
    """Return the file of an upload, and whether it is to be read: a new one, or one that could not be read before."""
    if isinstance(found, str):
        size, sha256 = given.received.size, given.received.sha256
        in_library = given.conversation_id is None and given.library_id is None
        row = await files.create(
            session, user_id, name=given.name, mime=found, size=size, sha256=sha256, in_library=in_library
        )
        return row, True
    if given.conversation_id is None and given.library_id is None and not found.file.in_library:
        await files.note(session, found.file.id, in_library=True)
        await session.refresh(found.file)
    failed = found.file.status == "failed"
    if failed:
        await files.note(session, found.file.id, status="pending", stage="queued", progress=0.0, error=None)
        await session.refresh(found.file)
    return found.file, failed
