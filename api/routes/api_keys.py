"""API keys of the account that is signed in. A key makes no keys: these routes want a session."""

from uuid import UUID

import structlog
from fastapi import APIRouter

from api.deps import CurrentUser, Session
from api.errors import responses
from api.schemas.auth import ApiKeyCreate, ApiKeyCreated, ApiKeyList, ApiKeyRead
from auth import keys
from llama_service import errors
from persistence import audit

router = APIRouter(prefix="/api-keys", tags=["auth"])
log = structlog.get_logger(__name__)

_SIGNED_IN = responses(errors.NotAuthenticated)


@router.get("", responses=_SIGNED_IN)
async def list_api_keys(user: CurrentUser, session: Session) -> ApiKeyList:
    """Return your keys; revoked ones are gone."""
    rows = await keys.list_keys(session, user.id)
    return ApiKeyList(items=[ApiKeyRead.model_validate(row) for row in rows])


@router.post("", status_code=201, responses=_SIGNED_IN | responses(errors.ValidationFailed, errors.Conflict))
async def create_api_key(body: ApiKeyCreate, user: CurrentUser, session: Session) -> ApiKeyCreated:
    """Make a key. The answer is the only place where it is ever shown."""
    row, key = await keys.create_key(session, user.id, name=body.name, scopes=body.scopes, expires_at=body.expires_at)
    await audit.note(session, "api_key_created", user, ("api_key", row.id), scopes=row.scopes)
    log.info("api_key_created", user_id=str(user.id), key_id=str(row.id), scopes=row.scopes)
    return ApiKeyCreated(**ApiKeyRead.model_validate(row).model_dump(), key=key)


@router.delete("/{key_id}", status_code=204, responses=_SIGNED_IN | responses(errors.NotFound))
async def revoke_api_key(key_id: UUID, user: CurrentUser, session: Session) -> None:
    """Revoke a key; it is no good any more from the next request on."""
    await keys.revoke_key(session, user.id, key_id)
    await audit.note(session, "api_key_revoked", user, ("api_key", key_id))
    log.info("api_key_revoked", user_id=str(user.id), key_id=str(key_id))
