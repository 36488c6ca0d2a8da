"""What a backup that was brought back is asked, to see that it answers: what its files have answered before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# The first questions of chats only: a later one can't be understood alone.
_ANSWERED: Final = text("""
    SELECT conversation.user_id, conversation.id, left(question.content, 1000), found.file_ids
    FROM messages answer
    JOIN messages question ON question.id = answer.parent_id AND question.parent_id IS NULL
    JOIN conversations conversation ON conversation.id = answer.conversation_id
    JOIN users ON users.id = conversation.user_id AND users.is_active
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT files.id) AS file_ids
        FROM jsonb_array_elements(answer.sources) source
        JOIN files ON files.id = (source ->> 'file_id')::uuid AND files.user_id = conversation.user_id
        WHERE files.status = 'completed' AND answer.confidence IS DISTINCT FROM 'weak'
    ) found
    WHERE answer.role = 'assistant' AND answer.status = 'complete' AND jsonb_typeof(answer.sources) = 'array'
      AND found.file_ids IS NOT NULL
    ORDER BY answer.created_at DESC LIMIT :most
""")
_PASSAGES: Final = text("""
    SELECT files.user_id, NULL::uuid, left(passage.text, 200), ARRAY[files.id]
    FROM files
    JOIN users ON users.id = files.user_id AND users.is_active
    CROSS JOIN LATERAL (SELECT text FROM passages WHERE file_id = files.id ORDER BY position LIMIT 1) passage
    WHERE files.status = 'completed' AND files.in_library ORDER BY files.created_at DESC LIMIT :most
""")
_END_RUNS: Final = text("""
    WITH ended AS (
        UPDATE runs SET status = 'interrupted', finished_at = clock_timestamp()
        WHERE status IN ('running', 'waiting') RETURNING message_id
    )
    UPDATE messages SET status = 'interrupted' FROM ended WHERE messages.id = ended.message_id
""")

_NO_PROVIDER_SESSIONS: Final = text("DELETE FROM provider_sessions")
_NO_TOOL_SERVERS: Final = text("UPDATE mcp_servers SET enabled = false")


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask as whom, in which chat's scope if any, and the files of which one has to be found."""

    user_id: UUID
    conversation_id: UUID | None
    question: str
    file_ids: Sequence[UUID]


async def choose_probes(session: AsyncSession, most: int) -> list[Probe]:
    """Return the newest questions that were answered from files; where there are none, words of the newest files."""
    rows = (await session.execute(_ANSWERED, {"most": most})).all()
    rows = rows or (await session.execute(_PASSAGES, {"most": most})).all()
    return [Probe(*row) for row in rows]


async def cut_off(session: AsyncSession) -> None:
    """Take from a copy of an instance what would reach beyond it.

    What was under way must not call tools a second time; nobody's tokens are renewed at a sign-in provider, which would
    end the session of whoever they are from; tool servers are not asked.
    """
    for statement in (_END_RUNS, _NO_PROVIDER_SESSIONS, _NO_TOOL_SERVERS):
        await session.execute(statement)
