"""Deleting for good: rows, checkpoints, vectors and bytes, in the order in which nothing can be left behind."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from sqlalchemy import delete, select

from api.state import AppState
from llama_service.errors import NotFound
from persistence import audit, checkpoints, conversations, files, libraries, runs
from persistence.audit import Actor
from persistence.tables import Conversation, File, User


async def forget_conversation(
    state: AppState, user_id: UUID, conversation_id: UUID, *, only_temporary: bool = False, by: Actor | None = None
) -> None:
    """Delete a conversation with its messages, runs, checkpoints and the files that only it has.

    Its runs are stopped first. `by` is who asked for it, None where the server does it by itself. Raises NotFound, with
    `only_temporary` also where its owner keeps it.
    """
    async with state.database.transaction() as session:
        await conversations.get(session, user_id, conversation_id, only_temporary=only_temporary)
        running = await runs.open_of(session, [conversation_id])
    await _stop(state, user_id, running)
    removed = None
    async with state.database.transaction() as session:
        await conversations.get(session, user_id, conversation_id, lock=True, only_temporary=only_temporary)
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
    """Delete a file of `by` with its passages, vectors and bytes; a job that reads it ends. Raises NotFound."""
    async with state.database.transaction() as session:
        removed = await files.remove(session, by.id, [file_id])
        await audit.note(session, "file_deleted", by, ("file", file_id))
    await state.ingestion.pipeline.clean_up(removed)


async def forget_temporary(state: AppState, keep_seconds: float) -> None:
    """Delete temporary conversations that nobody has used for some time."""
    async with state.database.reading() as session:
        unused = await conversations.unused_temporary(session, keep_seconds)
    for user_id, conversation_id in unused:
        with suppress(NotFound):  # another process was faster, or its owner keeps it now
            await forget_conversation(state, user_id, conversation_id, only_temporary=True)


async def forget_account(state: AppState, user_id: UUID, *, by: Actor) -> None:
    """Delete an account with everything that it owns; what it gave to shared libraries stays with their editors."""
    async with state.database.transaction() as session:
        threads = list(
            (await session.execute(select(Conversation.id).where(Conversation.user_id == user_id))).scalars()
        )
        running = await runs.open_of(session, threads)
    await _stop(state, user_id, running)
    removed = None
    async with state.database.transaction() as session:
        handed = await libraries.hand_over(session, user_id)
        own = list((await session.execute(select(File.id).where(File.user_id == user_id))).scalars())
        if own:
            removed = await files.remove(session, user_id, own)
        await checkpoints.delete_threads(session, [str(thread) for thread in threads])
        name = await session.scalar(delete(User).where(User.id == user_id).returning(User.username))
        action: audit.Action = "account_deleted" if by.id == user_id else "user_deleted"
        await audit.note(session, action, by, ("user", user_id), name=name, files_handed_over=handed)
    if removed is not None:
        await state.ingestion.pipeline.clean_up(removed)
