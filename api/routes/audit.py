"""The audit log, for administrators."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from api.deps import Admin, Cursor, Limit, State
from api.errors import responses
from api.schemas.audit import AuditRead
from api.schemas.common import Page
from llama_service import errors
from persistence import audit
from persistence.audit import Action, Filter

router = APIRouter(prefix="/admin/audit", tags=["admin"])

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden, errors.BadRequest)
_NDJSON = {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}


@router.get("", response_model=Page[AuditRead], responses=_ADMIN | {200: _NDJSON})
async def list_audit(
    admin: Admin,
    state: State,
    actor: Annotated[str | None, Query(max_length=64, description="Id or name of who did it")] = None,
    action: Action | None = None,
    object: Annotated[str | None, Query(max_length=64, description="Id of what it was done to")] = None,
    since: Annotated[datetime | None, Query(alias="from")] = None,
    until: Annotated[datetime | None, Query(alias="to")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Literal["json", "ndjson"] = "json",
) -> Page[AuditRead] | Response:
    """List what was done, newest first; as NDJSON everything that fits, oldest first, a line each. Looking is noted."""
    wanted = Filter(actor, action, object, _in_utc(since), _in_utc(until))
    async with state.database.transaction() as session:
        rows, following = await audit.list_page(session, wanted, limit=limit, cursor=cursor)
        shown = [AuditRead.of(row) for row in rows]
        await audit.note(session, "audit_listed", admin, format=format)
    if format == "json":
        return Page(items=shown, next_cursor=following)

    async def lines() -> AsyncIterator[str]:
        async for rows in audit.every(state.database, wanted):
            yield "".join(f"{AuditRead.of(row).model_dump_json()}\n" for row in rows)

    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


def _in_utc(moment: datetime | None) -> datetime | None:
    """Return a time that nobody gave a zone as one in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
