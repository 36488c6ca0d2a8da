"""Shared conversations: frozen copies that others read by a link, until it expires or is revoked."""

from uuid import UUID

import structlog
from fastapi import APIRouter, Response

from api.deps import CurrentUser, Session, State, Visitor
from api.errors import responses
from api.schemas.shares import ShareCreate, ShareCreated, SharedMessage, SharedRead, ShareRead, SharesRead
from llama_service import errors
from llama_service.errors import Forbidden
from persistence import audit, shares
from persistence.shares import Audience

router = APIRouter(tags=["shares"])
log = structlog.get_logger(__name__)

_OWN = responses(errors.NotAuthenticated, errors.NotFound)


@router.post(
    "/conversations/{conversation_id}/shares",
    status_code=201,
    responses=_OWN | responses(errors.Forbidden, errors.Conflict, errors.ValidationFailed),
)
async def create_share(
    conversation_id: UUID, body: ShareCreate, user: CurrentUser, session: Session, state: State
) -> ShareCreated:
    """Share the current branch as it stands. The answer is the only place where the link's token is ever shown."""
    if body.audience == "anyone" and not state.settings.allow_public_shares:
        raise Forbidden.because("links_off", "Links that need no account are switched off on this server.")
    row, token = await shares.create(
        session,
        user.id,
        conversation_id,
        audience=body.audience,
        with_sources=body.with_sources,
        expires_at=body.expires_at,
    )
    told = {"audience": row.audience, "with_sources": row.with_sources, "expires_at": row.expires_at}
    await audit.note(session, "share_created", user, ("share", row.id), conversation=conversation_id, **told)
    log.info("share_created", user_id=str(user.id), share_id=str(row.id), audience=row.audience)
    return ShareCreated(**ShareRead.model_validate(row).model_dump(), token=token)


@router.get("/conversations/{conversation_id}/shares", responses=_OWN)
async def list_shares(conversation_id: UUID, user: CurrentUser, session: Session, state: State) -> SharesRead:
    """List the shares of a conversation; expired ones are among them, revoked ones are gone."""
    rows = await shares.of_conversation(session, user.id, conversation_id)
    items = [ShareRead.model_validate(row) for row in rows]
    return SharesRead(items=items, anyone_allowed=state.settings.allow_public_shares)


@router.delete("/conversations/{conversation_id}/shares/{share_id}", status_code=204, responses=_OWN)
async def revoke_share(conversation_id: UUID, share_id: UUID, user: CurrentUser, session: Session) -> None:
    """Revoke a share: its link leads nowhere from now on."""
    await shares.revoke(session, user.id, conversation_id, share_id)
    await audit.note(session, "share_revoked", user, ("share", share_id))
    log.info("share_revoked", user_id=str(user.id), share_id=str(share_id))


@router.get("/shared/{token}", responses=responses(errors.NotFound))
async def read_share(token: str, visitor: Visitor, session: Session, state: State, response: Response) -> SharedRead:
    """Return what a link leads to: for who is signed in, or for anyone where it was shared so and still may be."""
    audiences: list[Audience] = ["signed_in"] if visitor else []
    if visitor or state.settings.allow_public_shares:
        audiences.append("anyone")
    row, owner, shown = await shares.read(session, token, audiences)
    await audit.note(session, "share_read", visitor.user if visitor else None, ("share", row.id))
    # Revoked means gone: no copy may stay between here and the reader.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex"
    return SharedRead(
        title=row.title,
        owner=owner,
        created_at=row.created_at,
        expires_at=row.expires_at,
        messages=[SharedMessage.model_validate(message) for message in shown],
    )
