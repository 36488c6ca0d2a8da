"""Which tools there are: those that come along, and those of MCP servers."""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from graphs.tools import BUILT_IN, mcp
from graphs.tools.spec import ToolFailed, ToolSpec
from llama_service.vault import Vault
from persistence import mcp_servers
from persistence.access import groups_of
from persistence.session import Database
from persistence.tables import McpServer

_Allowed = tuple[ToolSpec, frozenset[UUID] | None]
"""A tool, and the groups whose members may use it; None for everybody."""
_FOR_ALL: Sequence[_Allowed] = [(spec, None) for spec in BUILT_IN]
_KEPT_SECONDS = 2.0  # that a change by an administrator may take to reach every process


class ToolCatalog:
    """Finds tools by name. What servers there are, and their tools, is read from the database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._read_at = -_KEPT_SECONDS
        self._known: Sequence[_Allowed] = _FOR_ALL

    async def of_user(self, user_id: UUID) -> Sequence[ToolSpec]:
        """Return the tools that a person may use; the list of servers is some seconds old at most, their groups not."""
        known = await self._all()
        own: frozenset[UUID] = frozenset()
        if any(groups is not None for _, groups in known):
            async with self._database.reading() as session:
                own = frozenset((await session.execute(groups_of(user_id))).scalars())
        return [spec for spec, groups in known if groups is None or not own.isdisjoint(groups)]

    async def _all(self) -> "Sequence[_Allowed]":
        if time.monotonic() - self._read_at > _KEPT_SECONDS:
            async with self._database.reading() as session:
                servers = await mcp_servers.list_all(session, enabled_only=True)
            taken = {spec.name for spec in BUILT_IN}
            found = [
                (spec, frozenset(server.allowed_groups) if server.allowed_groups is not None else None)
                for server in servers
                for spec in mcp.specs_of(server, self.headers, taken)
            ]
            self._known, self._read_at = [*_FOR_ALL, *found], time.monotonic()
        return self._known

    async def find(self, names: Sequence[str], user_id: UUID) -> Mapping[str, ToolSpec]:
        """Return those of these tools that a person may use, in their order."""
        known = {spec.name: spec for spec in await self.of_user(user_id)}
        return {name: known[name] for name in dict.fromkeys(names) if name in known}

    def forget(self) -> None:
        """Read the servers anew when somebody asks next."""
        self._read_at = -_KEPT_SECONDS

    async def headers(self, server: McpServer, user_id: str | None) -> Mapping[str, str]:
        """Return what a server is sent beside a call: its secrets, and who asks where it shall know.

        Raises ToolFailed where the secrets were encrypted under another key, or nobody knows the caller's address to be
        theirs: whoever could type another's would be taken for them.
        """
        given: dict[str, str] = {}
        if server.headers is not None:
            opened = self._vault.open(server.headers, McpServer.__tablename__, server.id)
            if opened is None:
                raise ToolFailed("The server's headers can't be decrypted any more; an administrator has to set them.")
            given |= opened
        if server.user_header and user_id:
            async with self._database.reading() as session:
                email = await mcp_servers.verified_email(session, UUID(user_id))
            if email is None:
                raise ToolFailed(
                    "The server has to know who asks; an administrator has to confirm your e-mail address."
                )
            given[server.user_header] = email
        return given

    async def check(self, server: McpServer) -> None:
        """Ask a server for its tools and keep what it tells, or why it could not be asked."""
        tools, error = None, None
        try:
            tools = await mcp.list_tools(server, await self.headers(server, None))
        except ToolFailed as failed:
            error = str(failed)
        async with self._database.transaction() as session:
            await mcp_servers.note_check(session, server.id, tools, error)
        self.forget()

    async def check_stale(self, older_than: float) -> None:
        """Ask the servers that no process has asked for some seconds."""
        async with self._database.transaction() as session:
            stale = await mcp_servers.take_stale(session, older_than)
        for server in stale:
            await self.check(server)
