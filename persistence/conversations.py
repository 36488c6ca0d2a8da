"""Conversations: every query names the owner, so that what is not yours is not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import NotFound
from persistence import owned
from persistence.access import at_hand, check_libraries, readable
from persistence.changes import change_or_not_found
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import Assistant, Conversation, File, Message, Project

# Marks that no text of a user holds, put around hits by Postgres and turned into offsets here.
_OPEN, _CLOSE = "\x02", "\x03"


@dataclass(frozen=True, slots=True)
class Hit:
    """Why a search found a conversation: a piece of text, and `[start, end)` offsets of the hits in it."""

    snippet: str
    highlights: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation of a list, with the hit where the list is a search's result."""

    conversation: Conversation
    hit: Hit | None = None


async def get(
    session: AsyncSession,
    user_id: UUID,
    conversation_id: UUID,
    *,
    lock: bool = False,
    only_temporary: bool = False,
    unused_days: int | None = None,
) -> Conversation:
    """Return the conversation. Raises NotFound where it is absent or somebody else's.

    With `only_temporary` also where its owner keeps it, with `unused_days` where it was used within so many days.
    """
    query = select(Conversation).where(Conversation.id == conversation_id, Conversation.user_id == user_id)
    if only_temporary:
        query = query.where(Conversation.temporary)
    if unused_days is not None:
        query = query.where(Conversation.updated_at < func.clock_timestamp() - func.make_interval(0, 0, 0, unused_days))
    if lock:
        query = query.with_for_update()
    found = (await session.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def create_unless_taken(session: AsyncSession, user_id: UUID, conversation_id: UUID, **values: Any) -> bool:
    """Begin a conversation of a given id; return False where the id is taken, by whomever, or just now."""
    query = insert(Conversation).values(id=conversation_id, user_id=user_id, **values)
    made = query.on_conflict_do_nothing(index_elements=[Conversation.id]).returning(Conversation.id)
    return await session.scalar(made) is not None


async def create(session: AsyncSession, user_id: UUID | None, **values: Any) -> Conversation:
    """Begin a conversation; `user_id` is None for an anonymous one.

    Where its project or assistant has files, it searches those alone, unless `search_library` is given. Raises NotFound
    for a project, an assistant or a library that is not there for the user.
    """
    if user_id is not None:
        await _check_place(session, user_id, values)
    title = values.get("title")
    row = Conversation(user_id=user_id, title_source="user" if title else "none", **values)
    session.add(row)
    await session.flush()
    if "search_library" not in values and (row.project_id or row.assistant_id):
        brought = select(File.id).where(File.id.in_(at_hand(row.id)))
        if user_id is not None:
            brought = brought.where(readable(user_id))
        row.search_library = await session.scalar(brought.limit(1)) is None
        await session.flush()
    await session.refresh(row)
    return row


async def _check_place(session: AsyncSession, user_id: UUID, values: Mapping[str, Any]) -> None:
    if (project_id := values.get("project_id")) is not None:
        await owned.get(session, Project, user_id, project_id)
    if (assistant_id := values.get("assistant_id")) is not None:
        await owned.get(session, Assistant, user_id, assistant_id)
    await check_libraries(session, user_id, values.get("library_ids") or ())


async def change(
    session: AsyncSession, user_id: UUID, conversation_id: UUID, values: Mapping[str, Any]
) -> Conversation:
    """Change what the owner may change. Raises NotFound, also for what it is to be in or to search."""
    await _check_place(session, user_id, values)
    row = await get(session, user_id, conversation_id, lock=True)
    for key, value in values.items():
        setattr(row, key, value)
    if "title" in values:
        row.title_source = "user" if values["title"] else "none"
    await session.flush()
    return row


async def remove(session: AsyncSession, user_id: UUID, conversation_id: UUID) -> None:
    """Delete a conversation and, by cascade, its messages, runs, events and attachments. Raises NotFound."""
    await change_or_not_found(
        session, delete(Conversation).where(Conversation.id == conversation_id, Conversation.user_id == user_id)
    )


async def list_page(
    session: AsyncSession,
    user_id: UUID,
    *,
    limit: int,
    cursor: str | None,
    include_archived: bool,
    project_id: UUID | None = None,
    outside_projects: bool = False,
) -> tuple[list[ConversationSummary], str | None]:
    """Return conversations, newest first, and the cursor of the next page: found by key, not by counting.

    Temporary ones are not among them.
    """
    query = select(Conversation).where(Conversation.user_id == user_id, Conversation.temporary.is_(False))
    if project_id is not None:
        query = query.where(Conversation.project_id == project_id)
    if outside_projects:
        query = query.where(Conversation.project_id.is_(None))
    if not include_archived:
        query = query.where(Conversation.archived.is_(False))
    if cursor:
        key = decode_cursor(cursor, (datetime, UUID))
        query = query.where(tuple_(Conversation.updated_at, Conversation.id) < tuple_(*key))
    query = query.order_by(Conversation.updated_at.desc(), Conversation.id.desc()).limit(limit + 1)
    rows = list((await session.execute(query)).scalars())
    more = len(rows) > limit
    rows = rows[:limit]
    following = encode_cursor(rows[-1].updated_at, rows[-1].id) if more else None
    return [ConversationSummary(row) for row in rows], following


async def list_with(
    session: AsyncSession,
    user_id: UUID,
    *,
    ids: Sequence[UUID] | None,
    metadata: Mapping[str, Any],
    order: tuple[str, bool],
    limit: int | None,
    offset: int,
) -> Sequence[Conversation]:
    """Return conversations that hold at least this metadata; `order` is a column and whether the greatest is first."""
    query = select(Conversation).where(Conversation.user_id == user_id, Conversation.temporary.is_(False))
    if ids is not None:
        query = query.where(Conversation.id.in_(ids))
    if metadata:
        query = query.where(Conversation.client_metadata.contains(dict(metadata)))
    column = getattr(Conversation, order[0])
    query = query.order_by(column.desc() if order[1] else column, Conversation.id)
    return (await session.execute(query.limit(limit).offset(offset))).scalars().all()


# Titles by part or by likeness; messages by stems, and by likeness of words where no stem fits.
_SEARCH = text(
    """
    WITH mine AS (
        SELECT id, title, updated_at FROM conversations
        WHERE user_id = :user AND NOT temporary AND (:archived OR NOT archived)
          AND (CAST(:at AS timestamptz) IS NULL
               OR (updated_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
    ), by_title AS (
        SELECT id FROM mine
        WHERE lower(title) LIKE :like ESCAPE '\\' OR word_similarity(:lowered, lower(title)) >= 0.4
    ), by_stem AS (
        SELECT DISTINCT m.conversation_id AS id FROM messages m JOIN mine ON mine.id = m.conversation_id
        WHERE m.tsv @@ websearch_to_tsquery('russian', :q)
    ), by_likeness AS (
        SELECT DISTINCT m.conversation_id AS id FROM messages m JOIN mine ON mine.id = m.conversation_id
        WHERE NOT EXISTS (SELECT FROM by_stem)
          AND :lowered <% lower(left(m.content, 2000))
    )
    SELECT mine.id FROM mine
    WHERE mine.id IN (SELECT id FROM by_title UNION SELECT id FROM by_stem UNION SELECT id FROM by_likeness)
    ORDER BY mine.updated_at DESC, mine.id DESC LIMIT :limit
    """
)

# How like a word has to be for `<%`, in this transaction; the default of 0.6 forgives hardly a typo.
_LIKENESS = text("SET LOCAL pg_trgm.word_similarity_threshold = 0.45")

_SNIPPETS = text(
    """
    SELECT DISTINCT ON (m.conversation_id) m.conversation_id,
        ts_headline('russian', left(m.content, 20000), websearch_to_tsquery('russian', :q),
                    'StartSel=' || :open || ', StopSel=' || :close
                    || ', MaxWords=24, MinWords=10, MaxFragments=1')
            AS headline
    FROM messages m
    WHERE m.conversation_id = ANY(:ids)
      AND (m.tsv @@ websearch_to_tsquery('russian', :q) OR :lowered <% lower(left(m.content, 2000)))
    ORDER BY m.conversation_id, ts_rank(m.tsv, websearch_to_tsquery('russian', :q)) DESC, m.created_at DESC
    """
)


def _hit(headline: str) -> Hit:
    plain: list[str] = []
    highlights: list[tuple[int, int]] = []
    length = begun = 0
    for part in headline.replace(_OPEN, f"{_OPEN}|").replace(_CLOSE, f"{_OPEN}{_CLOSE}|").split(_OPEN):
        if part.startswith(f"{_CLOSE}|"):
            highlights.append((begun, length))
            part = part[2:]
        elif part.startswith("|"):
            begun, part = length, part[1:]
        plain.append(part)
        length += len(part)
    return Hit("".join(plain), highlights)


async def search(
    session: AsyncSession, user_id: UUID, q: str, *, limit: int, cursor: str | None, include_archived: bool
) -> tuple[list[ConversationSummary], str | None]:
    """Return conversations whose title or messages hold `q`, newest first, each with a snippet."""
    key = decode_cursor(cursor, (datetime, UUID)) if cursor else [None, None]
    escaped = q.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    words = {"q": q, "lowered": q.lower()}
    await session.execute(_LIKENESS)
    found = await session.execute(
        _SEARCH,
        {
            **words,
            "user": user_id,
            "archived": include_archived,
            "at": key[0],
            "id": key[1],
            "like": f"%{escaped}%",
            "limit": limit + 1,
        },
    )
    ids = [row.id for row in found]
    more, ids = len(ids) > limit, ids[:limit]
    rows = {
        row.id: row for row in (await session.execute(select(Conversation).where(Conversation.id.in_(ids)))).scalars()
    }
    snippets = await session.execute(_SNIPPETS, {**words, "ids": ids, "open": _OPEN, "close": _CLOSE})
    hits = {row.conversation_id: _hit(row.headline) for row in snippets}
    items = [ConversationSummary(rows[id_], hits.get(id_) or Hit(rows[id_].title or "")) for id_ in ids]
    following = encode_cursor(rows[ids[-1]].updated_at, ids[-1]) if more else None
    return items, following


async def lacks_title(session: AsyncSession, conversation_id: UUID, *, answers: int) -> bool:
    """Return whether nobody and no model has named a conversation that has at most so many answers."""
    given = select(func.count()).where(Message.conversation_id == conversation_id, Message.role == "assistant")
    nameless = select(Conversation.id).where(
        Conversation.id == conversation_id, Conversation.title_source == "none", given.scalar_subquery() <= answers
    )
    return await session.scalar(nameless) is not None


async def set_made_title(session: AsyncSession, conversation_id: UUID, title: str) -> None:
    """Give a conversation its made title, unless its owner has named it meanwhile."""
    await session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.title_source == "none")
        .values(title=title[:200], title_source="made")
    )


_NEWEST_LEAF = text(
    """
    WITH RECURSIVE below AS (
        SELECT id, created_at FROM messages WHERE id = :message AND conversation_id = :conversation
        UNION ALL
        SELECT m.id, m.created_at FROM below JOIN messages m ON m.parent_id = below.id
    )
    SELECT id FROM below
    WHERE NOT EXISTS (SELECT FROM messages c WHERE c.parent_id = below.id)
    ORDER BY created_at DESC, id DESC LIMIT 1
    """
)


async def switch(session: AsyncSession, user_id: UUID, conversation_id: UUID, message_id: UUID) -> Conversation:
    """Make the newest branch through `message_id` the current one. Raises NotFound."""
    row = await get(session, user_id, conversation_id, lock=True)
    leaf = await session.scalar(_NEWEST_LEAF, {"message": message_id, "conversation": conversation_id})
    if leaf is None:
        raise NotFound
    row.leaf_id = leaf
    await session.flush()
    return row


async def unused_temporary(session: AsyncSession, keep_seconds: float) -> Sequence[tuple[UUID, UUID]]:
    """Return temporary conversations (owner, id) whose last message is older than some seconds, where nothing runs.

    One that waits for a person for so long is among them; what a legal hold keeps is not.
    """
    query = text(
        """
        SELECT user_id, id FROM conversations c
        WHERE temporary AND user_id IS NOT NULL AND updated_at < clock_timestamp() - make_interval(secs => :keep)
          AND NOT held_conversation(c.id, c.user_id)
          AND NOT EXISTS (SELECT FROM runs WHERE conversation_id = c.id AND status = 'running')
        ORDER BY updated_at LIMIT 500
        """
    )
    return [(row.user_id, row.id) for row in await session.execute(query, {"keep": keep_seconds})]
