"""The beginning and the end of a turn: one transaction each, few statements, whatever the talk's length.

Begin: lock the conversation, read the branch, write question, empty answer and run. End: text, trace and last event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import BadRequest, Conflict, NotFound
from llama_service.ids import new_id
from persistence import conversations
from persistence.tables import Conversation, Message

LEASE_SECONDS = 10
MAX_HISTORY = 400  # messages


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
    conversation: Conversation
    first: bool
    said: str = ""
    first_seq: int = 2


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
_UP = text(
    """
    WITH RECURSIVE up AS (
        SELECT id, parent_id, role, content, status, run_id, 1 AS depth, length(content)::bigint AS total
        FROM messages WHERE id = :leaf AND conversation_id = :conversation
        UNION ALL
        SELECT m.id, m.parent_id, m.role, m.content, m.status, m.run_id, up.depth + 1, up.total + length(m.content)
        FROM up JOIN messages m ON m.id = up.parent_id
        WHERE up.depth < :limit AND up.total < :characters
    )
    SELECT id, parent_id, role, content, status, run_id FROM up ORDER BY depth
    """
)

_BEGIN = text(
    """
    WITH question AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, content, status)
        SELECT CAST(:question_id AS uuid), CAST(:conversation AS uuid), CAST(:parent AS uuid), 'user', :content,
               'complete'
        WHERE :new_question
    ), answer AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, status, run_id, created_at)
        SELECT CAST(:answer_id AS uuid), CAST(:conversation AS uuid), CAST(:question_id AS uuid), 'assistant',
               'streaming', CAST(:run AS uuid), clock_timestamp() + interval '1 microsecond'
        WHERE :new_answer
    ), continued AS (
        UPDATE messages SET status = 'streaming', run_id = CAST(:run AS uuid), error = NULL
        WHERE id = CAST(:answer_id AS uuid) AND NOT :new_answer
    ), run AS (
        INSERT INTO runs (id, conversation_id, user_id, user_message_id, message_id, worker, lease_until, request)
        VALUES (:run, :conversation, :user, CAST(:question_id AS uuid), CAST(:answer_id AS uuid), :worker,
                clock_timestamp() + make_interval(secs => :lease), CAST(:request AS jsonb))
    ), first AS (
        INSERT INTO run_events (run_id, seq, event, data) VALUES (:run, 1, 'start', :start)
    )
    UPDATE conversations SET leaf_id = CAST(:answer_id AS uuid), updated_at = clock_timestamp()
    WHERE id = CAST(:conversation AS uuid)
    """
)


async def _above(session: AsyncSession, place: _Place, leaf: UUID | None, conversation: UUID, room: int) -> None:
    """Read the branch that ends in `leaf` into `place.history`."""
    if leaf is None:
        return
    found = await session.execute(
        _UP, {"leaf": leaf, "conversation": conversation, "limit": MAX_HISTORY, "characters": room}
    )
    rows = found.all()
    if not rows:
        raise NotFound
    if rows[0].status == "streaming":
        raise Conflict("An answer is being written in this branch.", details=[{"run_id": str(rows[0].run_id)}])
    place.history = [Said(row.id, row.role, row.content) for row in reversed(rows) if row.content]


async def _locate(session: AsyncSession, asked: Asked, conversation: Conversation, room: int) -> _Place:
    place = _Place(question=asked.content)
    if asked.continue_message_id is not None or asked.regenerate:
        start = asked.continue_message_id or asked.parent_message_id or conversation.leaf_id
        await _again(session, place, asked, start, conversation.id, room)
        return place
    parent = asked.parent_message_id or conversation.leaf_id
    if asked.edit_of is not None:
        parent = await _parent_of(session, asked.edit_of, conversation.id)
    await _above(session, place, parent, conversation.id, room)
    place.parent = parent
    place.first = not place.history and asked.edit_of is None
    return place


async def _parent_of(session: AsyncSession, message: UUID, conversation: UUID) -> UUID | None:
    query = text("SELECT parent_id, role FROM messages WHERE id = :message AND conversation_id = :conversation")
    found = (await session.execute(query, {"message": message, "conversation": conversation})).one_or_none()
    if found is None:
        raise NotFound
    if found.role != "user":
        raise BadRequest("Only questions can be edited; ask for another answer with `regenerate`.")
    parent: UUID | None = found.parent_id
    return parent


async def _again(
    session: AsyncSession, place: _Place, asked: Asked, start: UUID | None, conversation: UUID, room: int
) -> None:
    """Place another answer, or the rest of one, under a question that was asked already."""
    if start is None:
        raise BadRequest("This conversation has no question yet that could be answered again.")
    found = await session.execute(
        _UP, {"leaf": start, "conversation": conversation, "limit": MAX_HISTORY, "characters": room}
    )
    rows = found.all()
    if not rows:
        raise NotFound
    if asked.continue_message_id is not None:
        answer = rows[0]
        if answer.role != "assistant" or answer.status not in ("interrupted", "stopped", "failed"):
            raise BadRequest("Only an answer that broke off can be continued.")
        place.answer_id, place.said = answer.id, answer.content
    position = next((index for index, row in enumerate(rows) if row.role == "user"), None)
    if position is None:
        raise BadRequest("There is no question above this message.")
    question = rows[position]
    place.question_id, place.question, place.parent = question.id, question.content, question.parent_id
    place.history = [Said(row.id, row.role, row.content) for row in reversed(rows[position + 1 :]) if row.content]


async def begin(
    session: AsyncSession,
    asked: Asked,
    *,
    user_id: UUID | None,
    worker: UUID,
    request: Callable[[Conversation], str],
    start_event: Callable[[Conversation, UUID, UUID, UUID], str],
    characters: Callable[[Conversation], int],
    new_conversation: dict[str, Any],
    provisional_title: Callable[[str], str],
    earlier: Sequence[tuple[str, str]] = (),
) -> Begun:
    """Write question, empty answer, run and first event; return them with the branch that the model shall see.

    `request` and `start_event` make the lines of JSON that are kept with the run, once the conversation is known;
    `characters` bounds the history that is read,
    for the same reason. Raises NotFound for a conversation or message that is not the
    caller's, Conflict (with the run's id) where the branch is being written, BadRequest for a place that makes no
    sense.
    """
    if asked.conversation_id is None:
        conversation = await conversations.create(session, user_id, **new_conversation)
        conversation.title = provisional_title(asked.content)
        for role, content in earlier:
            said = Message(conversation_id=conversation.id, parent_id=conversation.leaf_id, role=role, content=content)
            session.add(said)
            await session.flush()
            conversation.leaf_id = said.id
    elif user_id is None:
        raise NotFound
    else:
        conversation = await conversations.get(session, user_id, asked.conversation_id, lock=True)
    place = await _locate(session, asked, conversation, characters(conversation))
    if place.first and conversation.title is None:
        conversation.title = provisional_title(asked.content)
    question_id, answer_id, run_id = place.question_id or new_id(), place.answer_id or new_id(), new_id()
    values = {
        "question_id": question_id,
        "answer_id": answer_id,
        "run": run_id,
        "conversation": conversation.id,
        "parent": place.parent,
        "content": place.question,
        "new_question": place.question_id is None,
        "new_answer": place.answer_id is None,
        "user": user_id,
        "worker": worker,
        "lease": LEASE_SECONDS,
        "request": request(conversation),
        "start": start_event(conversation, run_id, question_id, answer_id),
    }
    try:
        await session.execute(_BEGIN, values)
    except IntegrityError:
        await session.rollback()
        raise Conflict(
            "An answer to this question is being written.",
            details=[{"run_id": str(await _running(session, question_id))}],
        ) from None
    return Begun(
        run_id=run_id,
        conversation_id=conversation.id,
        user_message_id=question_id,
        message_id=answer_id,
        question=place.question,
        history=place.history,
        conversation=conversation,
        first=place.first,
        said=place.said,
    )


async def _running(session: AsyncSession, question_id: UUID) -> UUID | None:
    query = text("SELECT id FROM runs WHERE user_message_id = :question AND status = 'running'")
    found: UUID | None = await session.scalar(query, {"question": question_id})
    return found


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


_FINISH = text(
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
        SELECT run.id, :seq, CAST(:event AS varchar), CAST(:data AS text) FROM run
    )
    SELECT pg_notify('run_events', CAST(run.id AS text)) FROM run
    """
)


async def finish(session: AsyncSession, ended: Ended) -> bool:
    """Write the end of a run: answer, trace and last event together. Safe to repeat.

    Returns False where the run is not this worker's any more, or has ended before.
    """
    values = {name: getattr(ended, name) for name in Ended.__dataclass_fields__}
    return (await session.execute(_FINISH, values)).first() is not None


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
