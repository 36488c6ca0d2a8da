"""The beginning and the end of a turn: one transaction each, few statements, whatever the talk's length.

Begin: lock the conversation, read the branch, write question, empty answer and run. End: text, trace and last event.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import BadRequest, Conflict, NotFound
from llama_service.ids import new_id
from persistence.session import Database, Fast, Statement

LEASE_SECONDS = 10
MAX_HISTORY = 100  # messages: a turn late in a long talk must not cost more than an early one


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the branch above the question."""

    id: UUID
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Where and what a turn asks. Exactly one kind of place is meant; see `ChatRequest` for the fields."""

    content: str
    conversation_id: UUID | None = None
    parent_message_id: UUID | None = None
    edit_of: UUID | None = None
    regenerate: bool = False
    continue_message_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation, as far as a turn needs to know it."""

    id: UUID
    title: str | None
    title_source: str
    model_source: str | None
    model_name: str | None
    system_prompt: str | None
    leaf_id: UUID | None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a conversation begins, where the turn begins one; `earlier` is a talk (role, content) before the question."""

    model_source: str | None = None
    model_name: str | None = None
    system_prompt: str | None = None
    earlier: Sequence[tuple[str, str]] = ()


class Lines(Protocol):
    """Makes what is kept with a run, once its conversation is known."""

    def characters(self, thread: Thread) -> int:
        """Return how much of the branch is worth reading."""
        ...

    def request(self, thread: Thread) -> str:
        """Return the request as a line of JSON."""
        ...

    def start(self, thread: Thread, run: UUID, question: UUID, answer: UUID) -> str:
        """Return the first event as a line of JSON."""
        ...

    def title(self, question: str) -> str:
        """Return a title to begin with."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that stands in the database: everything that the graph needs to know of it.

    `history` is the branch above the question, oldest first. `said` is the text that a continued answer begins with.
    """

    run_id: UUID
    conversation_id: UUID
    user_message_id: UUID
    message_id: UUID
    question: str
    history: list[Said]
    conversation: Thread
    first: bool
    said: str = ""
    has_files: bool = True


@dataclass(slots=True)
class _Place:
    parent: UUID | None = None
    question_id: UUID | None = None
    question: str = ""
    answer_id: UUID | None = None
    said: str = ""
    history: list[Said] = field(default_factory=list)
    first: bool = False


# The way up from `leaf`, newest first, until enough characters for any model's context have been collected.
_UP = Statement(
    """
    WITH RECURSIVE up AS (
        SELECT id, parent_id, role, content, status, run_id, 1 AS depth, length(content)::bigint AS total
        FROM messages WHERE id = :leaf AND conversation_id = :conversation
        UNION ALL
        SELECT m.id, m.parent_id, m.role, m.content, m.status, m.run_id, up.depth + 1, up.total + length(m.content)
        FROM up JOIN messages m ON m.id = up.parent_id
        -- The question above an answer is needed however long the answer is.
        WHERE up.depth < :limit AND (up.total < :characters OR up.depth < 3)
    )
    SELECT id, parent_id, role, content, status, run_id FROM up ORDER BY depth
    """
)

_LOCK = Statement(
    """
    SELECT id, title, title_source, model_source, model_name, system_prompt, leaf_id FROM conversations
    WHERE id = :conversation AND user_id = :user FOR UPDATE
    """
)

_CREATE = Statement(
    """
    INSERT INTO conversations (id, user_id, model_source, model_name, system_prompt)
    VALUES (:id, :user, :model_source, :model_name, :system_prompt)
    """
)

_EARLIER = Statement(
    """
    INSERT INTO messages (id, conversation_id, parent_id, role, content)
    VALUES (:id, :conversation, :parent, :role, :content)
    """
)

_PARENT = Statement("SELECT parent_id, role FROM messages WHERE id = :message AND conversation_id = :conversation")
_RUNNING = Statement("SELECT id FROM runs WHERE user_message_id = :question AND status = 'running'")

_BEGIN = Statement(
    """
    WITH question AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, content, status)
        SELECT CAST(:question_id AS uuid), CAST(:conversation AS uuid), CAST(:parent AS uuid), 'user',
               CAST(:content AS text), 'complete'
        WHERE CAST(:new_question AS boolean)
    ), answer AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, status, run_id, created_at)
        SELECT CAST(:answer_id AS uuid), CAST(:conversation AS uuid), CAST(:question_id AS uuid), 'assistant',
               'streaming', CAST(:run AS uuid), clock_timestamp() + interval '1 microsecond'
        WHERE CAST(:new_answer AS boolean)
    ), continued AS (
        UPDATE messages SET status = 'streaming', run_id = CAST(:run AS uuid), error = NULL
        WHERE id = CAST(:answer_id AS uuid) AND NOT CAST(:new_answer AS boolean)
    ), run AS (
        INSERT INTO runs (id, conversation_id, user_id, user_message_id, message_id, worker, lease_until, request)
        VALUES (:run, :conversation, :user, CAST(:question_id AS uuid), CAST(:answer_id AS uuid), :worker,
                clock_timestamp() + make_interval(secs => :lease), CAST(:request AS jsonb))
    ), first AS (
        INSERT INTO run_events (run_id, seq, event, data) VALUES (:run, 1, 'start', :start)
    )
    UPDATE conversations SET leaf_id = CAST(:answer_id AS uuid), updated_at = clock_timestamp(),
           title = coalesce(title, CAST(:title AS varchar))
    WHERE id = CAST(:conversation AS uuid)
    RETURNING EXISTS (SELECT FROM files WHERE files.user_id = CAST(:user AS uuid)) AS has_files
    """
)


async def _branch(fast: Fast, leaf: UUID, conversation: UUID, room: int) -> list[Any]:
    """Return the branch that ends in `leaf`, newest first. Raises NotFound for a leaf of another conversation."""
    places = {"leaf": leaf, "conversation": conversation, "limit": MAX_HISTORY, "characters": room}
    rows = await fast.rows(_UP, places)
    if not rows:
        raise NotFound
    return rows


def _talk(rows: Sequence[Any]) -> list[Said]:
    return [Said(row["id"], row["role"], row["content"]) for row in reversed(rows) if row["content"]]


async def _locate(fast: Fast, asked: Asked, thread: Thread, room: int) -> _Place:
    if asked.continue_message_id is not None or asked.regenerate:
        return await _again(fast, asked, thread, room)
    place = _Place(question=asked.content)
    place.parent = asked.parent_message_id or thread.leaf_id
    if asked.edit_of is not None:
        place.parent = await _parent_of(fast, asked.edit_of, thread.id)
    if place.parent is not None:
        rows = await _branch(fast, place.parent, thread.id, room)
        if rows[0]["status"] == "streaming":
            run = str(rows[0]["run_id"])
            raise Conflict("An answer is being written in this branch.", details=[{"run_id": run}])
        place.history = _talk(rows)
    place.first = not place.history and asked.edit_of is None
    return place


async def _parent_of(fast: Fast, message: UUID, conversation: UUID) -> UUID | None:
    found = await fast.row(_PARENT, {"message": message, "conversation": conversation})
    if found is None:
        raise NotFound
    if found["role"] != "user":
        raise BadRequest("Only questions can be edited; ask for another answer with `regenerate`.")
    parent: UUID | None = found["parent_id"]
    return parent


async def _again(fast: Fast, asked: Asked, thread: Thread, room: int) -> _Place:
    """Place another answer, or the rest of one, under a question that was asked already."""
    start = asked.continue_message_id or asked.parent_message_id or thread.leaf_id
    if start is None:
        raise BadRequest("This conversation has no question yet that could be answered again.")
    rows = await _branch(fast, start, thread.id, room)
    place = _Place()
    if asked.continue_message_id is not None:
        answer = rows[0]
        if answer["role"] != "assistant" or answer["status"] not in ("interrupted", "stopped", "failed"):
            raise BadRequest("Only an answer that broke off can be continued.")
        place.answer_id, place.said = answer["id"], answer["content"]
    position = next((index for index, row in enumerate(rows) if row["role"] == "user"), None)
    if position is None:
        raise BadRequest("There is no question above this message.")
    question = rows[position]
    place.question_id, place.question, place.parent = question["id"], question["content"], question["parent_id"]
    place.history = _talk(rows[position + 1 :])
    return place


async def _open(fast: Fast, asked: Asked, user_id: UUID | None, opening: Opening) -> Thread:
    """Return the conversation, locked against other turns, or a new one."""
    if asked.conversation_id is not None:
        found = await fast.row(_LOCK, {"conversation": asked.conversation_id, "user": user_id}) if user_id else None
        if found is None:
            raise NotFound
        return Thread(**found)
    thread = Thread(new_id(), None, "none", opening.model_source, opening.model_name, opening.system_prompt, None)
    models = {"model_source": opening.model_source, "model_name": opening.model_name}
    await fast.rows(_CREATE, {"id": thread.id, "user": user_id, "system_prompt": opening.system_prompt, **models})
    leaf: UUID | None = None
    for role, content in opening.earlier:
        message = new_id()
        values = {"id": message, "conversation": thread.id, "parent": leaf, "role": role, "content": content}
        await fast.rows(_EARLIER, values)
        leaf = message
    return replace(thread, leaf_id=leaf)


async def begin(
    database: Database, asked: Asked, *, user_id: UUID | None, worker: UUID, opening: Opening, lines: Lines
) -> Begun:
    """Write question, empty answer, run and first event; return them with the branch that the model shall see.

    Raises NotFound for a conversation or message that is not the caller's, Conflict (with the run's id) where the
    branch is being written, BadRequest for a place that makes no sense.
    """
    try:
        async with database.fast() as fast:
            return await _begin(fast, asked, user_id, worker, opening, lines)
    except asyncpg.UniqueViolationError:
        async with database.fast() as fast:
            thread = await _open(fast, asked, user_id, opening)
            place = await _locate(fast, asked, thread, lines.characters(thread))
            running = await fast.row(_RUNNING, {"question": place.question_id})
        run = str(running["id"]) if running else None
        raise Conflict("An answer to this question is being written.", details=[{"run_id": run}]) from None


async def _begin(fast: Fast, asked: Asked, user_id: UUID | None, worker: UUID, opening: Opening, lines: Lines) -> Begun:
    thread = await _open(fast, asked, user_id, opening)
    place = await _locate(fast, asked, thread, lines.characters(thread))
    question_id, answer_id, run_id = place.question_id or new_id(), place.answer_id or new_id(), new_id()
    values = {
        "question_id": question_id,
        "answer_id": answer_id,
        "run": run_id,
        "conversation": thread.id,
        "parent": place.parent,
        "content": place.question,
        "new_question": place.question_id is None,
        "new_answer": place.answer_id is None,
        "user": user_id,
        "worker": worker,
        "lease": float(LEASE_SECONDS),
        "request": lines.request(thread),
        "start": lines.start(thread, run_id, question_id, answer_id),
        "title": lines.title(place.question) if place.first else None,
    }
    written = await fast.row(_BEGIN, values)
    return Begun(
        run_id=run_id,
        conversation_id=thread.id,
        user_message_id=question_id,
        message_id=answer_id,
        question=place.question,
        history=place.history,
        conversation=thread,
        first=place.first,
        said=place.said,
        has_files=written is not None and bool(written["has_files"]),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended and what is kept of it. `content` is the whole text of the answer; `data` a line of JSON."""

    run_id: UUID
    worker: UUID
    status: str
    message_status: str
    content: str
    seq: int
    event: str
    data: str
    sources: str | None = None
    model_source: str | None = None
    model_name: str | None = None
    fallback_from: str | None = None
    finish_reason: str | None = None
    usage: str | None = None
    timings: str | None = None
    error: str | None = None
    trace: str | None = None


_FINISH = Statement(
    """
    WITH run AS (
        UPDATE runs SET status = :status, trace = CAST(:trace AS jsonb), error = CAST(:error AS jsonb),
               finished_at = clock_timestamp()
        WHERE id = :run_id AND status = 'running' AND worker = :worker
        RETURNING id, message_id
    ), answer AS (
        UPDATE messages SET content = :content, status = :message_status, sources = CAST(:sources AS jsonb),
               model_source = :model_source, model_name = :model_name, fallback_from = :fallback_from,
               finish_reason = :finish_reason, usage = CAST(:usage AS jsonb), timings = CAST(:timings AS jsonb),
               error = CAST(:error AS jsonb)
        FROM run WHERE messages.id = run.message_id
    ), last AS (
        INSERT INTO run_events (run_id, seq, event, data)
        SELECT run.id, CAST(:seq AS int), CAST(:event AS varchar), CAST(:data AS text) FROM run
    )
    SELECT pg_notify('run_events', CAST(run.id AS text)) FROM run
    """
)


async def finish(database: Database, ended: Ended) -> bool:
    """Write the end of a run: answer, trace and last event together. Safe to repeat.

    Returns False where the run is not this worker's any more, or has ended before.
    """
    values = {name: getattr(ended, name) for name in Ended.__dataclass_fields__}
    async with database.fast(transaction=False) as fast:
        return await fast.row(_FINISH, values) is not None


# A worker that died leaves a lease behind. Its runs end with the text that was already told.
_REAP = text(
    """
    WITH dead AS (
        SELECT id, message_id FROM runs WHERE status = 'running' AND lease_until < clock_timestamp()
        ORDER BY lease_until LIMIT 100 FOR UPDATE SKIP LOCKED
    ), told AS (
        SELECT dead.id, dead.message_id, coalesce(max(e.seq), 0) AS seq,
            coalesce(string_agg(e.data::json ->> 'content', '' ORDER BY e.seq) FILTER (WHERE e.event = 'chunk'), '')
                AS content,
            (array_agg(e.data::json -> 'sources') FILTER (WHERE e.event = 'sources'))[1] AS sources
        FROM dead LEFT JOIN run_events e ON e.run_id = dead.id GROUP BY dead.id, dead.message_id
    ), run AS (
        UPDATE runs SET status = 'interrupted', error = CAST(:error AS jsonb), finished_at = clock_timestamp()
        FROM told WHERE runs.id = told.id RETURNING runs.id
    ), answer AS (
        UPDATE messages SET content = messages.content || told.content, status = 'interrupted',
               sources = coalesce(told.sources::jsonb, messages.sources), error = CAST(:error AS jsonb)
        FROM told WHERE messages.id = told.message_id
    ), last AS (
        INSERT INTO run_events (run_id, seq, event, data)
        SELECT told.id, told.seq + 1, 'error', :data FROM told
    )
    SELECT run.id, pg_notify('run_events', CAST(run.id AS text)) FROM run
    """
)


async def reap(session: AsyncSession, *, error: str, data: str) -> list[UUID]:
    """End the runs whose worker has died, as `interrupted` with their text; return their ids."""
    return [row.id for row in await session.execute(_REAP, {"error": error, "data": data})]
