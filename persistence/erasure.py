"""Erasing a person: every place that holds something of theirs, what is removed there, and what stays and why.

This is the one list of the stores of personal data; a test compares it with the schema, so that a new table is either
here or fails it. The dry run (`survey`) is what the erasure itself counts and chooses by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, delete, exists, func, or_, select, text, update
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
    DeletedFile,
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


@dataclass(frozen=True, slots=True)
class _Reach:
    """What an erasure deletes: conversations and files of the person that no hold keeps, and no library takes.

    `hashes` are those of the files' bytes, `shared` those of them that other files have too.
    """

    conversations: list[UUID]
    files: list[UUID]
    given: list[UUID]
    hashes: set[str]
    shared: set[str]


async def survey(session: AsyncSession, user_id: UUID) -> Erasure:
    """Return what erasing a person would remove and keep. Changes and locks nothing.

    Raises NotFound, and LegalHold where the person is held.
    """
    return (await _survey(session, user_id))[0]


async def erase(session: AsyncSession, user_id: UUID, *, in_part: bool) -> Erasure:
    """Delete a person's account with everything of theirs, in this transaction, and tell what that was.

    What they gave to shared libraries stays with those. With `in_part`, a conversation of theirs that a hold keeps
    stays, with what it speaks of and an account that nobody can sign in to. Passages of their files in other people's
    answers are marked, for `erase_quotes`. Raises NotFound, and LegalHold where the person is held or, without
    `in_part`, anything of theirs.
    """
    if not in_part:
        await holds.check_all_of_user(session, user_id)
    found, reach = await _survey(session, user_id)
    # Conversations first, as whoever asks in one locks them: nobody waits in a circle.
    await checkpoints.delete_threads(session, [str(thread) for thread in reach.conversations])
    await session.execute(delete(Conversation).where(Conversation.id.in_(reach.conversations)))
    await libraries.hand_over(session, user_id)
    # A file that came meanwhile, or that nobody was given after all, goes too.
    free = select(File.id).where(File.user_id == user_id, ~is_held_file())
    own = list((await session.execute(free)).scalars())
    if own:
        found.files = await files.remove(session, user_id, own)
    await session.execute(update(DeletedFile).where(DeletedFile.user_id == user_id).values(to_erase=True))
    for column in OWNED.values():
        await session.execute(delete(column.class_).where(column == user_id))
    name, email = (await session.execute(select(User.username, User.email).where(User.id == user_id))).one()
    await session.execute(delete(LoginFailure).where(LoginFailure.account.in_([name.lower(), email.lower()])))
    if found.account_removed:
        await session.execute(delete(User).where(User.id == user_id))
    else:
        await session.execute(update(User).where(User.id == user_id).values(is_superuser=False, hashed_password=""))
    return found


async def conversations_of(session: AsyncSession, user_id: UUID) -> list[UUID]:
    """Return the conversations of a person that no hold keeps."""
    query = select(Conversation.id).where(Conversation.user_id == user_id, ~is_held_conversation())
    return list((await session.execute(query)).scalars())


async def _survey(session: AsyncSession, user_id: UUID) -> tuple[Erasure, _Reach]:
    user = await session.get(User, user_id)
    if user is None:
        raise NotFound
    await holds.check_user(session, user_id)
    given = await libraries.given_by(session, user_id)
    free = select(File.id).where(File.user_id == user_id, File.id.not_in(given), ~is_held_file())
    own = list((await session.execute(free)).scalars())
    hashes = set((await session.execute(select(File.sha256).where(File.id.in_(own)))).scalars())
    others = select(File.sha256).where(File.sha256.in_(hashes), File.id.not_in(own))
    shared = set((await session.execute(others)).scalars())
    reach = _Reach(await conversations_of(session, user_id), own, given, hashes, shared)
    found = Erasure(user.username)
    for store, count in (await _counts(session, user, reach)).items():
        if count:
            found.removed[store] = count
    await _note_kept(session, user_id, found, reach)
    found.account_removed = not any(kept.reason == "legal_hold" for kept in found.kept)
    if found.account_removed:
        found.removed["account"] = 1
    return found, reach


async def _counts(session: AsyncSession, user: User, reach: _Reach) -> dict[Place, int]:
    theirs = Run.conversation_id.in_(reach.conversations)
    runs = select(Run.id).where(theirs)
    names = [user.username.lower(), user.email.lower()]
    gone = await _gone_files(session, user.id, reach.files)
    counts: dict[Place, int] = {
        "conversations": len(reach.conversations),
        "messages": await _count(session, Message.id, Message.conversation_id.in_(reach.conversations)),
        "shares": await _count(session, Share.id, Share.conversation_id.in_(reach.conversations)),
        "traces": await _count(session, Run.id, theirs, Run.trace.is_not(None)),
        "events": await _count(session, RunEvent.seq, RunEvent.run_id.in_(runs)),
        "tool_calls": await _count(session, ToolCall.id, ToolCall.run_id.in_(runs)),
        "checkpoints": await checkpoints.count_of_threads(session, [str(thread) for thread in reach.conversations]),
        "files": len(reach.files),
        "passages": await _count(session, Passage.id, Passage.file_id.in_(reach.files)),
        "vectors": await _count(session, Passage.vector, Passage.file_id.in_(reach.files)),
        "bytes": len(reach.hashes - reach.shared),
        "failed_sign_ins": await _count(session, LoginFailure.id, LoginFailure.account.in_(names)),
        "quotes": len(await quoting(session, "messages", gone, without=reach.conversations)),
    }
    for store, column in OWNED.items():
        counts[store] = await _count(session, column, column == user.id)
    return counts


async def _count(session: AsyncSession, column: Any, *conditions: ColumnElement[bool]) -> int:
    return int(await session.scalar(select(func.count(column)).where(*conditions)) or 0)


async def _gone_files(session: AsyncSession, user_id: UUID, file_ids: Sequence[UUID]) -> list[UUID]:
    """Return these files and those that the person has deleted before."""
    before = select(DeletedFile.file_id).where(DeletedFile.user_id == user_id)
    return [*file_ids, *(await session.execute(before)).scalars()]


async def _note_kept(session: AsyncSession, user_id: UUID, found: Erasure, reach: _Reach) -> None:
    gone = [*reach.files, *reach.given]
    held: dict[Place, int] = {
        "conversations": await _count(session, Conversation.id, Conversation.user_id == user_id)
        - len(reach.conversations),
        "files": await _count(session, File.id, File.user_id == user_id, File.id.not_in(gone)),
    }
    found.kept += [Kept(store, count, "legal_hold") for store, count in held.items() if count]
    if reach.given:
        found.kept.append(Kept("files", len(reach.given), "given_to_libraries"))
    if reach.shared:
        found.kept.append(Kept("bytes", len(reach.shared), "uploaded_by_others_too"))
    told = or_(AuditEvent.actor_id == user_id, AuditEvent.object_id == str(user_id))
    if count := await _count(session, AuditEvent.id, told):
        found.kept.append(Kept("audit", count, "evidence"))
    found.kept += [Kept(store, None, "out_of_reach") for store in _OUTSIDE]


# What an operator keeps besides, and what has left the house.
_OUTSIDE: Final[Sequence[Place]] = ("backups", "logs", "model_providers")


# --- what other people's answers quote ------------------------------------------------------------------------------

_RECORDS: Final[Mapping[str, str]] = {
    "messages": "coalesce(t.sources, '[]') || coalesce(t.steps, '[]')",
    "shares": "t.messages",
}
_NAMING: Final = """
    SELECT DISTINCT {what} FROM {table} t JOIN conversations c ON c.id = t.conversation_id,
           jsonb_path_query({record}, 'strict $.**.{field}') AS named
    WHERE named #>> '{{}}' = ANY(:files) AND NOT c.id = ANY(:without) AND held_conversation(c.id, c.user_id) = :held
"""


async def _naming(
    session: AsyncSession, what: str, table: str, file_ids: Sequence[UUID], without: Sequence[UUID] = (), *, held: bool
) -> set[Any]:
    found: set[Any] = set()
    values = {"files": [str(id_) for id_ in file_ids], "without": list(without), "held": held}
    for field_ in ("file_id", "file_ids[*]") if file_ids else ():
        query = text(_NAMING.format(what=what, table=table, record=_RECORDS[table], field=field_))
        found.update((await session.execute(query, values)).scalars())
    return found


async def quoting(
    session: AsyncSession, table: str, file_ids: Sequence[UUID], *, without: Sequence[UUID] = ()
) -> set[UUID]:
    """Return the messages, or shares, that hold passages of these files: `without` those of some conversations.

    What a hold keeps is not among them.
    """
    return await _naming(session, "t.id", table, file_ids, without, held=False)


async def files_to_erase(session: AsyncSession) -> list[UUID]:
    """Return the files whose passages are still to be taken out of other people's answers."""
    return list((await session.execute(select(DeletedFile.file_id).where(DeletedFile.to_erase))).scalars())


async def open_runs_quoting(session: AsyncSession, file_ids: Sequence[UUID]) -> list[tuple[UUID | None, UUID]]:
    """Return the runs (owner, id) that go on or wait, and have told or read passages of these files."""
    is_open = Run.finished_at.is_(None)
    pattern = "|".join(map(str, file_ids))
    told = exists().where(RunEvent.run_id == Run.id, RunEvent.data.op("~")(pattern))
    read = exists().where(ToolCall.run_id == Run.id, cast(ToolCall.result, Text).op("~")(pattern))
    query = select(Run.user_id, Run.id).where(is_open, or_(told, read))
    return [(owner, run_id) for owner, run_id in await session.execute(query)]


async def erase_quotes(session: AsyncSession, file_ids: Sequence[UUID]) -> None:
    """Take the passages of files that are gone out of other people's answers, shared copies, traces, events and states.

    What they say in their own words stays, and so does what a hold keeps.
    """
    messages = await quoting(session, "messages", file_ids)
    for message in (await session.execute(select(Message).where(Message.id.in_(messages)))).scalars():
        message.sources = without_files(message.sources, file_ids)
        message.steps = without_files(message.steps, file_ids)
    shares = await quoting(session, "shares", file_ids)
    for share in (await session.execute(select(Share).where(Share.id.in_(shares)))).scalars():
        share.messages = without_files(share.messages, file_ids)
    await session.flush()
    # What else is written down of those answers is put together again from the messages, or is not needed any more.
    answers = select(Message.conversation_id).where(Message.id.in_(messages))
    runs = select(Run.id).where(Run.message_id.in_(messages), Run.finished_at.is_not(None))
    await session.execute(delete(RunEvent).where(RunEvent.run_id.in_(runs)))
    await session.execute(delete(ToolCall).where(ToolCall.run_id.in_(runs)))
    await session.execute(update(Run).where(Run.id.in_(runs)).values(trace=None))
    threads = (await session.execute(answers.distinct())).scalars()
    await checkpoints.delete_threads(session, [str(id_) for id_ in threads])
    if await open_runs_quoting(session, file_ids):
        return  # one that did not stop in time: looked at again within the hour
    # What a hold keeps is looked at again once it is released.
    on_hold = await _naming(session, "named #>> '{}'", "messages", file_ids, held=True)
    kept = [UUID(id_) for id_ in on_hold]
    done = DeletedFile.file_id.in_(file_ids), DeletedFile.file_id.not_in(kept), DeletedFile.to_erase
    await session.execute(delete(DeletedFile).where(*done))
