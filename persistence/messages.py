"""Messages: reading a branch by key, siblings, feedback, and text that is still being written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Text, Uuid, case, column, false, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer

from llama_service.errors import NotFound
from persistence.access import readable
from persistence.changes import change_or_not_found
from persistence.paging import decode_cursor, encode_cursor
from persistence.tables import Conversation, ConversationFile, File, Message, Run, User
from persistence.withheld import withhold

# Only keys travel up the tree; the wide rows are joined once, at the end.
_BRANCH_IDS = text(
    """
    WITH RECURSIVE up AS (
        SELECT id, parent_id, 1 AS depth FROM messages WHERE id = :leaf AND conversation_id = :conversation
        UNION ALL
        SELECT m.id, m.parent_id, up.depth + 1 FROM up JOIN messages m ON m.id = up.parent_id
        WHERE up.depth < :limit
    )
    SELECT id FROM up ORDER BY depth
    """
)

_PARTIAL = text(
    """
    SELECT e.run_id,
           coalesce(string_agg(e.data::json ->> 'content', '' ORDER BY e.seq) FILTER (WHERE e.event = 'chunk'), '')
               AS content,
           string_agg(e.data::json ->> 'content', '' ORDER BY e.seq) FILTER (WHERE e.event = 'reasoning') AS reasoning,
           jsonb_agg(e.data::jsonb -> 'step' ORDER BY e.seq) FILTER (WHERE e.event = 'step') AS steps
    FROM run_events e WHERE e.run_id = ANY(:runs) AND e.event IN ('chunk', 'reasoning', 'step') GROUP BY e.run_id
    """
).columns(column("run_id", Uuid), column("content", Text), column("reasoning", Text), column("steps", JSONB))


def newest_steps(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each step as it was told last, in the order in which they were told first."""
    return list({step["id"]: step for step in told}.values())


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a question was asked with."""

    file_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class BranchMessage:
    """A message of a branch, with the ids of all that stand in its place (itself too), oldest first.

    An edited question keeps the files of the one that it stands beside.
    """

    message: Message
    sibling_ids: list[UUID]
    attachments: Sequence[Attachment] = ()


async def siblings(
    session: AsyncSession, conversation_id: UUID, rows: Sequence[Message]
) -> dict[UUID | None, list[UUID]]:
    """Return the children's ids of each parent that occurs in `rows`, oldest first."""
    parents = {row.parent_id for row in rows}
    places = or_(
        Message.parent_id.in_([parent for parent in parents if parent is not None]),
        Message.parent_id.is_(None) if None in parents else false(),
    )
    found = await session.execute(
        select(Message.parent_id, Message.id)
        .where(Message.conversation_id == conversation_id, places)
        .order_by(Message.created_at, Message.id)
    )
    children: dict[UUID | None, list[UUID]] = {}
    for parent, child in found:
        children.setdefault(parent, []).append(child)
    return children


async def _attachments(session: AsyncSession, conversation: Conversation) -> dict[UUID, list[Attachment]]:
    """Return the files of a conversation's questions that its owner may read now."""
    found: dict[UUID, list[Attachment]] = {}
    if conversation.user_id is None:  # nobody's conversations have no files
        return found
    query = (
        select(ConversationFile.message_id, File.id, File.name)
        .join(File, File.id == ConversationFile.file_id)
        .where(ConversationFile.conversation_id == conversation.id, ConversationFile.message_id.is_not(None))
        .where(readable(conversation.user_id))
        .order_by(File.id)
    )
    for message_id, file_id, name in await session.execute(query):
        found.setdefault(message_id, []).append(Attachment(file_id, name))
    return found


async def _as_shown(session: AsyncSession, conversation: Conversation, rows: Sequence[Message]) -> None:
    """Complete what is being written, and withhold what its owner may not read any more; nothing of it is saved."""
    session.expunge_all()
    await _fill_streaming(session, rows)
    records = [[row.sources, row.steps] for row in rows]
    for row, (sources, steps) in zip(rows, await withhold(session, conversation.user_id, records), strict=True):
        row.sources, row.steps = sources, steps


async def _fill_streaming(session: AsyncSession, rows: Sequence[Message]) -> None:
    """Give messages that are being written, which belong to no session, the text that is known so far."""
    running = {row.run_id: row for row in rows if row.status == "streaming" and row.run_id is not None}
    if not running:
        return
    for run_id, content, reasoning, steps in await session.execute(_PARTIAL, {"runs": list(running)}):
        row = running[run_id]
        row.content += content
        row.reasoning = (row.reasoning or "") + reasoning if reasoning else row.reasoning
        row.steps = [*(row.steps or ()), *newest_steps(steps)] if steps else row.steps


async def branch(
    session: AsyncSession, conversation: Conversation, *, leaf: UUID | None, limit: int, cursor: str | None
) -> tuple[list[BranchMessage], str | None]:
    """Return the newest `limit` messages of the branch that ends in `leaf`, in the order of the talk.

    The cursor leads to the page before them. Raises NotFound for a leaf of another conversation.
    """
    start = decode_cursor(cursor, (UUID,))[0] if cursor else leaf or conversation.leaf_id
    if start is None:
        return [], None
    found = await session.execute(_BRANCH_IDS, {"leaf": start, "conversation": conversation.id, "limit": limit + 1})
    ids = [row.id for row in found]
    if not ids:
        raise NotFound
    following = encode_cursor(ids[limit]) if len(ids) > limit else None
    ids = ids[:limit]
    query = select(Message).options(defer(Message.tsv)).where(Message.id.in_(ids))
    rows = {row.id: row for row in (await session.execute(query)).scalars()}
    ordered = [rows[id_] for id_ in reversed(ids)]
    children = await siblings(session, conversation.id, ordered)
    await _as_shown(session, conversation, ordered)
    attached = await _attachments(session, conversation)
    items = []
    for row in ordered:
        places = children[row.parent_id]
        files = [file for place in places for file in attached.get(place, ())] if row.role == "user" else []
        items.append(BranchMessage(row, places, files))
    return items, following


async def get(session: AsyncSession, user_id: UUID, message_id: UUID) -> Message:
    """Return a message of one of the user's conversations. Raises NotFound."""
    query = (
        select(Message)
        .options(defer(Message.tsv))
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(Message.id == message_id, Conversation.user_id == user_id)
    )
    found = (await session.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def list_all(session: AsyncSession, conversation: Conversation) -> list[Message]:
    """Return the whole tree of a conversation, as its owner may see it, parents before children."""
    query = (
        select(Message)
        .options(defer(Message.tsv))
        .where(Message.conversation_id == conversation.id)
        .order_by(Message.created_at, Message.id)
    )
    rows = list((await session.execute(query)).scalars())
    await _as_shown(session, conversation, rows)
    return rows


async def set_checkpoint(
    session: AsyncSession, message_id: UUID, checkpoint_id: str, *, instead_of: str | None = None
) -> None:
    """Let the question below an answer run from another state. The caller has checked whose it is.

    With `instead_of` only where that is the state so far.
    """
    change = update(Message).where(Message.id == message_id).values(checkpoint_id=checkpoint_id)
    if instead_of is not None:
        change = change.where(Message.checkpoint_id == instead_of)
    await session.execute(change)


async def rate(
    session: AsyncSession,
    user_id: UUID,
    message_id: UUID,
    *,
    rating: str,
    comment: str | None,
    reasons: Sequence[str],
    show_text: bool,
) -> None:
    """Keep the owner's opinion of an answer, in the place of the one before. Raises NotFound."""
    values = {
        "rating": rating,
        "comment": comment,
        "rating_reasons": list(dict.fromkeys(reasons)) or None,
        "rating_shows_text": show_text,
        "rated_at": func.clock_timestamp(),
    }
    await _set_rating(session, user_id, message_id, values)


async def unrate(session: AsyncSession, user_id: UUID, message_id: UUID) -> None:
    """Take the owner's opinion of an answer back. Raises NotFound."""
    nothing = dict.fromkeys(("rating", "comment", "rating_reasons", "rated_at"))
    await _set_rating(session, user_id, message_id, nothing | {"rating_shows_text": False})


async def _set_rating(session: AsyncSession, user_id: UUID, message_id: UUID, values: Mapping[str, Any]) -> None:
    mine = select(Conversation.id).where(Conversation.user_id == user_id)
    await change_or_not_found(
        session, update(Message).where(Message.id == message_id, Message.conversation_id.in_(mine)).values(**values)
    )


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that somebody has an opinion of, its question, and who gave it; texts only where they are shown."""

    answer: Message
    question: str | None
    username: str | None


async def list_rated(
    session: AsyncSession, *, rating: str | None, limit: int, cursor: str | None
) -> tuple[list[Rated], str | None]:
    """Return opinions of everybody's answers, newest first, and the cursor of the next page. For administrators."""
    asked = aliased(Message)
    question = case((Message.rating_shows_text, asked.content))
    query = (
        select(Message, question, User.username)
        .options(defer(Message.tsv))
        .join(Conversation, Conversation.id == Message.conversation_id)
        .outerjoin(User, User.id == Conversation.user_id)
        .outerjoin(asked, asked.id == Message.parent_id)
        .where(Message.rated_at.is_not(None))
    )
    if rating is not None:
        query = query.where(Message.rating == rating)
    if cursor:
        query = query.where(tuple_(Message.rated_at, Message.id) < tuple_(*decode_cursor(cursor, (datetime, UUID))))
    query = query.order_by(Message.rated_at.desc(), Message.id.desc()).limit(limit + 1)
    rows = [Rated(*row) for row in await session.execute(query)]
    more, rows = len(rows) > limit, rows[:limit]
    last = rows[-1].answer if more else None
    return rows, encode_cursor(last.rated_at, last.id) if last and last.rated_at else None


async def trace(session: AsyncSession, user_id: UUID, message_id: UUID) -> tuple[Message, Run]:
    """Return an answer and the newest run that made it. Raises NotFound."""
    message = await get(session, user_id, message_id)
    query = select(Run).where(Run.message_id == message_id).order_by(Run.created_at.desc()).limit(1)
    run = (await session.execute(query)).scalar_one_or_none()
    if run is None:
        raise NotFound("This message was not made by a model here, so there is nothing to explain.")
    return message, run


async def whole_prompt(
    session: AsyncSession, conversation_id: UUID, prompt: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a trace's prompt with the talk in it, which the trace itself names by its last message and length."""
    whole: list[dict[str, Any]] = []
    for part in prompt:
        if part["role"] != "history":
            pieces = part["content"]  # of an older version: one text
            content = pieces if isinstance(pieces, str) else "".join(map(_piece, pieces))
            whole.append({"role": part["role"], "content": content})
            continue
        places = {"leaf": UUID(part["last_id"]), "conversation": conversation_id, "limit": part["count"] + _EMPTY}
        ids = [row.id for row in await session.execute(_BRANCH_IDS, places)]
        query = select(Message.id, Message.role, Message.content).where(Message.id.in_(ids), Message.content != "")
        rows = {row.id: row for row in await session.execute(query)}
        spoken = [rows[id_] for id_ in ids if id_ in rows][: part["count"]]
        whole += [{"role": row.role, "content": row.content} for row in reversed(spoken)]
    return whole


def _piece(piece: dict[str, Any]) -> str:
    return str(piece["text"] if piece.get("available", True) else WITHHELD)


WITHHELD: Final = "(You can't read this file any more.)"
# Messages without text (an answer that failed) stand in the branch and not in the prompt.
_EMPTY = 50
