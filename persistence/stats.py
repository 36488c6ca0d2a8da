"""Counts, for an account and for the whole server."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_TOTALS = text(
    """
    SELECT
      (SELECT count(*) FROM conversations WHERE CAST(:user AS uuid) IS NULL OR user_id = :user) AS conversations,
      (SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id
        WHERE CAST(:user AS uuid) IS NULL OR c.user_id = :user) AS messages,
      (SELECT count(*) FROM files WHERE CAST(:user AS uuid) IS NULL OR user_id = :user) AS files,
      (SELECT coalesce(sum(size), 0)::bigint FROM files WHERE CAST(:user AS uuid) IS NULL OR user_id = :user) AS bytes
    """
)

# Of answers that were made here: what was imported, or told as the beginning of a talk, has no run.
_MADE_HERE = "m.role = 'assistant' AND m.run_id IS NOT NULL"
_SPENT = """
    count(*) AS answers,
    coalesce(sum((m.usage ->> 'input_tokens')::numeric), 0) AS input_tokens,
    coalesce(sum((m.usage ->> 'output_tokens')::numeric), 0) AS output_tokens,
    coalesce(sum((m.usage ->> 'cost_usd')::numeric), 0) AS cost_usd
"""
_BY = f"""
    SELECT {{key}} AS key, {_SPENT}
    FROM messages m JOIN conversations c ON c.id = m.conversation_id
    WHERE {_MADE_HERE} AND (CAST(:user AS uuid) IS NULL OR c.user_id = :user)
      AND m.created_at > clock_timestamp() - interval '90 days'
    GROUP BY 1 ORDER BY 1
"""  # noqa: S608  (parts of our own)
_BY_DAY = text(_BY.format(key="to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"))
_BY_MODEL = text(_BY.format(key="coalesce(m.model_source, '-') || '/' || coalesce(m.model_name, '-')"))


async def totals(session: AsyncSession, user_id: UUID | None) -> dict[str, int]:
    """Return conversations, messages, files and bytes of an account, or of all where `user_id` is None."""
    row = (await session.execute(_TOTALS, {"user": user_id})).one()
    return {name: int(value) for name, value in row._mapping.items()}


async def by_day(session: AsyncSession, user_id: UUID | None) -> Sequence[dict[str, Any]]:
    """Return answers and tokens of the last 90 days, by day."""
    return [_spent(row) for row in await session.execute(_BY_DAY, {"user": user_id})]


async def by_model(session: AsyncSession, user_id: UUID | None) -> Sequence[dict[str, Any]]:
    """Return answers and tokens of the last 90 days, by source and model."""
    return [_spent(row) for row in await session.execute(_BY_MODEL, {"user": user_id})]


def _spent(row: Any) -> dict[str, Any]:
    """Return a row of `_SPENT`: sums are exact in Postgres, and plain numbers here."""
    given, made, cost = int(row.input_tokens), int(row.output_tokens), float(row.cost_usd)
    return {**row._mapping, "input_tokens": given, "output_tokens": made, "cost_usd": cost}


_OF_CONVERSATION = text(
    f"""
    SELECT {_SPENT}, count(m.usage ->> 'cost_usd') AS priced
    FROM messages m JOIN conversations c ON c.id = m.conversation_id
    WHERE c.id = :conversation AND c.user_id = :user AND {_MADE_HERE} AND m.usage IS NOT NULL
    """  # noqa: S608  (parts of our own)
)


async def of_conversation(session: AsyncSession, user_id: UUID, conversation_id: UUID) -> dict[str, Any]:
    """Return answers, tokens and US dollars of a conversation of the user's, as far as they were spent here."""
    return _spent((await session.execute(_OF_CONVERSATION, {"conversation": conversation_id, "user": user_id})).one())


async def sizes(session: AsyncSession) -> dict[str, int]:
    """Return bytes on disk: the database, its checkpoints, its lexical index."""
    query = text(
        """
        SELECT pg_database_size(current_database()) AS database,
          (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c
            WHERE c.relkind = 'r' AND c.relname IN ('checkpoints', 'checkpoint_blobs', 'checkpoint_writes'))::bigint
            AS checkpoints,
          pg_total_relation_size('postings') AS lexical_index,
          (SELECT count(*) FROM users) AS users,
          (SELECT count(*) FROM runs WHERE status = 'running') AS running
        """
    )
    row = (await session.execute(query)).one()
    return {name: int(value) for name, value in row._mapping.items()}


async def answers(session: AsyncSession) -> int:
    """Return the number of answers, to tell bytes per turn."""
    return int(await session.scalar(text("SELECT count(*) FROM runs")) or 0)
