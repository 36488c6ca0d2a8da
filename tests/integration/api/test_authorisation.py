"""Each route and each kind of caller: who gets in. Written to docs/authorisation.md, with UPDATE_DOCS=1.

A route that nobody has decided about, open or closed to keys, fails here.
"""

import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from api.deps import COOKIE
from api.scopes import CLOSED_TO_KEYS, SCOPE_OF
from auth.keys import SCOPES
from tests.conftest import Database, Join
from tests.integration.api.test_api_keys import make_key
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import group
from tests.support import Person, Server

STRANGER = "stranger"
# Nobody has to be signed in for these.
OPEN = {
    "api.routes.auth": {"register", "invitation_state", "login", "refresh", "forgot_password", "reset_password"},
    "api.routes.oidc": {"methods", "oidc_login", "oidc_callback", "oidc_backchannel_logout"},
    "api.routes.health": {"health", "ready", "metrics"},
    "api.routes.models": {"list_models", "default_model", "status"},
    "api.routes.shares": {"read_share"},  # for whom a share is, the share says: test_shares.py
    "api.agent_server.assistants": {"is_ok", "info"},
}


# Everybody knows which groups there are; who changes one is told that only administrators may.
FOR_ADMINISTRATORS = {"api.routes.groups.change_group", "api.routes.groups.delete_group"}


@dataclass(frozen=True, slots=True)
class Door:
    """A route with one of its methods; `endpoint` is the function that answers, with its module."""

    method: str
    path: str
    endpoint: str

    @property
    def is_open(self) -> bool:
        module, _, name = self.endpoint.rpartition(".")
        return name in OPEN.get(module, set())


def doors(server: Server) -> list[Door]:
    """Return every route that is ours, in the order of its address."""
    found = []
    for route in iter_route_contexts(server.app.routes):
        endpoint = getattr(route, "endpoint", None)
        if endpoint is not None and endpoint.__module__.startswith(("api.routes.", "api.agent_server.", "api.openai.")):
            name = f"{endpoint.__module__}.{endpoint.__name__}"
            found += [Door(method, str(route.path), name) for method in sorted(route.methods or ())]
    return sorted(found, key=lambda door: (door.path, door.method))


@pytest.fixture
async def callers(server: Server, join: Join, database: Database) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Clients by what they present, each account another one, so that none sees what another one has done."""
    clients: dict[str, httpx.AsyncClient] = {}

    def client(**how: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=server.url, timeout=30, **how)

    owner, off, spent, stranger = await join(), await join(), await join(), await join()
    clients["nobody"] = client()
    clients[STRANGER] = client(headers={"Authorization": stranger.http.headers["Authorization"]})
    clients["inactive"] = client(headers={"Authorization": off.http.headers["Authorization"]})
    clients["spent token"] = client(headers={"Authorization": spent.http.headers["Authorization"]})
    await spent.http.post("/auth/logout", json={"all": True})
    expired = await make_key(owner)
    database.execute("UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = %s", [expired["id"]])
    clients["expired key"] = client(headers={"x-api-key": expired["key"]})
    token = owner.http.headers["Authorization"].removeprefix("Bearer ")
    clients["cookie of another site"] = client(
        cookies={COOKIE: token}, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    )
    for scope in SCOPES:
        clients[scope] = client(headers={"x-api-key": (await make_key(owner, scope))["key"]})
    database.execute("UPDATE users SET is_active = false WHERE username = %s", [off.name])
    yield clients
    for opened in clients.values():
        await opened.aclose()


@pytest.fixture
async def belongings(anna: Person, admin: Person) -> dict[str, str]:
    """Ids of what somebody has, by the names that routes give them."""
    answer = await anna.ask("Is this mine?")
    file = await anna.indexed("mine.txt", b"This is mine and nobody else's.")
    states = (await anna.get(f"/conversations/{answer['conversation_id']}/checkpoints"))["items"]
    (session,) = (await anna.get("/auth/sessions"))["items"]
    saved = {
        "project_id": ("/projects", {"name": "Mine"}),
        "assistant_id": ("/assistants", {"name": "Mine"}),
        "prompt_id": ("/prompts", {"title": "Mine", "content": "Mine"}),
        "memory_id": ("/memories", {"text": "This is mine."}),
    }
    made = {name: (await anna.http.post(path, json=body)).json()["id"] for name, (path, body) in saved.items()}
    shelf = (await anna.http.post("/libraries", json={"name": "Mine"})).json()["id"]
    (member,) = (await anna.get(f"/libraries/{shelf}/members"))["items"]
    crowd = await group(admin, f"Mine {anna.name}", manager=anna)
    share = await anna.http.post(f"/conversations/{answer['conversation_id']}/shares", json={})
    return made | {
        "share_id": share.json()["id"],
        "library_id": shelf,
        "member_id": member["id"],
        "group_id": crowd,
        "user_id": member["user_id"],
        "conversation_id": answer["conversation_id"],
        "thread_id": answer["conversation_id"],
        "message_id": answer["message_id"],
        "run_id": answer["run_id"],
        "checkpoint_id": states[0]["checkpoint_id"],
        "file_id": file["id"],
        "session_id": session["id"],
        "key_id": (await make_key(anna))["id"],
    }


async def asked(client: httpx.AsyncClient, door: Door, ids: Mapping[str, str]) -> int:
    """Ask, with these ids where the address has them and with ids that nobody has elsewhere; return the status.

    A turn's session is checked by the statement that writes it, so its body has to say something.
    """
    path = re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1], str(uuid4())), door.path)
    body: dict[str, Any] | None = None if door.method == "GET" else {"message": "Hello"}
    answer = await client.request(door.method, path, json=body)
    assert answer.status_code < 500, (door, answer.text)
    return answer.status_code


async def enters(client: httpx.AsyncClient, door: Door) -> bool:
    """Ask with ids that nobody has: whoever is not turned away at the door gets in."""
    return await asked(client, door, {}) not in (401, 403)


def test_somebody_has_decided_about_each_route(server: Server) -> None:
    ours = {door.endpoint for door in doors(server)}
    assert ours == set(SCOPE_OF) | CLOSED_TO_KEYS
    assert not set(SCOPE_OF) & CLOSED_TO_KEYS


async def test_what_is_somebody_elses_is_not_there(
    server: Server, callers: dict[str, httpx.AsyncClient], belongings: dict[str, str], anna: Person
) -> None:
    """On each route that names a thing: 404, or 422 for a body that fits nothing, and the thing stays as it is."""
    tried = 0
    # Of nobody: a model, a sign-in provider; identities have a test of their own (test_oidc.py).
    of_no_one = {"model", "name", "identity_id", "config_hash", "token"}
    for door in doors(server):
        named = set(re.findall(r"\{(\w+)(?::\w+)?\}", door.path))
        if "/admin/" not in door.path:
            assert named <= set(belongings) | of_no_one, (door, "give this test one of somebody else's")
        if any(f"{{{name}}}" in door.path for name in belongings) and "/admin/" not in door.path:
            tried += 1
            refused = (403,) if door.endpoint in FOR_ADMINISTRATORS else (404, 422)
            assert await asked(callers[STRANGER], door, belongings) in refused, door
    assert tried > 40
    thread, file = belongings["conversation_id"], belongings["file_id"]
    assert len((await anna.get(f"/conversations/{thread}/messages"))["items"]) == 2
    assert (await anna.get(f"/files/{file}"))["status"] == "completed"
    assert [key["id"] for key in (await anna.get("/api-keys"))["items"]] == [belongings["key_id"]]


async def test_the_table_is_what_is_seen(
    server: Server, callers: dict[str, httpx.AsyncClient], repository: Path
) -> None:
    rows = []
    for door in doors(server):
        seen = {name: await enters(client, door) for name, client in callers.items()}
        for scope in SCOPES:
            assert seen[scope] == (door.is_open or SCOPE_OF.get(door.endpoint) == scope), (door, scope)
        for name in ("nobody", "inactive", "spent token", "expired key"):
            assert seen[name] == door.is_open, (door, name)
        if door.method != "GET":
            assert seen["cookie of another site"] <= door.is_open, door
        rows.append(f"| {door.method} {door.path} | {' | '.join('in' if seen[name] else '·' for name in callers)} |")
    lines = [
        "# Who gets in",
        "",
        "Written by `tests/integration/api/test_authorisation.py` (`UPDATE_DOCS=1`): each route, asked by each kind of",
        "caller, with ids that nobody has. `in`: the route itself answered (mostly 404 or 422); `·`: 401 or 403. The",
        "last six are API keys with that one scope. The stranger is signed in; what is another one's is 404 for them,",
        "which the same file tests on every route. A cookie that came with another site's request reads (browsers keep",
        "the answer from that site) and changes nothing.",
        "",
        f"| route | {' | '.join(callers)} |",
        f"|---|{'---|' * len(callers)}",
        *rows,
        "",
    ]
    table = "\n".join(lines)
    path = repository / "docs" / "authorisation.md"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(table, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == table
