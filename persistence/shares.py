"""Shared conversations: frozen copies of a branch, read by whoever has the link and is let in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import Conflict, NotFound
from persistence import conversations, messages
from persistence.changes import change_or_not_found
from persistence.messages import BranchMessage
from persistence.secret_tokens import hash_of, new_token
from persistence.tables import Share, User
from persistence.withheld import withhold

Audience: TypeAlias = Literal["signed_in", "anyone"]
MOST: Final = 50  # of one conversation
_PAGE = 200
# What readers see of a source: enough to judge the answer, nothing that leads to the file.
_OF_SOURCE = ("n", "file_name", "page", "snippet")
# What tells whether the sharer may still read it; no reader sees that.
_KEPT_OF_SOURCE = (*_OF_SOURCE, "file_id", "shared", "imported")


async def create(
    session: AsyncSession,
    user_id: UUID,
    conversation_id: UUID,
    *,
    audience: Audience,
    with_sources: bool,
    expires_at: datetime | None,
) -> tuple[Share, str]:
    """Freeze the current branch of a conversation of the user's; return the row, and the link's token.

    Raises NotFound for a conversation that is not theirs, Conflict where nothing has been said or much is shared.
    """
    conversation = await conversations.get(session, user_id, conversation_id)
    count = await session.scalar(select(func.count()).where(Share.conversation_id == conversation_id))
    if int(count or 0) >= MOST:
        raise Conflict.because(
            "too_many_shares", f"This chat is shared {MOST} times; revoke a link that is not needed.", limit=MOST
        )
    pages: list[list[BranchMessage]] = []
    cursor: str | None = None
    while True:
        items, cursor = await messages.branch(session, conversation, leaf=None, limit=_PAGE, cursor=cursor)
        pages.append(items)
        if cursor is None:
            break
    frozen = [_frozen(item, with_sources) for page in reversed(pages) for item in page]
    if not frozen:
        raise Conflict.because("nothing_to_share", "There is nothing to share in this chat yet.")
    token = new_token()
    row = Share(
        user_id=user_id,
        conversation_id=conversation_id,
        token_hash=hash_of(token),
        audience=audience,
        with_sources=with_sources,
        title=conversation.title,
        messages=frozen,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row, token


def _frozen(item: BranchMessage, with_sources: bool) -> dict[str, Any]:
    row = item.message
    shown = row.sources or [] if with_sources else []
    sources = [{name: source[name] for name in _KEPT_OF_SOURCE if name in source} for source in shown]
    return {
        "role": row.role,
        "content": row.content,
        "model_name": row.model_name,
        "created_at": row.created_at.isoformat(),
        "sources": sources,
    }


async def of_conversation(session: AsyncSession, user_id: UUID, conversation_id: UUID) -> Sequence[Share]:
    """Return the shares of a conversation of the user's, newest first; expired ones are among them. Raises NotFound."""
    await conversations.get(session, user_id, conversation_id)
    query = select(Share).where(Share.conversation_id == conversation_id, Share.user_id == user_id)
    return (await session.execute(query.order_by(Share.id.desc()))).scalars().all()


async def revoke(session: AsyncSession, user_id: UUID, conversation_id: UUID, share_id: UUID) -> None:
    """End a share of the user's, at once. Raises NotFound."""
    await change_or_not_found(
        session,
        delete(Share).where(Share.id == share_id, Share.conversation_id == conversation_id, Share.user_id == user_id),
    )


async def read(
    session: AsyncSession, token: str, audiences: Sequence[Audience]
) -> tuple[Share, str, Sequence[dict[str, Any]]]:
    """Return what a link leads to, its owner's name, and its messages as far as that one may read their sources now.

    Raises NotFound for a link that is unknown, revoked, expired, or for others than the reader.
    """
    query = (
        select(Share, User.username)
        .join(User, User.id == Share.user_id)
        .where(
            Share.token_hash == hash_of(token),
            Share.audience.in_(audiences),
            User.is_active,
            or_(Share.expires_at.is_(None), Share.expires_at > func.clock_timestamp()),
        )
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise NotFound
    share, owner = found
    return share, owner, await withhold(session, share.user_id, share.messages)
