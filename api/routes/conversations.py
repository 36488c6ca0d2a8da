"""Conversations, their branches, export and import."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.requests import ClientDisconnect

from api import portability
from api.cleanup import forget_conversation
from api.deps import CurrentUser, Cursor, Limit, Session, State
from api.errors import responses
from api.middleware import without_limit
from api.schemas.chat import ConversationUsage
from api.schemas.common import Page
from api.schemas.conversations import (
    ConversationChange,
    ConversationCreate,
    ConversationRead,
    Imported,
    MessageRead,
)
from llama_service import errors
from llama_service.errors import BadRequest, FileTooLarge
from persistence import audit, conversations, messages, stats

router = APIRouter(prefix="/conversations", tags=["conversations"])

_OWN = responses(errors.NotAuthenticated, errors.NotFound, errors.ValidationFailed)


@router.get("", responses=_OWN | responses(errors.BadRequest))
async def list_conversations(
    user: CurrentUser,
    session: Session,
    limit: Limit = 50,
    cursor: Cursor = None,
    q: Annotated[str | None, Query(max_length=400, description="Words of titles and messages")] = None,
    include_archived: bool = False,
    project_id: Annotated[UUID | None, Query(description="Those of one project")] = None,
    outside_projects: Annotated[bool, Query(description="Those of no project")] = False,
) -> Page[ConversationRead]:
    """List conversations, newest first; with `q`, those whose title or messages hold the words, of all projects."""
    words = q.replace("\x00", "").strip() if q else ""
    if words:
        items, following = await conversations.search(
            session, user.id, words, limit=limit, cursor=cursor, include_archived=include_archived
        )
    else:
        items, following = await conversations.list_page(
            session,
            user.id,
            limit=limit,
            cursor=cursor,
            include_archived=include_archived,
            project_id=project_id,
            outside_projects=outside_projects,
        )
    shapes = [ConversationRead.of(item.conversation, item.hit) for item in items]
    return Page(items=shapes, next_cursor=following)


@router.post("", status_code=201, responses=_OWN)
async def create_conversation(body: ConversationCreate, user: CurrentUser, session: Session) -> ConversationRead:
    """Begin an empty conversation."""
    return ConversationRead.of(await conversations.create(session, user.id, **body.model_dump(exclude_unset=True)))


@router.post("/import", status_code=201, responses=_OWN | responses(errors.BadRequest, errors.FileTooLarge))
async def import_conversations(request: Request, user: CurrentUser, session: Session, state: State) -> Imported:
    """Take conversations from this server's JSON export, or from an export file of ChatGPT or Open WebUI."""
    without_limit(request)
    body = bytearray()
    try:
        async for block in request.stream():
            body += block
            if len(body) > state.settings.max_filesize_bytes:
                raise FileTooLarge
    except ClientDisconnect:
        raise BadRequest.because("upload_broke_off", "The upload broke off.") from None
    imported = await portability.import_file(session, user.id, bytes(body))
    await audit.note(session, "conversations_imported", user, conversations=imported.conversations)
    return imported


@router.get("/{conversation_id}", responses=_OWN)
async def get_conversation(conversation_id: UUID, user: CurrentUser, session: Session) -> ConversationRead:
    """Return one conversation."""
    return ConversationRead.of(await conversations.get(session, user.id, conversation_id))


@router.patch("/{conversation_id}", responses=_OWN)
async def change_conversation(
    conversation_id: UUID, body: ConversationChange, user: CurrentUser, session: Session
) -> ConversationRead:
    """Change what is present in the body. `leaf_id` switches to the newest branch through that message."""
    values = body.model_dump(exclude_unset=True)
    leaf = values.pop("leaf_id", None)
    if leaf is not None:
        await conversations.switch(session, user.id, conversation_id, leaf)
    return ConversationRead.of(await conversations.change(session, user.id, conversation_id, values))


@router.delete("/{conversation_id}", status_code=204, responses=_OWN | responses(errors.LegalHold))
async def delete_conversation(conversation_id: UUID, user: CurrentUser, state: State) -> None:
    """Delete a conversation: messages, checkpoints, its own files, vectors, all of it."""
    await forget_conversation(state, user.id, conversation_id, by=user)


@router.get("/{conversation_id}/messages", responses=_OWN | responses(errors.BadRequest))
async def list_messages(
    conversation_id: UUID,
    user: CurrentUser,
    session: Session,
    limit: Limit = 100,
    cursor: Cursor = None,
    leaf: UUID | None = None,
) -> Page[MessageRead]:
    """Return the newest messages of a branch in the order of the talk; the cursor leads to those before them."""
    row = await conversations.get(session, user.id, conversation_id)
    items, following = await messages.branch(session, row, leaf=leaf, limit=limit, cursor=cursor)
    return Page(items=[MessageRead.of(item) for item in items], next_cursor=following)


@router.get("/{conversation_id}/usage", responses=_OWN)
async def conversation_usage(conversation_id: UUID, user: CurrentUser, session: Session) -> ConversationUsage:
    """Return what a conversation has cost, in tokens and, where prices are known, in US dollars."""
    await conversations.get(session, user.id, conversation_id)
    return ConversationUsage.model_validate(await stats.of_conversation(session, user.id, conversation_id))


@router.get("/{conversation_id}/export", responses=_OWN, response_class=Response)
async def export_conversation(
    conversation_id: UUID,
    user: CurrentUser,
    session: Session,
    format: Literal["json", "markdown"] = "json",
) -> Response:
    """Download a conversation: JSON with all branches and citations, or its current branch as Markdown."""
    row = await conversations.get(session, user.id, conversation_id)
    if format == "json":
        content, kind, suffix = await portability.as_json(session, row), "application/json", "json"
    else:
        content, kind, suffix = await portability.as_markdown(session, row), "text/markdown; charset=utf-8", "md"
    await audit.note(session, "conversation_exported", user, ("conversation", conversation_id), format=format)
    name = f'attachment; filename="conversation-{conversation_id}.{suffix}"'
    return Response(content, media_type=kind, headers={"Content-Disposition": name})
