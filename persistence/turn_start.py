"""The start of a turn: one statement finds its place in the message tree, one writes it.

Nothing is locked in between. The second statement compares the version of the conversation's row (`xmin`, which every
change of the row moves) with the one that was read, and looks at the caller's session; where either has changed it
writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from llama_service.errors import BadRequest, Conflict, NotFound
from llama_service.ids import new_id
from persistence.access import HAS_LIBRARIES
from persistence.personal import NOTHING_SAID, Personal, personal_columns
from persistence.relevance import Confidence
from persistence.session import Database, RawConnection, Statement
from persistence.sessions import SEEN_EVERY, SESSION_IS_VALID, Claims

LEASE_SECONDS = 10


class StaleConversation(Exception):
    """Nothing was written: the conversation has changed since it was read, or the session has to be checked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn asks, and where in the tree. Exactly one kind of place is meant; see `ChatRequest` for the fields."""

    content: str
    conversation_id: UUID | None = None
    parent_message_id: UUID | None = None
    edit_of: UUID | None = None
    regenerate: bool = False
    continue_message_id: UUID | None = None
    images: Sequence[UUID] | None = None
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class NewConversation:
    """How a conversation begins that a turn creates; `history` holds messages (role, content) before the question."""

    model_source: str | None = None
    model_name: str | None = None
    system_prompt: str | None = None
    history: Sequence[tuple[str, str]] = ()
    tools: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation's row, as far as a turn needs it, with what its assistant adds; `version` is its `xmin`."""

    id: UUID
    title: str | None
    title_source: str
    model_source: str | None
    model_name: str | None
    system_prompt: str | None
    search_library: bool
    tools: Sequence[str] | None
    approved_tools: Sequence[str]
    temporary: bool = False
    leaf_id: UUID | None = None
    version: int | None = None

    @classmethod
    def of(cls, row: Any) -> "ConversationRow":
        """Return what `CONVERSATION_COLUMNS` hold."""
        names = [name for name in cls.__dataclass_fields__ if name != "id"]
        return cls(row["conversation"], *(row[name] for name in names))


@dataclass(frozen=True, slots=True)
class UnfinishedAnswer:
    """The first part of a continued answer: its text, what it was made of, and what it has cost.

    Sources and steps are as they are kept: whoever shows them asks what may still be read of them.
    """

    text: str = ""
    reasoning: str = ""
    sources: Sequence[dict[str, Any]] = ()
    steps: Sequence[dict[str, Any]] = ()
    confidence: Confidence | None = None
    usage: dict[str, Any] | None = None

    @classmethod
    def of(cls, row: Any) -> "UnfinishedAnswer":
        """Return what `unfinished_columns` hold."""
        sources, steps, usage = (
            orjson.loads(row[name]) if row[name] is not None else None
            for name in ("unfinished_sources", "unfinished_steps", "unfinished_usage")
        )
        text, reasoning = row["unfinished"], row["unfinished_reasoning"] or ""
        return cls(text, reasoning, sources or (), steps or (), row["unfinished_confidence"], usage)


NOTHING_WRITTEN = UnfinishedAnswer()


def unfinished_columns(message: str) -> str:
    """Return the columns of an answer, a row of `messages` by this name, that `UnfinishedAnswer` is made of.

    What an imported answer has cost was not spent here.
    """
    return f"""
    {message}.content AS unfinished, {message}.reasoning AS unfinished_reasoning,
    {message}.sources AS unfinished_sources, {message}.steps AS unfinished_steps,
    {message}.confidence AS unfinished_confidence,
    CASE WHEN {message}.run_id IS NOT NULL THEN {message}.usage END AS unfinished_usage
    """


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a turn stands in the tree.

    `parent_id` is the message above the question and `checkpoint_id` the graph's state after that message.
    `unfinished` is what a continued answer begins with.
    """

    conversation: ConversationRow
    question: str
    question_id: UUID
    answer_id: UUID
    parent_id: UUID | None = None
    checkpoint_id: str | None = None
    new_question: bool = True
    new_answer: bool = True
    unfinished: UnfinishedAnswer = NOTHING_WRITTEN
    # The pictures of the question.
    images: Sequence[UUID] = ()
    # Messages to write before the question: id, role, content.
    history: Sequence[tuple[UUID, str, str]] = ()

    @property
    def is_new_conversation(self) -> bool:
        """Whether the turn creates its conversation."""
        return self.conversation.version is None

    @property
    def is_first(self) -> bool:
        """Whether the question begins its conversation, which then gets its title from it."""
        return self.parent_id is None and self.new_question and self.conversation.title_source == "none"


# What a conversation does not say itself, its assistant says, as long as its owner may chat with that one.
CONVERSATION_COLUMNS = """
    c.id AS conversation, c.title, c.title_source,
    CASE WHEN coalesce(c.model_source, c.model_name) IS NULL THEN a.model_source ELSE c.model_source END
        AS model_source,
    CASE WHEN coalesce(c.model_source, c.model_name) IS NULL THEN a.model_name ELSE c.model_name END AS model_name,
    coalesce(c.system_prompt, a.system_prompt) AS system_prompt, c.search_library, coalesce(c.tools, a.tools) AS tools,
    c.approved_tools, c.temporary, c.leaf_id, c.xmin AS version
"""
WITH_ASSISTANT = "LEFT JOIN assistants a ON a.id = c.assistant_id AND (a.user_id = c.user_id OR a.shared)"

_FIND = Statement(
    f"""
    SELECT {CONVERSATION_COLUMNS}, m.id, m.status, m.run_id, m.checkpoint_id
    FROM conversations c {WITH_ASSISTANT}
    LEFT JOIN messages m ON m.conversation_id = c.id AND m.id = coalesce(CAST(:parent AS uuid), c.leaf_id)
    WHERE c.id = CAST(:conversation AS uuid) AND c.user_id = CAST(:user AS uuid)
    """  # noqa: S608  (parts of our own)
)

# From a message up to the question at or above it.
_QUESTION_ABOVE = Statement(
    """
    WITH RECURSIVE up AS (
        SELECT id, parent_id, role, content, status, finish_reason, images, 1 AS depth FROM messages
        WHERE id = CAST(:start AS uuid) AND conversation_id = CAST(:conversation AS uuid)
        UNION ALL
        SELECT m.id, m.parent_id, m.role, m.content, m.status, m.finish_reason, m.images, up.depth + 1
        FROM up JOIN messages m ON m.id = up.parent_id WHERE up.role <> 'user'
    )
    SELECT up.*, (SELECT checkpoint_id FROM messages p WHERE p.id = up.parent_id) AS checkpoint_id
    FROM up ORDER BY depth
    """
)

# The conversation's leaf, where it stands below a message.
_LEAF_BELOW = Statement(
    """
    WITH RECURSIVE up AS (
        SELECT id, parent_id FROM messages
        WHERE id = CAST(:leaf AS uuid) AND conversation_id = CAST(:conversation AS uuid)
        UNION ALL
        SELECT m.id, m.parent_id FROM up JOIN messages m ON m.id = up.parent_id WHERE up.id <> CAST(:parent AS uuid)
    )
    SELECT m.id, m.status, m.run_id, m.checkpoint_id FROM messages m
    WHERE m.id = CAST(:leaf AS uuid) AND EXISTS (SELECT FROM up WHERE up.id = CAST(:parent AS uuid))
    """
)

_UNFINISHED = Statement(
    f"SELECT {unfinished_columns('m')} FROM messages m WHERE m.id = CAST(:message AS uuid)"  # noqa: S608
)

_EDITED = Statement(
    """
    SELECT m.role, m.parent_id, m.images, p.checkpoint_id
    FROM messages m LEFT JOIN messages p ON p.id = m.parent_id
    WHERE m.id = CAST(:message AS uuid) AND m.conversation_id = CAST(:conversation AS uuid)
    """
)


def place_in_new_conversation(question: Question, new: NewConversation) -> Placement:
    """Return the place of a question that begins a conversation."""
    history = [(new_id(), role, content) for role, content in new.history]
    models = (new.model_source, new.model_name, new.system_prompt)
    conversation = ConversationRow(
        new_id(), None, "none", *models, search_library=True, tools=new.tools, approved_tools=()
    )
    parent = history[-1][0] if history else None
    images = question.images or ()
    return Placement(conversation, question.content, new_id(), new_id(), parent, images=images, history=history)


async def find_place(database: Database, question: Question, user_id: UUID) -> Placement:
    """Return a question's place in a conversation of the user.

    Raises NotFound for a conversation or message that is not the user's, Conflict (with the run's id) where the branch
    is being written, BadRequest for a place that makes no sense.
    """
    async with database.raw(transaction=False) as connection:
        values = {"conversation": question.conversation_id, "user": user_id, "parent": question.parent_message_id}
        row = await connection.row(_FIND, values)
        if row is None:
            raise NotFound
        conversation = ConversationRow.of(row)
        if question.continue_message_id is not None or question.regenerate:
            return await _place_under_question(connection, question, conversation)
        if question.edit_of is not None:
            return await _place_beside(connection, question, conversation)
        if question.at_end and question.parent_message_id not in (None, conversation.leaf_id):
            below = await connection.row(_LEAF_BELOW, values | {"leaf": conversation.leaf_id})
            if below is not None:
                question = replace(question, parent_message_id=conversation.leaf_id)
                row = below
    return _place_below(row, question, conversation)


def _place_below(row: Any, question: Question, conversation: ConversationRow) -> Placement:
    parent = question.parent_message_id or conversation.leaf_id
    if parent is not None and row["id"] is None:
        raise NotFound
    if row["status"] == "streaming":
        raise Conflict("An answer is being written in this branch.", details=[{"run_id": str(row["run_id"])}])
    images = question.images or ()
    return Placement(conversation, question.content, new_id(), new_id(), parent, row["checkpoint_id"], images=images)


async def _place_beside(connection: RawConnection, question: Question, conversation: ConversationRow) -> Placement:
    """Place a question as a sibling of the one that it edits."""
    edited = await connection.row(_EDITED, {"message": question.edit_of, "conversation": conversation.id})
    if edited is None:
        raise NotFound
    if edited["role"] != "user":
        raise BadRequest("Only questions can be edited; ask for another answer with `regenerate`.")
    above = (edited["parent_id"], edited["checkpoint_id"])
    images = question.images if question.images is not None else edited["images"] or ()
    return Placement(conversation, question.content, new_id(), new_id(), *above, images=images)


async def _place_under_question(
    connection: RawConnection, question: Question, conversation: ConversationRow
) -> Placement:
    """Place another answer, or the rest of one, under a question that was asked already."""
    start = question.continue_message_id or question.parent_message_id or conversation.leaf_id
    if start is None:
        raise BadRequest("This conversation has no question yet that could be answered again.")
    rows = await connection.rows(_QUESTION_ABOVE, {"start": start, "conversation": conversation.id})
    if not rows:
        raise NotFound
    asked, answer = rows[-1], rows[0]
    if asked["role"] != "user":
        raise BadRequest("There is no question above this message.")
    above = (asked["parent_id"], asked["checkpoint_id"])
    images = asked["images"] or ()
    if question.continue_message_id is None:
        return Placement(
            conversation, asked["content"], asked["id"], new_id(), *above, new_question=False, images=images
        )
    cut = answer["status"] == "complete" and answer["finish_reason"] == "length"
    if answer["role"] != "assistant" or not (cut or answer["status"] in ("interrupted", "stopped", "failed")):
        raise BadRequest("Only an answer that broke off, or reached its length limit, can be continued.")
    return Placement(
        conversation,
        asked["content"],
        asked["id"],
        answer["id"],
        *above,
        new_question=False,
        new_answer=False,
        unfinished=UnfinishedAnswer.of(await connection.row(_UNFINISHED, {"message": answer["id"]})),
        images=images,
    )


_EXISTING = """
    UPDATE conversations SET leaf_id = CAST(:answer_id AS uuid), updated_at = clock_timestamp(),
           title = coalesce(title, CAST(:title AS varchar))
    WHERE id = CAST(:conversation AS uuid) AND user_id = CAST(:user AS uuid) AND xmin = CAST(:version AS xid)
"""
_NEW = """
    INSERT INTO conversations (id, user_id, model_source, model_name, system_prompt, tools, leaf_id, title)
    SELECT CAST(:conversation AS uuid), CAST(:user AS uuid), CAST(:model_source AS varchar),
           CAST(:model_name AS varchar), CAST(:system_prompt AS text), CAST(:tools AS varchar[]),
           CAST(:answer_id AS uuid), CAST(:title AS varchar)
    WHERE true
"""


# The times of a question and of its answer follow their order: one clock reading, and a microsecond for each message.
def _write_statement(conversation: str) -> Statement:
    return Statement(
        f"""
        WITH clock AS MATERIALIZED (
            SELECT clock_timestamp() AS now
        ), conversation AS (
            {conversation} AND (CAST(:session AS uuid) IS NULL OR EXISTS ({SESSION_IS_VALID}))
            RETURNING id, project_id, temporary
        ), history AS (
            INSERT INTO messages (id, conversation_id, parent_id, role, content, created_at)
            SELECT h.id, conversation.id, lag(h.id) OVER (ORDER BY h.place), h.role, h.content,
                   clock.now + (h.place - 1) * interval '1 microsecond'
            FROM conversation, clock, unnest(CAST(:history_ids AS uuid[]), CAST(:history_roles AS varchar[]),
                 CAST(:history_contents AS text[])) WITH ORDINALITY AS h (id, role, content, place)
        ), question AS (
            INSERT INTO messages (id, conversation_id, parent_id, role, content, images, status, created_at)
            SELECT CAST(:question_id AS uuid), conversation.id, CAST(:parent AS uuid), 'user', CAST(:content AS text),
                   CAST(:images AS uuid[]), 'complete',
                   clock.now + cardinality(CAST(:history_ids AS uuid[])) * interval '1 microsecond'
            FROM conversation, clock WHERE CAST(:new_question AS boolean)
        ), answer AS (
            INSERT INTO messages (id, conversation_id, parent_id, role, status, run_id, created_at)
            SELECT CAST(:answer_id AS uuid), conversation.id, CAST(:question_id AS uuid), 'assistant', 'streaming',
                   CAST(:run AS uuid),
                   clock.now + (cardinality(CAST(:history_ids AS uuid[])) + 1) * interval '1 microsecond'
            FROM conversation, clock WHERE CAST(:new_answer AS boolean)
        ), continued AS (
            UPDATE messages SET status = 'streaming', run_id = CAST(:run AS uuid), error = NULL,
                   usage = CASE WHEN run_id IS NOT NULL THEN usage END
            FROM conversation WHERE messages.id = CAST(:answer_id AS uuid) AND NOT CAST(:new_answer AS boolean)
        ), attached AS (
            UPDATE conversation_files SET message_id = CAST(:question_id AS uuid) FROM conversation
            WHERE conversation_files.conversation_id = conversation.id AND conversation_files.message_id IS NULL
              AND CAST(:new_question AS boolean)
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
        SELECT EXISTS (SELECT FROM files WHERE files.user_id = CAST(:user AS uuid))
               OR {HAS_LIBRARIES.format(user="CAST(:user AS uuid)")} AS has_files,
               {personal_columns("conversation", "CAST(:user AS uuid)")}
        FROM conversation
        """  # noqa: S608
    )


_WRITE_EXISTING = _write_statement(_EXISTING)
_WRITE_NEW = _write_statement(_NEW)
_OPEN_RUN = Statement("SELECT id FROM runs WHERE user_message_id = :question AND status IN ('running', 'waiting')")
_ASKED = Statement(
    """
    SELECT a.run_id, a.conversation_id, q.content AS question
    FROM messages a JOIN messages q ON q.id = a.parent_id JOIN conversations c ON c.id = a.conversation_id
    WHERE a.id = CAST(:answer AS uuid) AND a.run_id IS NOT NULL AND c.user_id = CAST(:user AS uuid)
    """
)


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question that was taken, and the run that answers it."""

    run_id: UUID
    conversation_id: UUID
    question: str


async def find_asked(database: Database, answer_id: UUID, user_id: UUID) -> AskedQuestion | None:
    """Return the question above an answer of the user's, if there is one."""
    async with database.raw(transaction=False) as connection:
        row = await connection.row(_ASKED, {"answer": answer_id, "user": user_id})
    return AskedQuestion(**row) if row is not None else None


@dataclass(frozen=True, slots=True)
class TurnWrite:
    """What is written besides the place. `request` and `start_event` are lines of JSON."""

    run_id: UUID
    worker: UUID
    user_id: UUID | None
    claims: Claims | None
    request: str
    start_event: str
    title: str | None


@dataclass(frozen=True, slots=True)
class WrittenTurn:
    """What a turn's statement saw besides: whether its caller has files, and what they have said once for all."""

    has_files: bool = False
    personal: Personal = NOTHING_SAID


async def write_turn(database: Database, place: Placement, write: TurnWrite) -> WrittenTurn:
    """Write question, empty answer, run and first event together; return whether the caller has any files.

    Raises StaleConversation where nothing was written, Conflict where the question is being answered already.
    """
    conversation = place.conversation
    values: dict[str, Any] = {
        "question_id": place.question_id,
        "answer_id": place.answer_id,
        "run": write.run_id,
        "conversation": conversation.id,
        "version": conversation.version,
        "model_source": conversation.model_source,
        "model_name": conversation.model_name,
        "system_prompt": conversation.system_prompt,
        "tools": list(conversation.tools) if conversation.tools is not None else None,
        "parent": place.parent_id,
        "content": place.question,
        "images": list(place.images) or None,
        "new_question": place.new_question,
        "new_answer": place.new_answer,
        "history_ids": [id_ for id_, _, _ in place.history],
        "history_roles": [role for _, role, _ in place.history],
        "history_contents": [content for _, _, content in place.history],
        "lease": float(LEASE_SECONDS),
        "request": write.request,
        "start": write.start_event,
        "title": write.title,
        "user": write.user_id,
        "worker": write.worker,
        "session": write.claims.session_id if write.claims else None,
        "epoch": write.claims.epoch if write.claims else None,
        "seen_every": SEEN_EVERY,
    }
    statement = _WRITE_NEW if place.is_new_conversation else _WRITE_EXISTING
    try:
        async with database.raw(transaction=False) as connection:
            written = await connection.row(statement, values)
    except asyncpg.UniqueViolationError:
        async with database.raw(transaction=False) as connection:
            running = await connection.row(_OPEN_RUN, {"question": place.question_id})
        details = [{"run_id": str(running["id"])}] if running else None
        raise Conflict("An answer to this question is being written.", details=details) from None
    except asyncpg.ForeignKeyViolationError:
        # Its account, or what else it belongs to, is being deleted.
        raise StaleConversation from None
    if written is None:
        raise StaleConversation
    return WrittenTurn(has_files=written["has_files"], personal=Personal.of(written))
