"""Calls of tools: written down before a tool begins and when it has ended, so that it runs once whatever dies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from persistence.session import Database, Statement


@dataclass(frozen=True, slots=True)
class CallRecord:
    """How far a call is. `result` is what `finish` was given; `is_new` where nobody had written it down before."""

    id: str
    status: str
    result: dict[str, Any] | None
    is_new: bool


# Only the run's own worker writes. A call that is there already keeps what is known of it.
_BEGIN = Statement(
    """
    WITH mine AS (
        SELECT id FROM runs WHERE id = :run AND status = 'running' AND worker = :worker
    ), new AS (
        INSERT INTO tool_calls (run_id, id, name, status)
        SELECT mine.id, c.id, c.name, c.status FROM mine,
               unnest(CAST(:ids AS varchar[]), CAST(:names AS varchar[]), CAST(:statuses AS varchar[]))
               AS c (id, name, status)
        ON CONFLICT DO NOTHING RETURNING tool_calls.id, tool_calls.status
    )
    SELECT id, status, NULL::jsonb AS result, true AS is_new FROM new
    UNION ALL
    SELECT c.id, c.status, c.result, false FROM tool_calls c JOIN mine ON mine.id = c.run_id
    WHERE c.id = ANY(CAST(:ids AS varchar[])) AND c.id NOT IN (SELECT id FROM new)
    """
)
_SET = Statement(
    """
    UPDATE tool_calls c SET status = :status, result = CAST(:result AS jsonb)
    FROM runs r WHERE r.id = c.run_id AND r.worker = :worker AND r.status = 'running'
      AND c.run_id = :run AND c.id = :id RETURNING c.id
    """
)


async def begin_calls(
    database: Database, run_id: UUID, worker: UUID, calls: Sequence[tuple[str, str, str]]
) -> dict[str, CallRecord]:
    """Write calls (id, name, status) down and return what is known of each; nothing where the run is not this worker's.

    Returns when Postgres has them on disk.
    """
    ids, names, statuses = ([call[at] for call in calls] for at in range(3))
    values = {"run": run_id, "worker": worker, "ids": ids, "names": names, "statuses": statuses}
    async with database.raw(transaction=False) as connection:
        rows = await connection.rows(_BEGIN, values)
    return {
        row["id"]: CallRecord(
            row["id"], row["status"], orjson.loads(row["result"]) if row["result"] else None, row["is_new"]
        )
        for row in rows
    }


async def set_call(
    database: Database, run_id: UUID, worker: UUID, call_id: str, status: str, result: dict[str, Any] | None
) -> bool:
    """Write how far a call is; return False where the run is not this worker's any more."""
    encoded = orjson.dumps(result, default=str).decode() if result is not None else None
    values = {"run": run_id, "worker": worker, "id": call_id, "status": status, "result": encoded}
    async with database.raw(transaction=False) as connection:
        return await connection.row(_SET, values) is not None
