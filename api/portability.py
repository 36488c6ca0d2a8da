"""Conversations that leave and come back: our JSON, Markdown, and the export files of ChatGPT and Open WebUI."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import orjson
from pydantic import Field, ValidationError
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import details_of
from api.schemas.chat import SourceRead, StepRead, UsageRead
from api.schemas.common import Body
from api.schemas.conversations import Imported
from llama_service.errors import BadRequest, ValidationFailed
from llama_service.ids import new_id
from llama_service.settings import ModelSource
from persistence import conversations, messages
from persistence.access import readable
from persistence.relevance import Confidence
from persistence.tables import Conversation, ConversationFile, File, Message

FORMAT = "llama-service/conversation"
VERSION = 1
_AT_ONCE = 500  # messages in one statement
_MOST_TOKENS = 2**40
_MOST_DOLLARS = 1e9
_OUT_OF_BOUNDS = frozenset({"greater_than_equal", "less_than_equal", "finite_number", "int_parsing_size"})
_TICK = timedelta(microseconds=1)  # between the times of a message and of its answer, at least
_EPOCH = datetime.fromtimestamp(0, UTC)
_ROLES = {"user", "assistant", "system"}
_KEPT = (
    "role",
    "content",
    "reasoning",
    "status",
    "sources",
    "confidence",
    "steps",
    "model_source",
    "model_name",
    "fallback_from",
    "finish_reason",
    "usage",
    "rating",
    "comment",
)


class _UsageIn(UsageRead):
    """What an answer has cost elsewhere; in bounds that every sum of it stays within."""

    input_tokens: int = Field(ge=0, le=_MOST_TOKENS)
    output_tokens: int = Field(ge=0, le=_MOST_TOKENS)
    total_tokens: int = Field(ge=0, le=_MOST_TOKENS)
    cached_tokens: int = Field(default=0, ge=0, le=_MOST_TOKENS)
    cost_usd: float | None = Field(default=None, ge=0, le=_MOST_DOLLARS, allow_inf_nan=False)


class _MessageIn(Body):
    """A message of an export file, of whatever product; what is wrong with it stops the import."""

    role: Literal["user", "assistant", "system"]
    content: str = ""
    reasoning: str | None = None
    status: Literal["complete", "stopped", "interrupted", "failed"] = "complete"
    sources: list[SourceRead] | None = None
    confidence: Confidence | None = None
    steps: list[StepRead] | None = None
    model_source: str | None = Field(default=None, max_length=20)
    model_name: str | None = Field(default=None, max_length=200)
    fallback_from: str | None = Field(default=None, max_length=20)
    finish_reason: str | None = Field(default=None, max_length=40)
    usage: _UsageIn | None = None
    created_at: datetime | None = None
    rating: Literal["up", "down"] | None = None
    comment: str | None = Field(default=None, max_length=4000)


class _ConversationIn(Body):
    """A conversation of an export file."""

    title: str | None = None
    model_source: ModelSource | None = None
    model_name: str | None = Field(default=None, max_length=200)
    system_prompt: str | None = Field(default=None, max_length=20_000)
    archived: bool = False
    pinned: bool = False
    search_library: bool = True


@dataclass(slots=True)
class _Node:
    key: str
    parent: str | None
    values: dict[str, Any]
    created_at: datetime | None = None


@dataclass(slots=True)
class _Tree:
    title: str | None
    nodes: list[_Node]
    leaf: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


async def as_json(session: AsyncSession, row: Conversation) -> bytes:
    """Return a conversation with all of its branches, citations and the names of its files that its owner may read."""
    rows = await messages.list_all(session, row)
    assert row.user_id is not None  # noqa: S101  (who exports a conversation owns it)
    names = (
        await session.execute(
            select(File.id, File.name, File.sha256)
            .join(ConversationFile, ConversationFile.file_id == File.id)
            .where(ConversationFile.conversation_id == row.id, readable(row.user_id))
        )
    ).all()
    document = {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": datetime.now(UTC),
        "conversation": {
            "id": row.id,
            "title": row.title,
            "model_source": row.model_source,
            "model_name": row.model_name,
            "system_prompt": row.system_prompt,
            "search_library": row.search_library,
            "archived": row.archived,
            "pinned": row.pinned,
            "leaf_id": row.leaf_id,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        },
        "files": [{"id": file.id, "name": file.name, "sha256": file.sha256} for file in names],
        "messages": [
            {
                "id": message.id,
                "parent_id": message.parent_id,
                "created_at": message.created_at,
                **{name: getattr(message, name) for name in _KEPT},
            }
            for message in rows
        ],
    }
    return await asyncio.to_thread(orjson.dumps, document, default=str, option=orjson.OPT_INDENT_2)


async def as_markdown(session: AsyncSession, row: Conversation) -> bytes:
    """Return the current branch, each answer with its sources."""
    parts = [f"# {row.title or 'Conversation'}\n"]
    cursor: str | None = None
    pages: list[list[str]] = []
    while True:
        items, cursor = await messages.branch(session, row, leaf=None, limit=200, cursor=cursor)
        pages.append([_markdown(item.message) for item in items])
        if cursor is None:
            break
    for page in reversed(pages):
        parts += page
    return "\n".join(parts).encode()


def _markdown(message: Message) -> str:
    who = {"user": "You", "assistant": message.model_name or "Assistant"}.get(message.role, message.role)
    lines = [f"## {who}\n", message.content, ""]
    for source in message.sources or []:
        page = f", page {source['page']}" if source.get("page") else ""
        lines.append(f"[{source['n']}]: {source['file_name']}{page}")
    return "\n".join(lines) + "\n"


async def import_file(session: AsyncSession, user_id: UUID, body: bytes) -> Imported:
    """Write every conversation of an export file under new ids. Raises BadRequest for a file that is none."""
    trees = await asyncio.to_thread(_parse, body)
    ids: list[UUID] = []
    count = 0
    for tree in trees:
        conversation_id, written = await _write(session, user_id, tree)
        ids.append(conversation_id)
        count += written
    return Imported(conversations=len(ids), messages=count, conversation_ids=ids)


def _parse(body: bytes) -> list[_Tree]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest.because("import_not_json", "This file is not JSON.") from None
    try:
        trees = [_checked(tree) for tree in _trees(document)]
    except ValidationError:
        raise BadRequest.because(
            "import_not_kept", "A conversation of this file holds values that can't be kept."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadRequest.because(
            "import_unknown", "This file is not an export of this server, of ChatGPT or of Open WebUI."
        ) from None
    if not trees:
        raise BadRequest.because("import_empty", "There is no conversation in this file.")
    return trees


def _checked(tree: _Tree) -> _Tree:
    """Return a tree whose values can be kept, parents before children.

    Raises ValidationError, ValidationFailed, BadRequest.
    """
    for node in tree.nodes:
        message = _message_in(node)
        node.values, node.created_at = message.model_dump(mode="json", exclude={"created_at"}), message.created_at
        # Its passages came with the file: they are the importer's own text, whatever files there are here.
        for record in (*(node.values["sources"] or ()), *(node.values["steps"] or ())):
            record["imported"] = True
    about = _ConversationIn.model_validate({**tree.values, "title": tree.title}).model_dump()
    tree.title = about.pop("title")
    tree.values = about
    tree.nodes = _in_order(tree.nodes)
    return tree


def _message_in(node: _Node) -> _MessageIn:
    """Return a message that can be kept. Raises ValidationFailed for a number out of bounds, else ValidationError."""
    given = {name: value for name, value in node.values.items() if value is not None}
    try:
        return _MessageIn.model_validate(given)
    except ValidationError as invalid:
        if not any(error["type"] in _OUT_OF_BOUNDS for error in invalid.errors()):
            raise
        details = details_of(invalid, "messages", node.key[:100])
        raise ValidationFailed("A message of this file holds a number that can't be.", details=details) from None


def _trees(document: Any) -> Iterator[_Tree]:
    entries = document if isinstance(document, list) else [document]
    for entry in entries:
        if entry.get("format") == FORMAT:
            yield _own(entry)
        elif "mapping" in entry:
            yield _chatgpt(entry)
        elif "chat" in entry:
            yield _open_webui(entry)
        else:
            raise KeyError("format")


def _own(entry: dict[str, Any]) -> _Tree:
    about = entry["conversation"]
    nodes = []
    for message in entry["messages"]:
        values = {name: message.get(name) for name in (*_KEPT, "created_at")}
        # An answer that was being written when it was exported is not being written here.
        if values["status"] == "streaming":
            values["status"] = "interrupted"
        nodes.append(_Node(str(message["id"]), _text(message.get("parent_id")), values))
    values = {name: about.get(name) for name in ("model_source", "model_name", "system_prompt")}
    values |= {name: bool(about.get(name)) for name in ("archived", "pinned")}
    values["search_library"] = about.get("search_library", True)
    return _Tree(_text(about.get("title")), nodes, _text(about.get("leaf_id")), values)


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _chatgpt(entry: dict[str, Any]) -> _Tree:
    """Read a conversation of ChatGPT's `conversations.json`: a mapping of nodes; empty ones are passed over."""
    mapping: dict[str, Any] = entry["mapping"]
    kept: dict[str, _Node] = {}
    for key, node in mapping.items():
        message = node.get("message")
        content = _chatgpt_text(message) if message else ""
        role = message["author"]["role"] if message else ""
        if role in _ROLES and content.strip():
            name = (message.get("metadata") or {}).get("model_slug") if role == "assistant" else None
            values = {"role": role, "content": content, "model_name": _text(name)}
            kept[key] = _Node(key, None, values | {"created_at": _seconds(message.get("create_time"))})
    for key, kept_node in kept.items():
        kept_node.parent = _nearest(mapping, mapping[key].get("parent"), kept)
    leaf = _nearest(mapping, entry.get("current_node"), kept)
    return _Tree(_text(entry.get("title")), list(kept.values()), leaf)


def _seconds(since_epoch: object) -> datetime | None:
    """Return the time that other products tell in seconds since 1970; None for what is no such time."""
    if not isinstance(since_epoch, int | float):
        return None
    try:
        return datetime.fromtimestamp(since_epoch, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _nearest(mapping: dict[str, Any], key: str | None, kept: dict[str, _Node]) -> str | None:
    seen: set[str] = set()
    while key is not None and key not in kept and key not in seen:
        seen.add(key)
        key = mapping.get(key, {}).get("parent")
    return key if key in kept else None


def _chatgpt_text(message: dict[str, Any]) -> str:
    content = message.get("content") or {}
    parts = content.get("parts") or []
    return "\n".join(part for part in parts if isinstance(part, str)) or str(content.get("text") or "")


def _open_webui(entry: dict[str, Any]) -> _Tree:
    """Read a chat of Open WebUI's export: `chat.history` holds the tree."""
    chat = entry["chat"]
    history = chat["history"]
    nodes = [
        _Node(
            str(key),
            _text(message.get("parentId")),
            {
                "role": message["role"],
                "content": str(message.get("content") or ""),
                "model_name": _text(message.get("model")) if message["role"] == "assistant" else None,
                "created_at": _seconds(message.get("timestamp")),
            },
        )
        for key, message in history["messages"].items()
        if message["role"] in _ROLES
    ]
    title = entry.get("title") or chat.get("title")
    return _Tree(_text(title), nodes, _text(history.get("currentId")), {"pinned": bool(entry.get("pinned"))})


def _in_order(nodes: list[_Node]) -> list[_Node]:
    """Return the nodes, parents first. Raises ValueError for a circle or a parent that is not there."""
    children: dict[str | None, list[_Node]] = {}
    keys = {node.key for node in nodes}
    for node in nodes:
        children.setdefault(node.parent if node.parent in keys else None, []).append(node)
        if node.parent not in keys:
            node.parent = None
    ordered: list[_Node] = []
    queue = list(reversed(children.get(None, [])))
    while queue:
        node = queue.pop()
        ordered.append(node)
        queue.extend(reversed(children.get(node.key, [])))
    if len(ordered) != len(nodes):
        raise BadRequest.because("import_not_kept", "The messages of this file refer to each other in a circle.")
    return ordered


async def _write(session: AsyncSession, user_id: UUID, tree: _Tree) -> tuple[UUID, int]:
    title = (tree.title or "")[:200] or None
    row = await conversations.create(session, user_id, title=title, **tree.values)
    ids = {node.key: new_id() for node in tree.nodes}
    times = _times(tree.nodes, datetime.now(UTC))
    rows = [
        {
            "id": ids[node.key],
            "conversation_id": row.id,
            "parent_id": ids[node.parent] if node.parent else None,
            "created_at": times[node.key],
            **node.values,
        }
        for node in tree.nodes
    ]
    for start in range(0, len(rows), _AT_ONCE):
        await session.execute(insert(Message), rows[start : start + _AT_ONCE])
    row.leaf_id = ids.get(tree.leaf or "") or (list(ids.values())[-1] if ids else None)
    await session.flush()
    return row.id, len(ids)


def _times(nodes: Sequence[_Node], now: datetime) -> dict[str, datetime]:
    """Return when each message was written, as the file says, and not in the future: parents before children."""
    times: dict[str, datetime] = {}
    for left, node in zip(range(len(nodes), 0, -1), nodes, strict=True):
        latest = now - left * _TICK
        told = node.created_at or latest
        earliest = times[node.parent] + _TICK if node.parent else _EPOCH
        times[node.key] = min(max(told if told.tzinfo else told.replace(tzinfo=UTC), earliest), latest)
    return times
