"""The beginning and the end of a turn: one transaction each, few statements, whatever the talk's length.

Begin: lock the conversation, read the branch, write question, empty answer and run. End: text, trace and last event.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from llama_service.errors import BadRequest, Conflict, NotFound
from llama_service.ids import new_id
from persistence.recall import Recalled, Said, Thread
from persistence.session import Database, Fast, Statement
from persistence.sessions import SEEN_EVERY, STANDS, Claims

LEASE_SECONDS = 10
MAX_HISTORY = 100  # messages: a turn late in a long talk must not cost more than an early one


@dataclass(frozen=True, slots=True)
class Asked:
    """Where and what a turn asks. Exactly one kind of place is meant; see `ChatRequest` for the fields."""

    content: str
    conversation_id: UUID | None = None
    parent_message_id: UUID | None = None
    edit_of: UUID | None = None
    regenerate: bool = False
    continue_message_id: UUID | None = None

    @property
    def is_plain(self) -> bool:
        """Whether this is a new question in a conversation that is there."""
        again = self.regenerate or self.continue_message_id is not None or self.edit_of is not None
        return self.conversation_id is not None and not again


_THREAD_COLUMNS = [name for name in Thread.__dataclass_fields__ if name != "id"]


@dataclass(frozen=True, slots=True)
class Opening:
    """How a conversation begins, where the turn begins one; `earlier` is a talk (role, content) before the question."""

    model_source: str | None = None
    model_name: str | None = None
    system_prompt: str | None = None
    earlier: Sequence[tuple[str, str]] = ()


class Lines(Protocol):
    """Makes what is kept with a run, once its conversation is known."""

    def characters(self, thread: Thread | None) -> int:
        """Return how much of the branch is worth reading; without a thread, a guess."""
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


@dataclass(slots=True)
class Begun:
    """A turn with its place in the tree: everything that the graph needs to know of it.

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
    # What the branch was cut to, see `Recalled`.
    room: int | None = None
    # Known when it is written: whether the asker has any files, and the conversation's version since then.
    has_files: bool = False
    version: int | None = None

    def note(self, written: Any) -> None:
        """Take over what the statement told that wrote the turn."""
        self.has_files, self.version = bool(written["has_files"]), written["version"]

    def left(self, answer: str) -> Recalled:
        """Return what the next question in the conversation finds, where this turn's answer is `answer`."""
        branch = [*self.history, Said(self.user_message_id, "user", self.question)]
        if answer:
            branch.append(Said(self.message_id, "assistant", answer))
        thread = replace(self.conversation, leaf_id=self.message_id, version=self.version)
        return Recalled(thread, branch[-MAX_HISTORY:], self.room)


@dataclass(slots=True)
class _Place:
    parent: UUID | None = None
    question_id: UUID | None = None
    question: str = ""
    answer_id: UUID | None = None
    said: str = ""
    history: list[Said] = field(default_factory=list)
    first: bool = False
    room: int | None = None


_FROM_LEAF = """
    SELECT m.id, m.parent_id, m.role, m.content, m.status, m.run_id, 1 AS depth, length(m.content)::bigint AS total
"""
# The way up, newest first, until enough characters for the model's context have been collected. The question above an
# answer is needed however long the answer is.
_AND_UP = """
    UNION ALL
    SELECT m.id, m.parent_id, m.role, m.content, m.status, m.run_id, up.depth + 1, up.total + length(m.content)
    FROM up JOIN messages m ON m.id = up.parent_id
    WHERE up.depth < :limit AND (up.total < :characters OR up.depth < 3)
"""

_UP = Statement(
    f"""
    WITH RECURSIVE up AS (
        {_FROM_LEAF} FROM messages m WHERE m.id = :leaf AND m.conversation_id = :conversation
        {_AND_UP}
    )
    SELECT id, parent_id, role, content, status, run_id FROM up ORDER BY depth
    """  # noqa: S608  (parts of our own)
)

_THREAD = """
    SELECT id, title, title_source, model_source, model_name, system_prompt, leaf_id, xmin AS version
    FROM conversations WHERE id = CAST(:conversation AS uuid) AND user_id = CAST(:user AS uuid)
"""

_LOCK = Statement(f"{_THREAD} FOR UPDATE")

# Conversation and branch at once; the rows behind the first do not repeat what may be long.
_LOOK = Statement(
    f"""
    WITH RECURSIVE thread AS ({_THREAD}), up AS (
        {_FROM_LEAF} FROM messages m JOIN thread ON m.conversation_id = thread.id
        WHERE m.id = coalesce(CAST(:parent AS uuid), thread.leaf_id)
        {_AND_UP}
    )
    SELECT t.id AS thread, t.title, t.title_source, t.model_source, t.model_name, t.leaf_id, t.version,
           CASE WHEN up.depth > 1 THEN NULL ELSE t.system_prompt END AS system_prompt, up.*
    FROM thread t LEFT JOIN up ON true ORDER BY up.depth
    """  # noqa: S608
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

# Nothing is written where the conversation has changed since it was `seen`, or the asker's session has ended.
_BEGIN = Statement(
    f"""
    WITH conversation AS (
        UPDATE conversations SET leaf_id = CAST(:answer_id AS uuid), updated_at = clock_timestamp(),
               title = coalesce(title, CAST(:title AS varchar))
        WHERE id = CAST(:conversation AS uuid)
          AND user_id IS NOT DISTINCT FROM CAST(:user AS uuid)
          AND (CAST(:seen AS xid) IS NULL OR xmin = CAST(:seen AS xid))
          AND (CAST(:session AS uuid) IS NULL OR EXISTS ({STANDS}))
        RETURNING id, xmin AS version
    ), question AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, content, status)
        SELECT CAST(:question_id AS uuid), conversation.id, CAST(:parent AS uuid), 'user', CAST(:content AS text),
               'complete'
        FROM conversation WHERE CAST(:new_question AS boolean)
    ), answer AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, status, run_id, created_at)
        SELECT CAST(:answer_id AS uuid), conversation.id, CAST(:question_id AS uuid), 'assistant', 'streaming',
               CAST(:run AS uuid), clock_timestamp() + interval '1 microsecond'
        FROM conversation WHERE CAST(:new_answer AS boolean)
    ), continued AS (
        UPDATE messages SET status = 'streaming', run_id = CAST(:run AS uuid), error = NULL
        FROM conversation
        WHERE messages.id = CAST(:answer_id AS uuid) AND NOT CAST(:new_answer AS boolean)
    ), run AS (
        INSERT INTO runs (id, conversation_id, user_id, user_message_id, message_id, worker, lease_until, request)
        SELECT CAST(:run AS uuid), conversation.id, CAST(:user AS uuid), CAST(:question_id AS uuid),
               CAST(:answer_id AS uuid), CAST(:worker AS uuid),
               clock_timestamp() + make_interval(secs => :lease), CAST(:request AS jsonb)
        FROM conversation
    ), first AS (
        INSERT INTO run_events (run_id, seq, event, data)
        SELECT CAST(:run AS uuid), 1, 'start', CAST(:start AS text) FROM conversation
    )
    SELECT version, EXISTS (SELECT FROM files WHERE files.user_id = CAST(:user AS uuid)) AS has_files FROM conversation
    """  # noqa: S608
)


class Overtaken(Exception):
    """Nothing was written: the conversation has changed meanwhile, or the session has to be looked at."""


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
        _follow(place, await _branch(fast, place.parent, thread.id, room), room)
    place.first = not place.history and asked.edit_of is None
    return place


def _follow(place: _Place, rows: Sequence[Any], room: int) -> None:
    """Place a question below a branch. Raises Conflict where that is being written."""
    if rows[0]["status"] == "streaming":
        run = str(rows[0]["run_id"])
        raise Conflict("An answer is being written in this branch.", details=[{"run_id": run}])
    place.history, place.room = _talk(rows), _room(rows, room)


def _room(rows: Sequence[Any], room: int) -> int | None:
    """Return the room that a branch was cut to, None where it was not."""
    return None if rows[-1]["parent_id"] is None or len(rows) >= MAX_HISTORY else room


async def _look(fast: Fast, asked: Asked, user_id: UUID, lines: Lines) -> tuple[Thread, _Place]:
    """Return the conversation and the place of a plain question in it, unlocked, with one statement."""
    room = lines.characters(None)
    rows = await fast.rows(
        _LOOK,
        {
            "conversation": asked.conversation_id,
            "user": user_id,
            "parent": asked.parent_message_id,
            "limit": MAX_HISTORY,
            "characters": room,
        },
    )
    if not rows:
        raise NotFound
    thread = _thread(rows[0], rows[0]["thread"])
    place = _Place(question=asked.content, parent=asked.parent_message_id or thread.leaf_id)
    if place.parent is not None:
        if rows[0]["id"] is None:
            raise NotFound
        more = lines.characters(thread)
        if room < more and rows[-1]["parent_id"] is not None:
            rows, room = await _branch(fast, place.parent, thread.id, more), more
        _follow(place, rows, room)
    place.first = not place.history
    return thread, place


def _thread(row: Any, conversation: UUID) -> Thread:
    return Thread(conversation, *(row[name] for name in _THREAD_COLUMNS))


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
    place.history, place.room = _talk(rows[position + 1 :]), _room(rows, room)
    return place


async def _open(fast: Fast, asked: Asked, user_id: UUID | None, opening: Opening) -> Thread:
    """Return the conversation, locked against other turns, or a new one."""
    if asked.conversation_id is not None:
        found = await fast.row(_LOCK, {"conversation": asked.conversation_id, "user": user_id}) if user_id else None
        if found is None:
            raise NotFound
        return _thread(found, found["id"])
    conversation, rules = new_id(), opening.system_prompt
    models = {"model_source": opening.model_source, "model_name": opening.model_name}
    await fast.row(_CREATE, {"id": conversation, "user": user_id, "system_prompt": rules, **models})
    thread = Thread(conversation, None, "none", opening.model_source, opening.model_name, rules, None)
    leaf: UUID | None = None
    for role, content in opening.earlier:
        message = new_id()
        values = {"id": message, "conversation": thread.id, "parent": leaf, "role": role, "content": content}
        await fast.rows(_EARLIER, values)
        leaf = message
    return replace(thread, leaf_id=leaf)


@asynccontextmanager
async def beginning_at_once(
    database: Database,
    asked: Asked,
    *,
    user_id: UUID,
    claims: Claims | None,
    worker: UUID,
    lines: Lines,
    recalled: Recalled | None,
) -> AsyncIterator[Begun]:
    """Do what `beginning` does for a plain question, without a lock, and without a look at what is `recalled`.

    Where `claims` are given, the asker's session is looked at by the statement that writes; errors may come before
    that. The end of the block raises Overtaken where it did not write: something is not as it was seen.
    """
    async with database.fast(transaction=False) as fast:
        if recalled is None or (recalled.room is not None and lines.characters(recalled.thread) > recalled.room):
            thread, place = await _look(fast, asked, user_id, lines)
        else:
            thread, history = recalled.thread, recalled.branch
            place = _Place(question=asked.content, parent=thread.leaf_id, history=history, room=recalled.room)
        begun = _begun(thread, place)
        values = _written(begun, place, lines) | {"user": user_id, "worker": worker, "seen": thread.version}
        yield begun
        if claims is not None:
            values |= {"session": claims.session_id, "epoch": claims.epoch}
        written = await fast.row(_BEGIN, values)
        if written is None:
            raise Overtaken
        begun.note(written)


@asynccontextmanager
async def beginning(
    database: Database, asked: Asked, *, user_id: UUID | None, worker: UUID, opening: Opening, lines: Lines
) -> AsyncIterator[Begun]:
    """Find the turn's place, and write question, empty answer, run and first event when the block ends.

    The block may prepare for the turn while these are written; an error in it leaves nothing behind. Raises NotFound
    for a conversation or message that is not the caller's, Conflict (with the run's id) where the branch is being
    written, BadRequest for a place that makes no sense.
    """
    try:
        async with database.fast() as fast:
            thread = await _open(fast, asked, user_id, opening)
            place = await _locate(fast, asked, thread, lines.characters(thread))
            begun = _begun(thread, place)
            values = _written(begun, place, lines) | {"user": user_id, "worker": worker}
            yield begun
            begun.note(await fast.row(_BEGIN, values))
    except asyncpg.UniqueViolationError:
        async with database.fast(transaction=False) as fast:
            running = await fast.row(_RUNNING, {"question": begun.user_message_id})
        run = str(running["id"]) if running else None
        raise Conflict("An answer to this question is being written.", details=[{"run_id": run}]) from None


def _begun(thread: Thread, place: _Place) -> Begun:
    return Begun(
        run_id=new_id(),
        conversation_id=thread.id,
        user_message_id=place.question_id or new_id(),
        message_id=place.answer_id or new_id(),
        question=place.question,
        history=place.history,
        conversation=thread,
        first=place.first,
        said=place.said,
        room=place.room,
    )


def _written(begun: Begun, place: _Place, lines: Lines) -> dict[str, Any]:
    thread = begun.conversation
    return {
        "question_id": begun.user_message_id,
        "answer_id": begun.message_id,
        "run": begun.run_id,
        "conversation": thread.id,
        "parent": place.parent,
        "content": place.question,
        "new_question": place.question_id is None,
        "new_answer": place.answer_id is None,
        "lease": float(LEASE_SECONDS),
        "request": lines.request(thread),
        "start": lines.start(thread, begun.run_id, begun.user_message_id, begun.message_id),
        "title": lines.title(place.question) if place.first else None,
        "seen": None,
        "session": None,
        "epoch": None,
        "seen_every": SEEN_EVERY,
    }


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
            (array_agg(e.data::json -> 'sources') FILTER (WHERE e.event = 'sources'))[1] AS sources,
            (array_agg(e.data::json) FILTER (WHERE e.event = 'start'))[1] AS start
        FROM dead LEFT JOIN run_events e ON e.run_id = dead.id GROUP BY dead.id, dead.message_id
    ), run AS (
        UPDATE runs SET status = 'interrupted', error = CAST(:error AS jsonb), finished_at = clock_timestamp()
        FROM told WHERE runs.id = told.id RETURNING runs.id
    ), answer AS (
        UPDATE messages SET content = messages.content || told.content, status = 'interrupted',
               sources = coalesce(told.sources::jsonb, messages.sources), error = CAST(:error AS jsonb),
               model_source = coalesce(told.start ->> 'model_source', messages.model_source),
               model_name = coalesce(told.start ->> 'model_name', messages.model_name),
               fallback_from = told.start ->> 'fallback_from'
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
