"""Erasing a person: every place that holds something of theirs, what is removed there, and what stays and why.

This is the one list of the stores of personal data; a test compares it with the schema, so that a new table is either
here or fails it. A dry run is the same transaction, rolled back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, delete, distinct, exists, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound
from persistence import checkpoints, files, holds, libraries
from persistence.files import Removed
from persistence.holds import is_held_conversation, is_held_file
from persistence.tables import (
    ApiKey,
    Assistant,
    AuditEvent,
    AuthSession,
    Budget,
    BudgetReservation,
    BudgetUse,
    Conversation,
    File,
    GroupMember,
    Identity,
    LibraryMember,
    LoginFailure,
    Memory,
    Message,
    Passage,
    Profile,
    Project,
    ProviderSession,
    Run,
    RunEvent,
    SavedPrompt,
    SecondFactor,
    Share,
    ToolCall,
    User,
)
from persistence.withheld import without_files

Reason: TypeAlias = Literal["legal_hold", "given_to_libraries", "uploaded_by_others_too", "evidence", "out_of_reach"]
"""Why something stays: a hold; it is a shared library's now; others have uploaded the same bytes; the audit log; a copy
outside of this service's stores."""

Place: TypeAlias = Literal[
    "account", "conversations", "messages", "traces", "events", "tool_calls", "checkpoints",
    "files", "passages", "vectors", "bytes", "quotes",
    "shares", "projects", "assistants", "saved_prompts", "memories", "instructions",
    "api_keys", "provider_tokens", "sign_ins", "failed_sign_ins", "identities", "second_factors",
    "group_memberships", "library_memberships", "budget_reservations", "budget_use", "budgets",
    "audit", "backups", "logs", "model_providers",
]  # fmt: skip
"""Where something of a person is."""

# Deleted by a column that names the person. What hangs on these rows (tokens of a session, a project's files) goes with
# them by the foreign keys.
OWNED: Final[Mapping[Place, Any]] = {
    "shares": Share.user_id,
    "projects": Project.user_id,
    "assistants": Assistant.user_id,
    "saved_prompts": SavedPrompt.user_id,
    "memories": Memory.user_id,
    "instructions": Profile.user_id,
    "api_keys": ApiKey.user_id,
    "provider_tokens": ProviderSession.user_id,
    "sign_ins": AuthSession.user_id,
    "identities": Identity.user_id,
    "second_factors": SecondFactor.user_id,
    "group_memberships": GroupMember.user_id,
    "library_memberships": LibraryMember.user_id,
    "budget_reservations": BudgetReservation.holder,
    "budget_use": BudgetUse.holder,
    "budgets": Budget.user_id,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of a person in a store, and why. `count` is None where nobody can count it from here."""

    store: Place
    count: int | None
    reason: Reason


@dataclass(slots=True)
class Erasure:
    """What was removed, by store; what stays; whether the account itself is gone.

    `files` is what is to be cleaned up outside the database once the transaction is committed.
    """

    username: str
    account_removed: bool = True
    removed: dict[Place, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    files: Removed | None = None


async def conversations_of(session: AsyncSession, user_id: UUID) -> list[UUID]:
    """Return the conversations of a person that no hold keeps."""
    query = select(Conversation.id).where(Conversation.user_id == user_id, ~is_held_conversation())
    return list((await session.execute(query)).scalars())


async def erase(session: AsyncSession, user_id: UUID, *, in_part: bool = False) -> Erasure:
    """Delete a person's account with everything of theirs, in this transaction, and tell what that was.

    What they gave to shared libraries stays with those. With `in_part`, a conversation of theirs that a hold keeps
    stays, with its files and an account that nobody can sign in to. Raises NotFound, and LegalHold where the person is
    held or, without `in_part`, anything of theirs.
    """
    user = (await session.execute(select(User).where(User.id == user_id).with_for_update())).scalar_one_or_none()
    if user is None:
        raise NotFound
    await (holds.check_user if in_part else holds.check_all_of_user)(session, user_id)
    found = Erasure(user.username)
    handed = await libraries.hand_over(session, user_id)
    # First what would go with a conversation or a file uncounted.
    for store, column in OWNED.items():
        gone = delete(column.class_).where(column == user_id).returning(text("1"))
        _note(found.removed, store, len((await session.execute(gone)).all()))
    failures = delete(LoginFailure).where(LoginFailure.account.in_([user.username.lower(), user.email.lower()]))
    _note(found.removed, "failed_sign_ins", len((await session.execute(failures.returning(text("1")))).all()))
    await _erase_conversations(session, user_id, found)
    await _erase_files(session, user_id, found)
    await _note_kept(session, user_id, found, handed)
    if any(kept.reason == "legal_hold" for kept in found.kept):
        found.account_removed = False
        closed = {"is_active": False, "is_superuser": False, "hashed_password": "", "token_epoch": User.token_epoch + 1}
        await session.execute(update(User).where(User.id == user_id).values(**closed))
    else:
        await session.execute(delete(User).where(User.id == user_id))
        found.removed["account"] = 1
    return found


def _note(removed: dict[Place, int], store: Place, count: int) -> None:
    if count:
        removed[store] = count


async def _count(session: AsyncSession, column: Any, *conditions: ColumnElement[bool]) -> int:
    return int(await session.scalar(select(func.count(column)).where(*conditions)) or 0)


async def _erase_conversations(session: AsyncSession, user_id: UUID, found: Erasure) -> None:
    threads = await conversations_of(session, user_id)
    theirs = Run.conversation_id.in_(threads)
    runs = select(Run.id).where(theirs)
    _note(found.removed, "conversations", len(threads))
    _note(found.removed, "messages", await _count(session, Message.id, Message.conversation_id.in_(threads)))
    _note(found.removed, "traces", await _count(session, Run.id, theirs, Run.trace.is_not(None)))
    _note(found.removed, "events", await _count(session, RunEvent.seq, RunEvent.run_id.in_(runs)))
    _note(found.removed, "tool_calls", await _count(session, ToolCall.id, ToolCall.run_id.in_(runs)))
    _note(found.removed, "checkpoints", await checkpoints.delete_threads(session, [str(thread) for thread in threads]))
    await session.execute(delete(Conversation).where(Conversation.id.in_(threads)))


async def _erase_files(session: AsyncSession, user_id: UUID, found: Erasure) -> None:
    free = select(File.id).where(File.user_id == user_id, ~is_held_file())
    own = list((await session.execute(free)).scalars())
    if not own:
        return
    _note(found.removed, "passages", await _count(session, Passage.id, Passage.file_id.in_(own)))
    _note(found.removed, "vectors", await _count(session, Passage.vector, Passage.file_id.in_(own)))
    found.files = await files.remove(session, user_id, own)
    _note(found.removed, "files", len(own))
    await _erase_quotes(session, own, found)
    elsewhere = await _count(session, distinct(File.sha256), File.sha256.in_(found.files.hashes))
    _note(found.removed, "bytes", len(found.files.hashes) - elsewhere)
    if elsewhere:
        found.kept.append(Kept("bytes", elsewhere, "uploaded_by_others_too"))


# Records of others that name one of these files, which they could read while it was in a shared library.
_QUOTING = """
    SELECT DISTINCT t.id FROM {table} t, jsonb_path_query({record}, 'strict $.**.{field}') AS named
    WHERE named #>> '{{}}' = ANY(:files)
"""


async def _erase_quotes(session: AsyncSession, file_ids: Sequence[UUID], found: Erasure) -> None:
    """Take the passages of files out of other people's answers, shared copies, traces, events and states."""
    messages = await _quoting(session, "messages", "coalesce(sources, '[]') || coalesce(steps, '[]')", file_ids)
    for message in (await session.execute(select(Message).where(Message.id.in_(messages)))).scalars():
        message.sources = without_files(message.sources, file_ids)
        message.steps = without_files(message.steps, file_ids)
    _note(found.removed, "quotes", len(messages))
    shares = await _quoting(session, "shares", "messages", file_ids)
    for share in (await session.execute(select(Share).where(Share.id.in_(shares)))).scalars():
        share.messages = without_files(share.messages, file_ids)
    await session.flush()
    # What else is written down of those answers is put together again from the messages, or is not needed any more.
    runs = select(Run.id).where(Run.message_id.in_(messages), Run.finished_at.is_not(None))
    await session.execute(delete(RunEvent).where(RunEvent.run_id.in_(runs)))
    await session.execute(delete(ToolCall).where(ToolCall.run_id.in_(runs)))
    await session.execute(update(Run).where(Run.id.in_(runs)).values(trace=None))
    is_open = exists().where(Run.conversation_id == Message.conversation_id, Run.finished_at.is_(None))
    threads = select(Message.conversation_id).where(Message.id.in_(messages), ~is_open).distinct()
    await checkpoints.delete_threads(session, [str(id_) for id_ in (await session.execute(threads)).scalars()])


async def _quoting(session: AsyncSession, table: str, record: str, file_ids: Sequence[UUID]) -> set[UUID]:
    ids: set[UUID] = set()
    for field_ in ("file_id", "file_ids[*]"):
        query = text(_QUOTING.format(table=table, record=record, field=field_))
        ids.update((await session.execute(query, {"files": [str(id_) for id_ in file_ids]})).scalars())
    return ids


async def _note_kept(session: AsyncSession, user_id: UUID, found: Erasure, handed: int) -> None:
    held: dict[Place, int] = {
        "conversations": await _count(session, Conversation.id, Conversation.user_id == user_id),
        "files": await _count(session, File.id, File.user_id == user_id),
    }
    found.kept += [Kept(store, count, "legal_hold") for store, count in held.items() if count]
    if handed:
        found.kept.append(Kept("files", handed, "given_to_libraries"))
    told = or_(AuditEvent.actor_id == user_id, AuditEvent.object_id == str(user_id))
    if count := await _count(session, AuditEvent.id, told):
        found.kept.append(Kept("audit", count, "evidence"))
    found.kept += [Kept(store, None, "out_of_reach") for store in _OUTSIDE]


# What an operator keeps besides, and what has left the house.
_OUTSIDE: Final[Sequence[Place]] = ("backups", "logs", "model_providers")
