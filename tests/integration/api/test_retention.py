"""How long things are kept: age limits and their dry run, legal holds, and erasing a person with a report of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr

from persistence.erasure import OWNED
from persistence.tables import Base
from tests.conftest import Database
from tests.integration.api.test_audit import log_of, verified
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import admit, expel, library, user_id
from tests.integration.api.test_pictures import png
from tests.integration.api.test_scope import OWL, QUESTION
from tests.integration.api.test_shares import shared
from tests.integration.api.test_waiting import until_action
from tests.providers import OpenAIServer
from tests.support import Person, Server, eventually, migrated_database, serving

NOTHING: Final = dict.fromkeys(("conversations", "files", "library_files", "traces", "events", "audit"))
OLD: Final = "now() - interval '40 days'"


@pytest.fixture
async def keeper(admin: Person) -> AsyncIterator[Person]:
    """An administrator whose limits and holds end with the test."""
    yield admin
    assert (await admin.http.put("/admin/retention", json={})).json() == NOTHING
    for hold in (await admin.get("/admin/holds"))["items"]:
        assert (await admin.http.delete(f"/admin/holds/{hold['id']}")).status_code == 204


async def limit(keeper: Person, **days: int) -> None:
    """Set the limits."""
    done = await keeper.http.put("/admin/retention", json=days)
    assert done.status_code == 200, done.text
    assert done.json() == NOTHING | days == await keeper.get("/admin/retention")


async def preview(keeper: Person, **days: int) -> dict[str, tuple[int, int]]:
    """Return what limits would delete, and how much of it holds keep, by store."""
    told = await keeper.http.post("/admin/retention/preview", json=days)
    assert told.status_code == 200, told.text
    return {item["store"]: (item["count"], item["held"]) for item in told.json()["items"]}


async def apply(keeper: Person) -> dict[str, int]:
    """Delete what is due; return what went."""
    done = await keeper.http.post("/admin/retention/apply")
    assert done.status_code == 200, done.text
    assert done.json()["more"] is False
    removed: dict[str, int] = done.json()["removed"]
    return removed


async def hold(keeper: Person, **subject: Any) -> str:
    """Place a hold; return its id."""
    placed = await keeper.http.post("/admin/holds", json={"reason": "Case 12", **subject})
    assert placed.status_code == 201, placed.text
    return str(placed.json()["items"][0]["id"])


def held(answer: Any) -> bool:
    """Whether a request was refused because of a hold."""
    return (answer.status_code, envelope(answer)["code"]) == (409, "legal_hold")


async def test_what_is_older_than_its_limit_goes_and_the_dry_run_has_told_it(
    keeper: Person, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    forest = await library(anna)
    old_own, young_own = await anna.indexed("own.txt", OWL + b"1"), await anna.indexed("young.txt", OWL + b"2")
    old_shared = await anna.indexed("shared.txt", OWL + b"3", library_id=forest)
    old, young = await anna.ask(QUESTION), await anna.ask(QUESTION)
    attached = await anna.indexed("attached.txt", OWL + b"4", conversation_id=old["conversation_id"])
    database.execute(
        f"UPDATE conversations SET updated_at = {OLD} WHERE id = %s",
        (old["conversation_id"],),
    )
    for file in (old_own, old_shared):
        database.execute(f"UPDATE files SET created_at = {OLD} WHERE id = %s", (file["id"],))
    database.execute(f"UPDATE runs SET finished_at = {OLD} WHERE message_id = %s", (young["message_id"],))
    days = {"conversations": 30, "files": 30, "library_files": 30, "traces": 30, "events": 30}
    expected = {"conversations": 1, "files": 1, "library_files": 1, "traces": 1, "events": 1}
    assert await preview(keeper, **days) == {store: (count, 0) for store, count in expected.items()}
    assert await preview(keeper, **dict.fromkeys(days, 50)) == dict.fromkeys(days, (0, 0))
    assert (await anna.http.get(f"/conversations/{old['conversation_id']}")).status_code == 200, "a dry run is dry"
    await limit(keeper, **days)
    assert await apply(keeper) == expected
    assert await apply(keeper) == {}
    there = {file["name"] for file in (await anna.get("/files"))["items"]}
    assert there == {"young.txt"}, "what only an old conversation had is gone with it"
    assert (await anna.http.get(f"/files/{attached['id']}")).status_code == 404
    assert [item["id"] for item in (await anna.get("/conversations"))["items"]] == [young["conversation_id"]]
    trace = await anna.http.get(f"/messages/{young['message_id']}/trace")
    assert QUESTION not in trace.text
    assert (await anna.get(f"/conversations/{young['conversation_id']}/messages"))["items"][-1]["content"]
    found = await anna.http.post("/search", json={"query": QUESTION})
    assert {passage["file_name"] for passage in found.json()["passages"]} == {"young.txt"}
    (row,) = await log_of(keeper, action="retention_applied", actor=keeper.name)
    assert row["details"] == expected
    assert young_own["id"]


async def test_limits_are_checked(keeper: Person, anna: Person) -> None:
    for wrong in ({"conversations": 0}, {"audit": 89}, {"files": -1}, {"traces": "soon"}, {"events": 10**9}):
        refused = await keeper.http.put("/admin/retention", json=wrong)
        assert (refused.status_code, envelope(refused)["code"]) == (422, "validation_error"), wrong
    assert await keeper.get("/admin/retention") == NOTHING
    for wrong in ({}, {"username": anna.name, "conversation_id": "00000000-0000-0000-0000-000000000000"}):
        refused = await keeper.http.post("/admin/holds", json={"reason": "x", **wrong})
        assert refused.status_code == 422
    nobody = {"reason": "x", "conversation_id": "00000000-0000-0000-0000-000000000000"}
    assert (await keeper.http.post("/admin/holds", json=nobody)).status_code == 404
    assert (await keeper.http.post("/admin/holds", json={"reason": "x", "username": "nobody"})).status_code == 404
    await hold(keeper, username=anna.name)
    again = await keeper.http.post("/admin/holds", json={"reason": "x", "username": anna.name})
    assert (again.status_code, envelope(again)["code"]) == (409, "conflict")


async def test_no_door_deletes_what_is_held(
    keeper: Person, anna: Person, server: Server, openai: OpenAIServer, database: Database
) -> None:
    thread = (await anna.ask("Hello."))["conversation_id"]
    file = await anna.indexed("owl.txt", OWL, conversation_id=thread)
    await anna.ask(QUESTION, conversation_id=thread)
    unasked = await anna.indexed("fox.txt", OWL + b"2", conversation_id=thread)
    newer = await anna.indexed("newer.txt", OWL + b"3")
    database.execute(f"UPDATE conversations SET updated_at = {OLD} WHERE id = %s", (thread,))
    database.execute(f"UPDATE files SET created_at = {OLD} WHERE user_id = %s", (await user_id(anna),))
    database.execute(f"UPDATE runs SET finished_at = {OLD} WHERE conversation_id = %s", (thread,))
    on_thread = await hold(keeper, conversation_id=thread)
    agent = f"{server.url}/langgraph/threads/{thread}"
    doors = [
        anna.http.delete(f"/conversations/{thread}"),
        anna.http.delete(agent),
        anna.http.delete(f"/files/{file['id']}"),
        anna.http.post(f"/files/{file['id']}/detach", json={"conversation_id": thread}),
        anna.http.post(f"/files/{newer['id']}/replace", json={"file_id": file["id"]}),
        anna.http.request("DELETE", "/auth/me", json={"password": anna.password}),
        keeper.http.delete(f"/admin/users/{await user_id(anna)}"),
    ]
    answers = [await door for door in doors]
    assert [answer.status_code for answer in answers] == [409] * len(doors), [answer.text for answer in answers]
    assert all(held(answer) for answer in answers if "/langgraph/" not in str(answer.url))
    bulk = await keeper.http.post("/admin/users/bulk", json={"user_ids": [await user_id(anna)], "action": "delete"})
    assert [entry["code"] for entry in bulk.json()["failed"]] == ["legal_hold"]
    days = {"conversations": 30, "files": 30, "traces": 30, "events": 30}
    seen = await preview(keeper, **days)
    assert seen == {"conversations": (0, 1), "files": (1, 2), "traces": (0, 2), "events": (0, 2)}
    await limit(keeper, **days)
    assert await apply(keeper) == {"files": 1}, "newer.txt, which is nowhere asked about"
    detached = await anna.http.post(f"/files/{unasked['id']}/detach", json={"conversation_id": thread})
    assert detached.status_code == 200, "what nobody has asked with may leave the composer"
    whole = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert len(whole) == 4
    assert (await anna.http.get(f"/messages/{whole[-1]['id']}/trace")).json()["nodes"]
    assert (await keeper.http.delete(f"/admin/holds/{on_thread}")).status_code == 204
    assert (await anna.http.delete(f"/conversations/{thread}")).status_code == 204
    told = [row["action"] for row in await log_of(keeper, object=thread)]
    assert told == ["conversation_deleted", "hold_released", "hold_placed"]


async def test_a_person_who_is_held_loses_nothing(
    keeper: Person, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    file = await anna.indexed("owl.txt", OWL)
    kept = (await anna.ask(QUESTION))["conversation_id"]
    passing = (await anna.ask("Hello.", temporary=True))["conversation_id"]
    on_anna = await hold(keeper, username=anna.email)
    (shown,) = (await keeper.get("/admin/holds"))["items"]
    assert (shown["name"], shown["placed_by"], shown["reason"]) == (anna.name, keeper.name, "Case 12")
    for path in (f"/conversations/{kept}", f"/conversations/{passing}", f"/files/{file['id']}"):
        assert held(await anna.http.delete(path)), path
    for method in ("GET", "POST"):
        assert held(await keeper.http.request(method, f"/admin/users/{await user_id(anna)}/erasure"))
    # The hold is in the database itself: no query that anybody forgot gets past it.
    for statement in (
        "DELETE FROM conversations WHERE user_id = %s",
        "DELETE FROM files WHERE user_id = %s",
        "DELETE FROM users WHERE id = %s",
    ):
        with pytest.raises(psycopg.DatabaseError) as refused:
            database.execute(statement, (await user_id(anna),))
        assert refused.value.sqlstate == "LH001"
    assert (await anna.get(f"/conversations/{passing}/messages"))["items"]
    await keeper.http.delete(f"/admin/holds/{on_anna}")
    assert (await anna.http.delete(f"/conversations/{kept}")).status_code == 204


# --- erasure --------------------------------------------------------------------------------------------------------

# Where a person's id stands that is not deleted by its column, and what becomes of it.
ELSEWHERE = {
    "conversations.user_id": "deleted with what hangs on them",
    "files.user_id": "deleted with what hangs on them, or given to a library's editor",
    "shares.user_id": "deleted with the conversation",
    "deleted_files.user_id": "deleted once nobody's answer quotes the file any more",
    "runs.user_id": "deleted with the conversation",
    "login_failures.account": "deleted by name and address",
    "audit_events.actor_id": "evidence",
    "invitations.created_by": "set to null",
    "legal_holds.user_id": "refuses the deletion",
    "legal_holds.created_by": "set to null",
}
# Tables without a person in them.
IMPERSONAL = {
    *("groups", "libraries", "announcements", "mcp_servers", "retention_limits", "blob_leftovers"),
    *("model_rules", "model_prices", "deleted_files", "schema_floor"),
    *("audit_events", "login_failures", "invitations", "legal_holds"),
}


def test_each_place_of_the_schema_that_names_a_person_is_known_to_the_erasure() -> None:
    known = {f"{column.class_.__tablename__}.{column.key}" for column in OWNED.values()} | set(ELSEWHERE)
    named = set()
    personal = {"users"}
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            to_users = any(key.column.table.name == "users" for key in column.foreign_keys)
            if to_users or column.name in ("user_id", "actor_id", "holder", "account", "created_by", "owner_id"):
                named.add(f"{table.name}.{column.name}")
            if any(key.column.table.name in personal and key.ondelete == "CASCADE" for key in column.foreign_keys):
                personal.add(table.name)
    assert named == known
    assert {table.name for table in Base.metadata.sorted_tables} - personal == IMPERSONAL


async def everywhere(database: Database, words: list[str]) -> dict[str, int]:
    """Return how many rows of each table of the database hold one of these words, whoever made the table."""
    found = {}
    tables = database.execute(
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'audit_events'"
    )
    for (table,) in tables.fetchall():
        query = f"SELECT count(*) FROM {table} t WHERE t::text ~* %s"
        row = database.execute(query, ("|".join(map(re.escape, words)),)).fetchone()
        assert row is not None
        if row[0]:
            found[table] = row[0]
    return found


async def furnished(person: Person, secret: str) -> tuple[str, dict[str, Any]]:
    """Let a person leave something in every store that there is; return a conversation and a file."""
    file = await person.indexed(f"{secret}.txt", OWL + secret.encode())
    answer = await person.ask(f"{QUESTION} {secret}", file_ids=[file["id"]])
    thread = answer["conversation_id"]
    await shared(person, thread)
    rating = {"rating": "down", "comment": secret}
    assert (await person.http.put(f"/messages/{answer['message_id']}/feedback", json=rating)).status_code < 300
    for path, body in (
        ("/projects", {"name": secret, "file_ids": [file["id"]]}),
        ("/assistants", {"name": secret, "system_prompt": secret}),
        ("/prompts", {"title": secret, "content": secret}),
        ("/memories", {"text": secret}),
        ("/api-keys", {"name": secret, "scopes": ["chat"]}),
    ):
        made = await person.http.post(path, json=body)
        assert made.status_code == 201, made.text
    assert (await person.http.patch("/profile", json={"instructions": secret})).status_code == 200
    assert (await person.http.post("/auth/two-factor", json={"password": person.password})).status_code < 300
    await library(person, f"Own {secret}")
    wrong = await person.http.post("/auth/login", json={"username": person.name, "password": "not theirs"})
    assert wrong.status_code == 401
    return thread, file


async def test_an_erased_person_is_nowhere_and_the_report_was_the_dry_run(
    keeper: Person, anna: Person, boris: Person, server: Server, openai: OpenAIServer, database: Database
) -> None:
    id_, secret = await user_id(anna), f"swallow{uuid4().hex[:10]}"
    openai.script(reply="Owls of the forest")  # a fit title too
    _, file = await furnished(anna, secret)
    forest = await library(boris)
    await admit(boris, forest, username=anna.name, role="editor")
    given = await anna.indexed("given.txt", OWL + b"for all", library_id=forest)
    twin = await boris.indexed("twin.txt", OWL + secret.encode())
    budget = {"username": anna.name, "period": "day", "tokens": 10**9}
    assert (await keeper.http.put("/admin/budgets", json=budget)).status_code == 200
    await anna.ask("Hello again.")

    async def settled() -> bool:  # titles are asked for behind the answers
        row = database.execute(
            "SELECT (SELECT count(*) FROM conversations WHERE user_id = %s AND title_source = 'made'),"
            " (SELECT count(*) FROM budget_reservations WHERE holder = %s)",
            (id_, id_),
        ).fetchone()
        return row == (2, 0)

    await eventually(settled)
    before = await everywhere(database, [id_, anna.name, secret])
    assert len(before) > 15, before
    dry = await keeper.get(f"/admin/users/{id_}/erasure")
    assert await everywhere(database, [id_, anna.name, secret]) == before, "a dry run is dry"
    done = await keeper.http.post(f"/admin/users/{id_}/erasure")
    assert done.status_code == 200, done.text
    report = done.json()
    for told in (dry, report):  # that somebody looked at what would go, and that it went, is noted too
        told["kept"] = [entry | ({"count": None} if entry["store"] == "audit" else {}) for entry in told["kept"]]
    assert report | {"dry_run": True} == dry
    removed = {entry["store"]: entry["count"] for entry in report["removed"]}
    some = {
        store: removed.pop(store) for store in ("events", "checkpoints", "traces", "passages", "vectors", "budget_use")
    }
    assert all(some.values())
    once = {
        *("files", "shares", "projects", "assistants", "saved_prompts", "memories", "instructions", "api_keys"),
        *("sign_ins", "second_factors", "budgets", "failed_sign_ins", "account"),
    }
    assert removed == {"conversations": 2, "messages": 4, "library_memberships": 2} | dict.fromkeys(once, 1)
    kept = {(entry["store"], entry["reason"]): entry["count"] for entry in report["kept"]}
    assert kept[("files", "given_to_libraries")] == 1
    assert kept[("bytes", "uploaded_by_others_too")] == 1
    assert ("audit", "evidence") in kept
    assert kept[("backups", "out_of_reach")] is None
    assert await everywhere(database, [id_, anna.name]) == {}
    left = set(await everywhere(database, [secret]))
    assert left == {"files", "passages", "postings"}, "of the copy that another one has uploaded"
    assert (await boris.get(f"/files/{given['id']}"))["owner"] == boris.name
    assert (await boris.get(f"/files/{twin['id']}/text"))["text"].endswith(secret)
    assert await server.app.state.resources.index.file_count(UUID(file["id"])) == 0
    assert (await anna.http.get("/auth/me")).status_code == 401
    (row,) = await log_of(keeper, action="user_erased", object=id_)
    assert (row["details"]["name"], row["details"]["removed"]["conversations"]) == (anna.name, 2)
    assert (await keeper.http.post(f"/admin/users/{id_}/erasure")).status_code == 404


async def records_of(database: Database, thread: str) -> list[Any]:
    """Return what is written down of a conversation: its messages, traces, events, states and shared copies."""
    queries = (
        "SELECT id, content, sources, steps, images FROM messages WHERE conversation_id = %s ORDER BY id",
        "SELECT id, trace FROM runs WHERE conversation_id = %s ORDER BY id",
        "SELECT e.* FROM run_events e JOIN runs r ON r.id = e.run_id WHERE r.conversation_id = %s ORDER BY 1, 2",
        "SELECT checkpoint_id FROM checkpoints WHERE thread_id::uuid = %s ORDER BY 1",
        "SELECT id, messages FROM shares WHERE conversation_id = %s ORDER BY id",
    )
    return [database.execute(query, (thread,)).fetchall() for query in queries]


@pytest.mark.parametrize("how", ["taken away", "deleted before", "while a run waits"])
async def test_what_others_quote_of_an_erased_persons_files_goes_too(
    how: str, keeper: Person, anna: Person, boris: Person, openai: OpenAIServer, database: Database
) -> None:
    secret = f"swallow{uuid4().hex[:10]}"
    forest = await library(anna)
    await admit(anna, forest, username=boris.name)
    file = await anna.indexed("owl.txt", OWL + secret.encode(), library_id=forest)
    answer = await boris.ask(QUESTION, library_ids=[forest])
    link = await shared(boris, answer["conversation_id"], with_sources=True)
    assert set(await everywhere(database, [secret])) >= {"messages", "runs", "shares"}
    if how == "deleted before":
        assert (await anna.http.delete(f"/files/{file['id']}")).status_code == 204
    elif how == "while a run waits":
        openai.script(rounds=[[("search_files", {"query": QUESTION})], [("remember", {"fact": "Owls hunt."})]])
        await until_action(boris, message="Look it up.", tools=["search_files", "remember"], library_ids=[forest])
    if how != "deleted before":  # else an editor who stays would be given it
        await expel(anna, forest, boris.name)
    report = (await keeper.http.post(f"/admin/users/{await user_id(anna)}/erasure")).json()
    assert {entry["store"]: entry["count"] for entry in report["removed"]}["quotes"] >= 1

    async def is_nowhere() -> bool:  # the checkpoints of a run that was stopped just now are written behind it
        return await everywhere(database, [secret]) == {}

    await eventually(is_nowhere, 10)
    assert database.execute("SELECT count(*) FROM deleted_files WHERE to_erase").fetchone() == (0,)
    told = (await boris.get(f"/conversations/{answer['conversation_id']}/messages"))["items"][-1]
    assert told["content"] == answer["response"]
    assert [(source["file_name"], source["available"]) for source in told["sources"]] == [("owl.txt", False)]
    assert (await boris.http.get(f"/shared/{link['token']}")).status_code == 200
    again = await boris.ask("And now?", conversation_id=answer["conversation_id"])
    assert again["response"], "the conversation goes on from its messages"


async def test_what_somebody_who_is_held_was_told_stays_when_its_owner_is_erased(
    keeper: Person, anna: Person, boris: Person, openai: OpenAIServer, database: Database
) -> None:
    forest = await library(anna)
    await admit(anna, forest, username=boris.name)
    file = await anna.indexed("owl.txt", OWL, library_id=forest)
    thread = (await boris.ask(QUESTION, library_ids=[forest]))["conversation_id"]
    await expel(anna, forest, boris.name)
    await hold(keeper, username=boris.name)
    before = await records_of(database, thread)
    assert held(await anna.http.delete(f"/files/{file['id']}")), "a chat on hold speaks of it"
    report = (await keeper.http.post(f"/admin/users/{await user_id(anna)}/erasure")).json()
    assert report["account"] == "kept"
    assert await records_of(database, thread) == before


async def test_looking_at_an_erasure_disturbs_nobody(keeper: Person, anna: Person, openai: OpenAIServer) -> None:
    id_ = await user_id(anna)
    thread = (await anna.ask("Hello."))["conversation_id"]

    async def ask() -> None:
        for number in range(8):
            await anna.ask(f"And number {number}?", conversation_id=thread)

    async def look() -> None:
        for _ in range(8):
            assert (await keeper.get(f"/admin/users/{id_}/erasure"))["account"] == "removed"

    await asyncio.gather(ask(), look(), look())


async def test_a_chat_that_is_used_again_meanwhile_is_not_deleted(
    keeper: Person, anna: Person, postgres: str, openai: OpenAIServer, database: Database
) -> None:
    thread = (await anna.ask("Hello."))["conversation_id"]
    database.execute(f"UPDATE conversations SET updated_at = {OLD} WHERE id = %s", (thread,))
    await limit(keeper, conversations=30)
    with psycopg.connect(postgres) as using:
        using.execute("UPDATE conversations SET updated_at = now() WHERE id = %s", (thread,))
        applying = asyncio.create_task(apply(keeper))

        async def is_waiting() -> bool:  # chosen as old, and now at the row that is being used
            row = database.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
            return row is not None and row[0] > 0

        await eventually(is_waiting)
        using.commit()
    assert await applying == {}
    assert (await anna.http.get(f"/conversations/{thread}")).status_code == 200


async def test_a_picture_that_a_chat_on_hold_shows_is_kept(keeper: Person, anna: Person, openai: OpenAIServer) -> None:
    picture = await anna.indexed("sky.png", png(7))
    body = {"image_file_ids": [picture["id"]], "model_source": "openai", "model_name": "gpt-4o-mini"}
    thread = (await anna.ask("What is this?", **body))["conversation_id"]
    await hold(keeper, conversation_id=thread)
    assert held(await anna.http.delete(f"/files/{picture['id']}"))


async def test_triggers_and_queries_hold_the_same_files(
    keeper: Person, anna: Person, boris: Person, openai: OpenAIServer, database: Database
) -> None:
    def held_files() -> set[tuple[Any, ...]]:
        by_query = database.execute("SELECT * FROM held_files()").fetchall()
        by_trigger = database.execute("SELECT id FROM files WHERE held_file(id, user_id)").fetchall()
        assert set(by_query) == set(by_trigger)
        return set(by_query)

    assert held_files() == set()
    own, picture = await anna.indexed("owl.txt", OWL), await anna.indexed("sky.png", png(9))
    read = await anna.indexed("fox.txt", OWL + b"2")
    openai.script(rounds=[[("read_file", {"file": "fox.txt"})]])
    body = {"image_file_ids": [picture["id"]], "file_ids": [own["id"], read["id"]], "top_k": 1, "tools": ["read_file"]}
    thread = (await anna.ask(QUESTION, model_source="openai", model_name="gpt-4o-mini", **body))["conversation_id"]
    attached = await anna.indexed("attached.txt", OWL + b"3", conversation_id=thread)
    await anna.indexed("elsewhere.txt", OWL + b"4")
    await boris.indexed("his.txt", OWL + b"5")
    await hold(keeper, conversation_id=thread)
    named = {(UUID(file["id"]),) for file in (own, picture, attached, read)}
    assert held_files() == named
    await hold(keeper, username=boris.name)
    assert len(held_files()) > len(named)


async def test_the_same_hold_is_placed_once(keeper: Person, anna: Person) -> None:
    body = {"username": anna.name, "reason": "Case 12"}
    answers = await asyncio.gather(*(keeper.http.post("/admin/holds", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]


async def test_what_a_hold_keeps_stays_of_an_erased_person_until_it_is_released(
    keeper: Person, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    id_, secret = await user_id(anna), f"swallow{uuid4().hex[:10]}"
    thread, _ = await furnished(anna, secret)  # asked about, and attached to nothing
    other = (await anna.ask("Hello."))["conversation_id"]
    on_thread = await hold(keeper, conversation_id=thread)
    before = await records_of(database, thread)
    report = (await keeper.http.post(f"/admin/users/{id_}/erasure")).json()
    assert report["account"] == "kept"
    assert await records_of(database, thread) == before, "what is held is as it was"
    kept = {(entry["store"], entry["reason"]): entry["count"] for entry in report["kept"]}
    assert (kept[("conversations", "legal_hold")], kept[("files", "legal_hold")]) == (1, 1)
    assert (await anna.http.get("/auth/me")).status_code == 401
    again = await anna.http.post("/auth/login", json={"username": anna.name, "password": anna.password})
    assert again.status_code == 401
    rows = database.execute("SELECT id::text FROM conversations WHERE user_id = %s", (id_,)).fetchall()
    assert rows == [(thread,)]
    assert other != thread
    await keeper.http.delete(f"/admin/holds/{on_thread}")
    rest = (await keeper.http.post(f"/admin/users/{id_}/erasure")).json()
    assert rest["account"] == "removed"
    assert {entry["store"]: entry["count"] for entry in rest["removed"]}["conversations"] == 1
    assert await everywhere(database, [id_, anna.name, secret]) == {}


# --- the audit log --------------------------------------------------------------------------------------------------


async def test_the_oldest_of_the_audit_log_goes_and_the_chain_holds(server: Server, postgres: str) -> None:
    address = await migrated_database(postgres, "audit_age")
    settings = server.settings.model_copy(update={"database_url": SecretStr(address), "inline_worker": False})
    async with serving(settings) as other:
        admin, anna = await Person.join(other.url), await Person.join(other.url)
        with psycopg.connect(address, autocommit=True) as database:
            database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (admin.name,))
            for _ in range(3):
                await admin.get("/admin/audit")
            newest = database.execute("SELECT max(id) FROM audit_events").fetchone()
            assert newest is not None
            # What the clock does in a hundred days: as whoever owns the machine can, past the trigger.
            database.execute("ALTER TABLE audit_events DISABLE TRIGGER refuse")
            database.execute(
                "UPDATE audit_events SET at = at - interval '100 days' WHERE id < %s",
                (newest[0],),
            )
            database.execute("SELECT count(*) FROM audit_events")
            previous = None
            for (id_,) in database.execute("SELECT id FROM audit_events ORDER BY id").fetchall():
                database.execute("UPDATE audit_events SET previous = %s WHERE id = %s", (previous, id_))
                row = database.execute(
                    "UPDATE audit_events e SET hash = audit_hash(e) WHERE id = %s RETURNING hash", (id_,)
                ).fetchone()
                assert row is not None
                previous = row[0]
            database.execute("ALTER TABLE audit_events ENABLE TRIGGER refuse")
            placed = await admin.http.post("/admin/holds", json={"username": anna.name, "reason": "Case 12"})
            first_of_anna = database.execute(
                "SELECT min(id) FROM audit_events WHERE actor_id = %s", (await user_id(anna),)
            ).fetchone()
            assert first_of_anna is not None
            await limit(admin, audit=90)
            told = await preview(admin, audit=90)
            assert told["audit"] == (first_of_anna[0] - 1, newest[0] - first_of_anna[0])
            assert (await apply(admin))["audit"] == first_of_anna[0] - 1
            hold_id = placed.json()["items"][0]["id"]
            assert (await admin.http.delete(f"/admin/holds/{hold_id}")).status_code == 204
            gone = await apply(admin)
            assert gone["audit"] == newest[0] - first_of_anna[0]
            least = database.execute("SELECT min(id) FROM audit_events").fetchone()
            assert least == (newest[0],)
            code, said = await verified(address)
            assert code == 0, said
            last = said.split()[-1]
            assert int(last.partition(":")[0]) > newest[0], "rows keep their numbers"
            assert (await verified(address, "--expect", last))[0] == 0
            code, said = await verified(address, "--expect", f"{newest[0] - 1}:00")
            assert (code, "went with the age limit" in said) == (1, True)
            # Still nobody deletes a row by itself, and the last 90 days go for no limit.
            for statement in ("DELETE FROM audit_events", "DELETE FROM audit_events WHERE id = 1"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    database.execute(statement)
            # Nor does who knows how `audit_prune` does it: no young row goes, and no note of what did not happen comes.
            database.execute("SET llama.audit_prune = 'on'")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                database.execute("DELETE FROM audit_events")
            database.execute("RESET llama.audit_prune")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                database.execute("INSERT INTO audit_events (action) VALUES ('audit_pruned')")
            assert database.execute("SELECT audit_prune()").fetchone() == (0,)
            database.execute("ALTER TABLE audit_events DISABLE TRIGGER refuse_young")
            database.execute("ALTER TABLE audit_events DISABLE TRIGGER refuse")
            database.execute("DELETE FROM audit_events WHERE id = %s", (newest[0],))
            code, said = await verified(address)
            assert (code, f"row {newest[0] + 1} " in said) == (1, True), "a first row that no note tells of"
        for person in (admin, anna):
            await person.close()
