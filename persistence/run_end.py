"""How a run ends, waits for a person, or passes to another worker: one statement each.

Every statement asks whether the run is still this worker's: who lost the lease writes nothing. And it asks whether the
event before is there: one that a crash of Postgres has lost is written again first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from persistence import audit
from persistence.decisions import Answer, decided
from persistence.personal import Personal, personal_columns
from persistence.session import Database, RawConnection, Statement
from persistence.turn_start import (
    CONVERSATION_COLUMNS,
    LEASE_SECONDS,
    WITH_ASSISTANT,
    ConversationRow,
    Placement,
    UnfinishedAnswer,
    unfinished_columns,
)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended and what is kept of it. `content` is the whole text of the answer; `data` a line of JSON."""

    run_id: UUID
    worker: UUID
    status: str
    message_status: str
    content: str
    seq: int
    event: str
    data: str
    reasoning: str | None = None
    checkpoint_id: str | None = None
    sources: str | None = None
    confidence: str | None = None
    steps: str | None = None
    model_source: str | None = None
    model_name: str | None = None
    fallback_from: str | None = None
    finish_reason: str | None = None
    usage: str | None = None
    timings: str | None = None
    error: str | None = None
    trace: str | None = None


_JOINED = """
    (CAST(:seq AS int) = 1 OR EXISTS (
        SELECT FROM run_events e WHERE e.run_id = runs.id AND e.seq = CAST(:seq AS int) - 1))
"""

_END = Statement(
    f"""
    WITH run AS (
        UPDATE runs SET status = :status, trace = CAST(:trace AS jsonb), error = CAST(:error AS jsonb),
               interrupts = NULL, resume = NULL, finished_at = clock_timestamp()
        WHERE id = :run_id AND status = 'running' AND worker = :worker AND {_JOINED}
        RETURNING id, message_id
    ), answer AS (
        UPDATE messages SET content = :content, reasoning = :reasoning, status = :message_status,
               checkpoint_id = :checkpoint_id, sources = CAST(:sources AS jsonb), confidence = :confidence,
               steps = CASE WHEN CAST(:steps AS jsonb) IS NULL THEN steps
                            ELSE coalesce(steps, '[]'::jsonb) || CAST(:steps AS jsonb) END,
               model_source = :model_source, model_name = :model_name, fallback_from = :fallback_from,
               finish_reason = :finish_reason, usage = CAST(:usage AS jsonb), timings = CAST(:timings AS jsonb),
               error = CAST(:error AS jsonb)
        FROM run WHERE messages.id = run.message_id
    ), last AS (
        INSERT INTO run_events (run_id, seq, event, data)
        SELECT run.id, CAST(:seq AS int), CAST(:event AS varchar), CAST(:data AS text) FROM run
    )
    SELECT pg_notify('run_events', CAST(run.id AS text)) FROM run
    """  # noqa: S608  (parts of our own)
)


async def end_run(database: Database, end: RunEnd) -> bool:
    """Write the end of a run: answer, trace and last event together. Safe to repeat.

    Returns False where the run is not this worker's any more, has ended before, or lacks the event before.
    """
    values = {name: getattr(end, name) for name in RunEnd.__dataclass_fields__}
    async with database.raw(transaction=False) as connection:
        return await connection.row(_END, values) is not None


_WAIT = Statement(
    f"""
    WITH run AS (
        UPDATE runs SET status = 'waiting', interrupts = CAST(:interrupts AS jsonb), resume = NULL
        WHERE id = :run_id AND status = 'running' AND worker = :worker AND {_JOINED} RETURNING id
    ), last AS (
        INSERT INTO run_events (run_id, seq, event, data)
        SELECT run.id, CAST(:seq AS int), 'action', CAST(:data AS text) FROM run
    )
    SELECT pg_notify('run_events', CAST(run.id AS text)) FROM run
    """  # noqa: S608
)


async def wait_for_person(
    database: Database, run_id: UUID, worker: UUID, *, interrupts: Sequence[dict[str, Any]], seq: int, data: str
) -> bool:
    """Set a run aside until somebody answers its interrupts.

    Returns False where it is not this worker's any more, or lacks the event before.
    """
    values = {"run_id": run_id, "worker": worker, "interrupts": orjson.dumps(interrupts).decode()}
    async with database.raw(transaction=False) as connection:
        return await connection.row(_WAIT, values | {"seq": seq, "data": data}) is not None


_RELEASE = Statement(
    f"""
    WITH run AS (
        UPDATE runs SET lease_until = clock_timestamp(), attempt = attempt - CASE WHEN :counts THEN 0 ELSE 1 END
        WHERE id = :run_id AND worker = :worker AND status = 'running' AND {_JOINED} RETURNING id, message_id
    ), answer AS (
        UPDATE messages SET usage = CAST(:usage AS jsonb) FROM run
        WHERE messages.id = run.message_id AND CAST(:usage AS jsonb) IS NOT NULL
    )
    SELECT id FROM run
    """  # noqa: S608
)


async def release_run(
    database: Database, run_id: UUID, worker: UUID, seq: int, *, counts: bool, usage: str | None = None
) -> bool:
    """Give up a run's lease, so that another worker takes it over at once; `counts` whether that was an attempt.

    `seq` is the number of the event that comes next; `usage`, a line of JSON, is what the answer has cost so far, where
    the graph's state does not say that. Returns False where the run is not this worker's any more, or
    lacks the event before.
    """
    values = {"run_id": run_id, "worker": worker, "seq": seq, "counts": counts, "usage": usage}
    async with database.raw(transaction=False) as connection:
        return await connection.row(_RELEASE, values) is not None


_EXTEND = Statement(
    """
    UPDATE runs SET lease_until = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = ANY(CAST(:active AS uuid[])) AND worker = CAST(:worker AS uuid) AND status = 'running'
    RETURNING id, cancel_requested
    """
)


async def extend_leases(database: Database, worker: UUID, active: Sequence[UUID]) -> set[UUID]:
    """Prolong the leases of the runs that this worker works on; return those of them that shall be cancelled.

    A run that the worker has let go of, for whatever reason, is left to expire: somebody has to end it.
    """
    values = {"active": list(active), "worker": worker, "lease": float(LEASE_SECONDS)}
    async with database.raw(transaction=False) as connection:
        return {row["id"] for row in await connection.rows(_EXTEND, values) if row["cancel_requested"]}


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that this worker goes on with. `events` are (number, name, line of JSON), oldest first."""

    run_id: UUID
    user_id: UUID | None
    attempt: int
    cancel_requested: bool
    resume: Any
    request: dict[str, Any]
    place: Placement
    personal: Personal
    events: list[tuple[int, str, str]] = field(default_factory=list)


# A worker that died leaves a lease behind that nobody prolongs.
_CLAIM_ABANDONED = Statement(
    """
    WITH abandoned AS (
        SELECT id FROM runs WHERE status = 'running' AND lease_until < clock_timestamp()
        ORDER BY lease_until LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE runs SET worker = CAST(:worker AS uuid), attempt = attempt + 1,
           lease_until = clock_timestamp() + make_interval(secs => :lease)
    FROM abandoned WHERE runs.id = abandoned.id RETURNING runs.id
    """
)

_CLAIM_WAITING = Statement(
    """
    UPDATE runs SET status = 'running', worker = CAST(:worker AS uuid), resume = CAST(:resume AS jsonb),
           attempt = 1, lease_until = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = CAST(:run AS uuid) AND user_id = CAST(:user AS uuid) AND status = 'waiting' RETURNING id, interrupts
    """
)

_LOAD = Statement(
    f"""
    SELECT r.id AS run, r.user_id, r.attempt, r.cancel_requested, r.resume, r.request,
           q.id AS question_id, q.content AS question, q.images, q.parent_id, p.checkpoint_id,
           w.id AS answer_id, {unfinished_columns("w")},
           {CONVERSATION_COLUMNS}, {personal_columns("c", "r.user_id")}
    FROM runs r JOIN conversations c ON c.id = r.conversation_id {WITH_ASSISTANT}
    JOIN messages q ON q.id = r.user_message_id JOIN messages w ON w.id = r.message_id
    LEFT JOIN messages p ON p.id = q.parent_id
    WHERE r.id = ANY(CAST(:runs AS uuid[]))
    """  # noqa: S608  (parts of our own)
)
_EVENTS = Statement(
    "SELECT run_id, seq, event, data FROM run_events WHERE run_id = ANY(CAST(:runs AS uuid[])) ORDER BY seq"
)


async def claim_abandoned(database: Database, worker: UUID, most: int) -> list[ClaimedRun]:
    """Take up to `most` runs whose worker has died; each counts one more attempt."""
    async with database.raw() as connection:
        values = {"worker": worker, "lease": float(LEASE_SECONDS), "most": most}
        return await _load(connection, [row["id"] for row in await connection.rows(_CLAIM_ABANDONED, values)])


async def claim_waiting(
    database: Database, worker: UUID, user_id: UUID, run_id: UUID, answer: Answer | None
) -> ClaimedRun | None:
    """Take a run of the user that waits for a person, with the answer to it; None where it does not wait.

    What the answer decides is noted with it, by who gets the run alone. Raises UnknownStep, and leaves the run waiting.
    """
    async with database.raw() as connection:
        resume = orjson.dumps(answer.given).decode() if answer is not None else None
        values = {"worker": worker, "lease": float(LEASE_SECONDS), "user": user_id, "run": run_id, "resume": resume}
        row = await connection.row(_CLAIM_WAITING, values)
        if row is None:
            return None
        loaded = await _load(connection, [row["id"]])
        if loaded and answer is not None:
            await _note(connection, run_id, orjson.loads(row["interrupts"] or "[]"), answer)
        return loaded[0] if loaded else None


async def _note(connection: RawConnection, run_id: UUID, interrupts: Sequence[dict[str, Any]], answer: Answer) -> None:
    """Note what an answer decides, where it decides something. Raises UnknownStep."""
    decisions = decided(interrupts, answer.given)
    if decisions is not None:
        told = {"decisions": decisions or None, "protocol": answer.protocol}
        await audit.note_raw(connection, "call_decided", answer.by, ("run", run_id), **told)


async def _load(connection: Any, runs: list[UUID]) -> list[ClaimedRun]:
    if not runs:
        return []
    loaded = {row["run"]: _claimed(row) for row in await connection.rows(_LOAD, {"runs": runs})}
    for row in await connection.rows(_EVENTS, {"runs": runs}):
        if row["run_id"] in loaded:
            loaded[row["run_id"]].events.append((row["seq"], row["event"], row["data"]))
    return list(loaded.values())


def _claimed(row: Any) -> ClaimedRun:
    place = Placement(
        ConversationRow.of(row),
        row["question"],
        row["question_id"],
        row["answer_id"],
        row["parent_id"],
        row["checkpoint_id"],
        new_question=False,
        new_answer=False,
        unfinished=UnfinishedAnswer.of(row),
        images=row["images"] or (),
    )
    resume = orjson.loads(row["resume"]) if row["resume"] is not None else None
    request = orjson.loads(row["request"])
    told = (row["attempt"], row["cancel_requested"], resume, request, place, Personal.of(row))
    return ClaimedRun(row["run"], row["user_id"], *told)
