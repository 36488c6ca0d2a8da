"""Deleting for good: rows, checkpoints, vectors and bytes, in the order in which nothing can be left behind."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from sqlalchemy import Update, select, update

from api.state import AppState
from llama_service.errors import LegalHold, NotFound
from persistence import audit, checkpoints, conversations, erasure, files, holds, runs
from persistence.audit import Actor
from persistence.changes import change_or_not_found
from persistence.erasure import Erasure
from persistence.tables import User

_FILES_AT_ONCE = 200


async def forget_conversation(
    state: AppState,
    user_id: UUID,
    conversation_id: UUID,
    *,
    only_temporary: bool = False,
    unused_days: int | None = None,
    by: Actor | None = None,
) -> None:
    """Delete a conversation with its messages, runs, checkpoints and the files that only it has.

    Its runs are stopped first. `by` is who asked for it, None where the server does it by itself. Raises LegalHold,
    and NotFound, with `only_temporary` also where its owner keeps it, with `unused_days` where it was used since then.
    """
    async with state.database.transaction() as session:
        await conversations.get(
            session, user_id, conversation_id, only_temporary=only_temporary, unused_days=unused_days
        )
        await holds.check_conversation(session, conversation_id)
        running = await runs.open_of(session, [conversation_id])
    await _stop(state, user_id, running)
    removed = None
    async with state.database.transaction() as session:
        await conversations.get(
            session, user_id, conversation_id, lock=True, only_temporary=only_temporary, unused_days=unused_days
        )
        own = await files.only_in(session, user_id, conversation_id)
        await conversations.remove(session, user_id, conversation_id)
        if own:
            removed = await files.remove(session, user_id, own)
        await checkpoints.delete_threads(session, [str(conversation_id)])
        if by is not None:
            await audit.note(session, "conversation_deleted", by, ("conversation", conversation_id))
    if removed is not None:
        await state.ingestion.pipeline.clean_up(removed)


async def _stop(state: AppState, user_id: UUID, running: Sequence[UUID]) -> None:
    for run_id in running:
        await state.runs.cancel_and_wait(user_id, run_id)


async def stop_runs(state: AppState, user_id: UUID) -> None:
    """Stop whatever is being answered for a person, or waits for them."""
    async with state.database.reading() as session:
        running = await runs.open_of_user(session, user_id)
    await _stop(state, user_id, running)


async def forget_file(state: AppState, by: Actor, file_id: UUID) -> None:
    """Delete a file of `by` with its passages, vectors and bytes; a job that reads it ends.

    Raises NotFound, LegalHold.
    """
    async with state.database.transaction() as session:
        removed = await files.remove(session, by.id, [file_id])
        await audit.note(session, "file_deleted", by, ("file", file_id))
    await state.ingestion.pipeline.clean_up(removed)


async def forget_temporary(state: AppState, keep_seconds: float) -> None:
    """Delete temporary conversations that nobody has used for some time."""
    async with state.database.reading() as session:
        unused = await conversations.unused_temporary(session, keep_seconds)
    for user_id, conversation_id in unused:
        with suppress(NotFound, LegalHold):  # another process was faster, or its owner keeps it now
            await forget_conversation(state, user_id, conversation_id, only_temporary=True)


async def forget_account(state: AppState, user_id: UUID, *, by: Actor) -> None:
    """Delete an account with everything that it owns; what it gave to shared libraries stays with their editors.

    Raises NotFound, and LegalHold where a hold keeps anything of it: then nothing is deleted.
    """
    await _erase(state, user_id, by, "account_deleted" if by.id == user_id else "user_deleted", in_part=False)


async def erase_account(state: AppState, user_id: UUID, *, by: Actor) -> Erasure:
    """Delete whatever there is of a person, except what a hold keeps; return what was removed and what stays.

    Raises NotFound, and LegalHold where the person is held.
    """
    return await _erase(state, user_id, by, "user_erased", in_part=True)


async def _erase(state: AppState, user_id: UUID, by: Actor, action: audit.Action, *, in_part: bool) -> Erasure:
    async with state.database.transaction() as session:
        await (holds.check_user if in_part else holds.check_all_of_user)(session, user_id)
        was_active = bool(await session.scalar(select(User.is_active).where(User.id == user_id)))
        # From here on nobody begins anything in their name.
        await change_or_not_found(session, _switched(user_id, is_active=False))
        running = await runs.open_of(session, await erasure.conversations_of(session, user_id))
    await _stop(state, user_id, running)
    try:
        async with state.database.transaction() as session:
            found = await erasure.erase(session, user_id, in_part=in_part)
            kept = [[entry.store, entry.reason, entry.count] for entry in found.kept]
            await audit.note(
                session, action, by, ("user", user_id), name=found.username, removed=found.removed, kept=kept
            )
    except LegalHold:  # placed just now
        async with state.database.transaction() as session:
            await change_or_not_found(session, _switched(user_id, is_active=was_active))
        raise
    if found.files is not None:
        await state.ingestion.pipeline.clean_up(found.files)
    await forget_quotes(state)
    return found


def _switched(user_id: UUID, *, is_active: bool) -> Update:
    return update(User).where(User.id == user_id).values(is_active=is_active, token_epoch=User.token_epoch + 1)


async def forget_quotes(state: AppState) -> None:
    """Take passages of erased people's files out of other people's answers; a run that has read some is stopped."""
    async with state.database.reading() as session:
        gone = await erasure.files_to_erase(session)
    for start in range(0, len(gone), _FILES_AT_ONCE):
        some = gone[start : start + _FILES_AT_ONCE]
        async with state.database.reading() as session:
            quoting = await erasure.open_runs_quoting(session, some)
        for owner, run_id in quoting:
            if owner is not None:
                await state.runs.cancel_and_wait(owner, run_id)
        async with state.database.transaction() as session:
            await erasure.erase_quotes(session, some)
