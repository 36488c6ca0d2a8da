"""What is deleted, or made by somebody else, between the look at it and the write: each door says so."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import group, library, user_id
from tests.integration.api.test_log_texts import logged as logged
from tests.providers import OpenAIServer
from tests.support import Person, Server, eventually

_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
Meanwhile = Callable[[str, tuple[Any, ...], Awaitable[httpx.Response]], Awaitable[httpx.Response]]


@pytest.fixture
def meanwhile(postgres: str, database: Database) -> Meanwhile:
    """Run a statement that is committed when a request waits for it; return the request's answer."""

    async def run(statement: str, values: tuple[Any, ...], request: Awaitable[httpx.Response]) -> httpx.Response:
        with psycopg.connect(postgres) as other:
            other.execute(statement.encode(), values)
            answer = asyncio.ensure_future(request)

            async def waits() -> bool:
                row = database.execute(_WAITS, (other.info.backend_pid,)).fetchone()
                return answer.done() or bool(row and row[0])

            await eventually(waits)
            assert not answer.done(), "the request did not wait: it has seen what was to come"
            other.commit()
        return await answer

    return run


_DELETE_CHAT = "DELETE FROM conversations WHERE id = %s"


async def test_a_chat_that_is_deleted_while_it_is_shared_is_not_found(
    meanwhile: Meanwhile, anna: Person, openai: OpenAIServer, logged: io.StringIO
) -> None:
    thread = (await anna.ask("the patient has mumps"))["conversation_id"]
    refused = await meanwhile(_DELETE_CHAT, (thread,), anna.http.post(f"/conversations/{thread}/shares", json={}))
    assert (refused.status_code, envelope(refused)["code"]) == (404, "not_found")
    assert "mumps" not in logged.getvalue()


async def test_a_chat_that_is_deleted_while_a_file_is_attached_is_not_found(meanwhile: Meanwhile, anna: Person) -> None:
    file = await anna.upload("a.txt", b"some words")
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    attaching = anna.http.post(f"/files/{file['id']}/attach", json={"conversation_id": thread})
    assert (await meanwhile(_DELETE_CHAT, (thread,), attaching)).status_code == 404


async def test_a_chat_that_is_moved_into_a_project_that_is_deleted_stays_where_it_was(
    meanwhile: Meanwhile, anna: Person
) -> None:
    project = (await anna.http.post("/projects", json={"name": "Mumps"})).json()["id"]
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    moving = anna.http.patch(f"/conversations/{thread}", json={"project_id": project})
    assert (await meanwhile("DELETE FROM projects WHERE id = %s", (project,), moving)).status_code == 404
    assert (await anna.get(f"/conversations/{thread}"))["project_id"] is None


async def test_who_is_deleted_while_becoming_a_member_is_not_found(
    meanwhile: Meanwhile, admin: Person, anna: Person, boris: Person
) -> None:
    his, delete = await user_id(boris), "DELETE FROM users WHERE id = %s"
    crowd = await group(admin, f"Crowd {anna.name}", anna)
    member = {"username": boris.name, "role": "member"}
    joining = admin.http.put(f"/groups/{crowd}/members", json=member)
    assert (await meanwhile(delete, (his,), joining)).status_code == 404


async def test_a_library_that_is_deleted_while_a_file_comes_into_it_is_not_found(
    meanwhile: Meanwhile, anna: Person
) -> None:
    forest, file = await library(anna), await anna.upload("a.txt", b"some words")
    putting = anna.http.post(f"/libraries/{forest}/files", json={"file_id": file["id"]})
    assert (await meanwhile("DELETE FROM libraries WHERE id = %s", (forest,), putting)).status_code == 404


async def test_an_account_that_is_deleted_while_it_asks_has_no_session_any_more(
    meanwhile: Meanwhile, anna: Person, openai: OpenAIServer
) -> None:
    asking = anna.http.post("/chat", json={"message": "Hello"})
    refused = await meanwhile("DELETE FROM users WHERE id = %s", (await user_id(anna),), asking)
    assert refused.status_code == 401, refused.text


async def test_what_somebody_else_makes_first_is_a_conflict(meanwhile: Meanwhile, server: Server, anna: Person) -> None:
    thread = str(uuid4())
    making = anna.http.post(f"{server.url}/langgraph/threads", json={"thread_id": thread})
    first = "INSERT INTO conversations (id, user_id) VALUES (%s, %s)"
    refused = await meanwhile(first, (thread, await user_id(anna)), making)
    assert (refused.status_code, envelope(refused)["code"]) == (409, "conflict")
