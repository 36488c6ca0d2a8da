"""Administration of MCP servers: whose tools the models of this server may call."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, State
from api.errors import responses
from api.schemas.mcp_servers import McpServerChange, McpServerCreate, McpServerRead, McpServersRead
from api.state import AppState
from llama_service import errors
from llama_service.ids import new_id
from persistence import audit, mcp_servers
from persistence.tables import McpServer

router = APIRouter(prefix="/admin/mcp-servers", tags=["admin"])

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden)
_ONE = _ADMIN | responses(errors.NotFound)
_NULLABLE = ("user_header", "allowed_groups")


@router.get("", responses=_ADMIN)
async def list_mcp_servers(admin: Admin, state: State) -> McpServersRead:
    """List the servers, with what they told when they were asked last."""
    async with state.database.reading() as session:
        return McpServersRead(items=[McpServerRead.of(row) for row in await mcp_servers.list_all(session)])


@router.post("", status_code=201, responses=_ADMIN | responses(errors.Conflict, errors.ValidationFailed))
async def create_mcp_server(body: McpServerCreate, admin: Admin, state: State) -> McpServerRead:
    """Add a server and ask it for its tools; one that does not answer is added too, with the reason."""
    async with state.database.transaction() as session:
        server_id = new_id()
        row = await mcp_servers.create(session, {"id": server_id, **_values(state, server_id, body)})
        await audit.note(
            session, "mcp_server_created", admin, ("mcp_server", row.id), name=row.name, host=urlsplit(row.url).hostname
        )
    return await _checked(state, row.id)


@router.patch("/{server_id}", responses=_ONE | responses(errors.Conflict, errors.ValidationFailed))
async def change_mcp_server(server_id: UUID, body: McpServerChange, admin: Admin, state: State) -> McpServerRead:
    """Change a server, and ask it again; an empty body only asks. Secret headers do not go along to another host."""
    async with state.database.transaction() as session:
        _check_secrets_stay(await mcp_servers.get(session, server_id), body)
        await mcp_servers.change(session, server_id, _values(state, server_id, body))
        fields = sorted(body.model_fields_set)
        await audit.note(session, "mcp_server_changed", admin, ("mcp_server", server_id), fields=fields)
    return await _checked(state, server_id)


@router.delete("/{server_id}", status_code=204, responses=_ONE)
async def delete_mcp_server(server_id: UUID, admin: Admin, state: State) -> None:
    """Remove a server; calls of its tools that have begun end as they will."""
    async with state.database.transaction() as session:
        await mcp_servers.remove(session, server_id)
        await audit.note(session, "mcp_server_deleted", admin, ("mcp_server", server_id))
    state.tools.forget()


def _check_secrets_stay(row: McpServer, body: McpServerChange) -> None:
    """Refuse to send a server's secrets, which nobody is shown, to another one that an administrator names."""
    if body.url is None or body.headers is not None or row.headers is None:
        return
    if urlsplit(body.url)[:2] != urlsplit(row.url)[:2]:
        told = "The headers were given for another server: send them anew, or none, with a new address."
        detail = {"loc": ["body", "headers"], "msg": told, "type": "missing", "code": "headers_anew"}
        raise errors.ValidationFailed(told, details=[detail])


def _values(state: AppState, server_id: UUID, body: McpServerChange) -> dict[str, Any]:
    """Return the columns to write: absent fields of a change stay; null means something for `_NULLABLE` alone."""
    given = body.model_dump(exclude_unset=not isinstance(body, McpServerCreate), exclude={"headers"})
    values = {name: value for name, value in given.items() if value is not None or name in _NULLABLE}
    if body.headers is not None:
        plain = {name: value.get_secret_value() for name, value in body.headers.items()}
        sealed = state.vault.seal(plain, McpServer.__tablename__, server_id) if plain else None
        values |= {"headers": sealed, "header_names": sorted(plain)}
    return values


async def _checked(state: AppState, server_id: UUID) -> McpServerRead:
    async with state.database.reading() as session:
        row = await mcp_servers.get(session, server_id)
    if row.enabled:
        await state.tools.check(row)
    state.tools.forget()
    async with state.database.reading() as session:
        return McpServerRead.of(await mcp_servers.get(session, server_id))
