"""The audit log: what is in it, who reads it, and that nobody changes it without being found out."""

import asyncio
import inspect
import json
from typing import Any

import psycopg
import pytest

from llama_service.settings import load_settings
from persistence.audit import ACTIONS
from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_authorisation import doors
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import admit, group, library, user_id
from tests.integration.api.test_shares import shared
from tests.providers import OpenAIServer
from tests.support import PASSWORD, Person, Server, command, migrated_database, serving

# What changes nothing that anybody has to account for: one's own chats, files and settings while they are made.
NOT_NOTED = {
    "routes.auth": {"forgot_password"},
    "routes.two_factor": {"begin_two_factor"},
    "routes.chat": {"chat", "chat_stream", "run_cancel"},
    "routes.conversations": {"create_conversation", "change_conversation"},
    "routes.messages": {"feedback", "withdraw_feedback", "replay"},
    "routes.files": {"process", "attach", "detach"},
    "routes.search": {"search"},
    "routes.projects": {"create_project", "change_project", "delete_project"},
    "routes.assistants": {"create_assistant", "change_assistant", "delete_assistant"},
    "routes.prompts": {"create_prompt", "change_prompt", "delete_prompt"},
    "routes.personal": {"change_profile", "add_memory", "delete_memory", "delete_all_memories"},
    "routes.oidc": {"oidc_backchannel_logout"},
    "routes.admin": {"recent_errors", "list_invitations"},
    "routes.budgets": {"list_budgets"},
    "routes.model_rules": {"list_model_rules", "list_model_prices"},
    "routes.retention": {"get_retention", "preview_retention", "list_holds"},
    "routes.mcp_servers": {"list_mcp_servers"},
    "openai.routes": {"chat_completions", "embeddings"},
    "openai.responses": {"create_response"},
    "agent_server.assistants": {"search_assistants", "count_assistants"},
    "agent_server.runs": {
        *("create_run", "stream_run", "wait_run", "create_alone", "stream_alone", "wait_alone", "cancel_run"),
    },
    "agent_server.threads": {
        *("create_thread", "search_threads", "count_threads", "patch_thread", "get_state_at", "update_state"),
        *("post_history",),
    },
}
# Functions that note what the routes do which call them.
NOTING = (
    *("audit.note(", "forget_account(", "forget_conversation(", "forget_file(", "store_upload(", "_set_password("),
    *("tokens.rotate(", "await _do(", "apply_limits(", "erase_account(", "runs.resume("),
)


def test_each_route_that_changes_something_is_noted_or_was_decided_not_to_be(server: Server) -> None:
    from importlib import import_module

    undecided, stale = [], []
    for door in doors(server):
        module, _, name = door.endpoint.removeprefix("api.").rpartition(".")
        if door.method == "GET" and "/admin/" not in door.path:
            continue
        source = inspect.getsource(getattr(import_module(f"api.{module}"), name))
        noted = any(call in source for call in NOTING)
        decided = name in NOT_NOTED.get(module, set())
        if not noted and not decided:
            undecided.append(door.endpoint)
        if noted and decided and "audit.note(" in source:
            stale.append(door.endpoint)
    assert undecided == []
    assert stale == []


async def log_of(admin: Person, **wanted: Any) -> list[dict[str, Any]]:
    """Return what is noted, newest first."""
    items: list[dict[str, Any]] = (await admin.get("/admin/audit", **{"limit": 200, **wanted}))["items"]
    return items


async def test_what_people_do_is_noted(
    admin: Person, anna: Person, boris: Person, openai: OpenAIServer, database: Database
) -> None:
    secret = "the swallows fly to Tartu"
    answer = await anna.ask(f"Tell nobody that {secret}.")
    thread = answer["conversation_id"]
    forest = await library(anna, "Forest")
    await admit(anna, forest, username=boris.name)
    link = await shared(anna, thread)
    await boris.get(f"/shared/{link['token']}")
    await anna.http.get(f"/conversations/{thread}/export")
    key = (await anna.http.post("/api-keys", json={"name": "k", "scopes": ["chat"]})).json()
    await anna.http.delete(f"/api-keys/{key['id']}")
    wrong = await anna.http.post("/auth/login", json={"username": anna.name, "password": "not hers at all"})
    assert wrong.status_code == 401
    await anna.http.post("/auth/login", json={"username": "hunter2 typed in the wrong field", "password": "x"})
    crowd = await group(admin, f"Crowd {anna.name}", boris)
    his = await user_id(boris)
    changed = await admin.http.patch(f"/admin/users/{his}", json={"is_active": False}, headers={"X-Request-ID": "r-1"})
    assert changed.status_code == 200
    await anna.http.delete(f"/conversations/{thread}")
    mine = [row["action"] for row in await log_of(admin, actor=anna.name)][::-1]
    assert mine == [
        *("registered", "signed_in", "library_created", "library_member_set", "share_created"),
        *("conversation_exported", "api_key_created", "api_key_revoked", "conversation_deleted"),
    ]
    assert mine == [row["action"] for row in await log_of(admin, actor=await user_id(anna))][::-1]
    (read,) = await log_of(admin, object=link["id"], action="share_read")
    assert read["actor"] == boris.name
    failures = await log_of(admin, action="sign_in_failed")
    assert [failures[1]["object_id"], failures[0]["object_id"]] == [await user_id(anna), None]
    (row,) = await log_of(admin, object=his, action="user_changed")
    assert (row["actor"], row["request_id"], row["ip"]) == (admin.name, "r-1", "127.0.0.1")
    assert row["details"] == {"name": boris.name, "is_active": False, "password_set": False}
    (put,) = await log_of(admin, object=crowd, action="group_member_set")
    assert put["details"] == {"member": his, "role": "member"}
    assert {row["action"] for row in await log_of(admin, actor=admin.name)} >= {"group_created", "audit_listed"}
    everything = json.dumps(database.execute("SELECT row_to_json(e) FROM audit_events e").fetchall())
    for word in (secret, "hunter2", "not hers at all", key["key"], link["token"], PASSWORD):
        assert word not in everything
    assert set(ACTIONS) >= {row[0] for row in database.execute("SELECT DISTINCT action FROM audit_events").fetchall()}


async def test_only_administrators_read_it(admin: Person, anna: Person) -> None:
    refused = await anna.http.get("/admin/audit")
    assert (refused.status_code, envelope(refused)["code"]) == (403, "forbidden")
    for wrong in ({"action": "danced"}, {"from": "yesterday"}, {"limit": 0}):
        assert (await admin.http.get("/admin/audit", params=wrong)).status_code == 422
    first = await admin.get("/admin/audit", limit=2)
    second = await admin.get("/admin/audit", limit=2, cursor=first["next_cursor"])
    numbers = [row["id"] for row in (*first["items"], *second["items"])]
    assert numbers == list(range(numbers[0], numbers[0] - 4, -1))
    # Whichever page is looked at, and whatever its cursor says, it is noted.
    noted = await log_of(admin, actor=admin.name, action="audit_listed")
    await admin.get("/admin/audit", limit=2, cursor=first["next_cursor"], format="json")
    assert len(await log_of(admin, actor=admin.name, action="audit_listed")) == len(noted) + 2
    until = await log_of(admin, to="2020-01-01T00:00:00")
    assert until == []


async def test_it_leaves_as_ndjson(admin: Person, anna: Person) -> None:
    answer = await admin.http.get("/admin/audit", params={"actor": anna.name, "format": "ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["action"] for row in rows] == ["registered", "signed_in"]
    assert rows[0]["id"] < rows[1]["id"]


async def verified(address: str, *more: str) -> tuple[int, str]:
    """Run the README's command; return its exit code and what it said."""
    return await command("audit", "verify", *more, DATABASE_URL=address, JWT_SECRET_KEY="k" * 40)


async def test_nobody_changes_it_without_being_found_out(postgres: str, server: Server) -> None:
    address = await migrated_database(postgres, "audit")
    settings = server.settings.model_copy(
        update={"database_url": load_settings_secret(address), "inline_worker": False}
    )
    async with serving(settings) as own:
        people = [await Person.join(own.url) for _ in range(3)]
        for person in people:
            await person.close()
    code, said = await verified(address)
    assert (code, said.startswith("6 rows are what was written.")) == (0, True), said
    last = said.rsplit(maxsplit=1)[-1]
    assert (await verified(address, "--expect", last))[0] == 0
    with psycopg.connect(address, autocommit=True) as connection:
        for forbidden in ("UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
        # Whoever owns the database can: and is found out.
        connection.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
        connection.execute("GRANT UPDATE, DELETE ON audit_events TO CURRENT_USER")
        connection.execute("UPDATE audit_events SET actor = 'somebody else' WHERE id = 4")
    code, said = await verified(address)
    assert (code, "row 4 is not what was written" in said) == (1, True), said
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("UPDATE audit_events SET actor = %s WHERE id = 4", (people[1].name,))
        assert (await verified(address))[0] == 0
        connection.execute("DELETE FROM audit_events WHERE id = 2")
    assert "row 3" in (await verified(address))[1]
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DELETE FROM audit_events WHERE id > 1")
    assert (await verified(address))[0] == 0, "what is taken off the end is not seen by the chain alone"
    code, said = await verified(address, "--expect", last)
    assert (code, "row 6 is gone" in said) == (1, True), said


def load_settings_secret(address: str) -> Any:
    return load_settings(jwt_secret_key="k" * 40, database_url=address, _env_file=None).database_url


async def test_rows_that_are_written_at_once_are_one_chain(server: Server, join: Any, admin: Person) -> None:
    await asyncio.gather(*(join() for _ in range(12)))
    async with server.app.state.resources.database.reading() as session:
        from persistence.audit import verify

        found = await verify(session)
    assert found.broken is None
    assert found.rows > 24
