"""What people say once for all: instructions, memory, and chats that leave nothing behind."""

import asyncio
from typing import Any

import pytest

from api.cleanup import forget_temporary
from api.state import AppState
from tests.conftest import Database, Join
from tests.integration.api.test_chat import messages
from tests.integration.api.test_waiting import read_on, until_action
from tests.providers import OpenAIServer
from tests.support import Person, Server


def system_of(openai: OpenAIServer) -> str:
    """Return the system prompt that the model was sent last."""
    sent = [chat.body["messages"][0] for chat in reversed(openai.chats)]
    return next(str(first["content"]) for first in sent if first["role"] in ("system", "developer"))


async def conversation(person: Person, **values: Any) -> dict[str, Any]:
    """Begin a conversation."""
    made = await person.http.post("/conversations", json=values)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def test_instructions_are_part_of_every_prompt(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    assert await anna.get("/profile") == {"instructions": None, "use_memory": True}
    first = await anna.ask("Hello")
    assert "Ahoy" not in system_of(openai)
    changed = await anna.http.patch("/profile", json={"instructions": "Begin with Ahoy."})
    assert changed.json() == {"instructions": "Begin with Ahoy.", "use_memory": True}
    await anna.ask("And now?", conversation_id=first["conversation_id"])
    assert "Begin with Ahoy." in system_of(openai)
    trace = await anna.get(f"/messages/{(await anna.ask('Why?'))['message_id']}/trace")
    augment = next(node for node in trace["nodes"] if node["node"] == "augment")
    assert "Begin with Ahoy." in augment["output"]["prompt"][0]["content"], "the trace shows the exact prompt"
    await boris.ask("Hello")
    assert "Ahoy" not in system_of(openai), "nobody else's answers follow them"
    await anna.http.patch("/profile", json={"instructions": None})
    await anna.ask("Once more")
    assert "Ahoy" not in system_of(openai)


@pytest.mark.parametrize("body", [{"instructions": "x" * 4001}, {"use_memory": None}, {"use_memory": "perhaps"}])
async def test_a_profile_that_makes_no_sense_is_refused(anna: Person, body: dict[str, Any]) -> None:
    assert (await anna.http.patch("/profile", json=body)).status_code == 422


async def test_memory_is_read_added_deleted_and_switched_off(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    made = await anna.http.post("/memories", json={"text": "  Anna has two cats. "})
    assert (made.status_code, made.json()["text"]) == (201, "Anna has two cats.")
    again = await anna.http.post("/memories", json={"text": "anna HAS two cats."})
    assert again.json()["id"] == made.json()["id"], "what is known is not kept twice"
    await anna.http.post("/memories", json={"text": "Anna lives in Riga."})
    await anna.ask("Hello")
    prompt = system_of(openai)
    assert prompt.index("Anna has two cats.") < prompt.index("Anna lives in Riga."), (
        "oldest first: the head stays the same"
    )
    await boris.ask("Hello")
    assert "Riga" not in system_of(openai)
    assert (await boris.http.delete(f"/memories/{made.json()['id']}")).status_code == 404
    await anna.http.patch("/profile", json={"use_memory": False})
    await anna.ask("Hello")
    assert "Riga" not in system_of(openai)
    await anna.http.patch("/profile", json={"use_memory": True})
    assert (await anna.http.delete(f"/memories/{made.json()['id']}")).status_code == 204
    assert [memory["text"] for memory in (await anna.get("/memories"))["items"]] == ["Anna lives in Riga."]
    assert (await anna.http.delete("/memories")).status_code == 204
    await anna.ask("Hello")
    assert "Riga" not in system_of(openai)


async def test_memory_is_bounded(anna: Person) -> None:
    """Also where many come at once."""
    texts = [f"Fact number {number}." for number in range(105)]
    answers = await asyncio.gather(*(anna.http.post("/memories", json={"text": text}) for text in texts))
    assert sorted({answer.status_code for answer in answers}) == [201, 409]
    assert len((await anna.get("/memories"))["items"]) == 100


async def test_a_model_remembers_only_what_the_user_allows(anna: Person, openai: OpenAIServer) -> None:
    for decision, known in (("deny", []), ("approve", ["Anna likes tea."])):
        openai.script(rounds=[[("remember", {"fact": "Anna  likes\ntea."})]])
        seen = await until_action(anna, message="I like tea", tools=["remember"], model_source="openai")
        run, waiting = seen[0].data["run_id"], seen[-2].data["step"]
        assert (waiting["name"], waiting["status"]) == ("remember", "waiting")
        assert (await anna.get("/memories"))["items"] == []
        body = {"decisions": [{"step_id": waiting["id"], "decision": decision}]}
        assert (await anna.http.post(f"/chat/runs/{run}/resume", json=body)).status_code == 202
        assert (await read_on(anna, run, seen[-1].id))[-1].name == "done"
        assert [memory["text"] for memory in (await anna.get("/memories"))["items"]] == known


@pytest.mark.parametrize("off", ["temporary", "profile"])
async def test_nothing_is_remembered_where_memory_is_off(off: str, anna: Person, openai: OpenAIServer) -> None:
    made = await conversation(anna, temporary=off == "temporary")
    await anna.http.patch("/profile", json={"use_memory": off != "profile"})
    openai.script(rounds=[[("remember", {"fact": "Anna likes tea."})]])
    body = {"message": "I like tea", "tools": ["remember"], "conversation_id": made["id"], "model_source": "openai"}
    seen = await until_action(anna, **body)
    decisions = {"decisions": [{"step_id": seen[-2].data["step"]["id"], "decision": "approve"}]}
    await anna.http.post(f"/chat/runs/{seen[0].data['run_id']}/resume", json=decisions)
    done = (await read_on(anna, seen[0].data["run_id"], seen[-1].id))[-1]
    assert [step["status"] for step in done.data["steps"]] == ["failed"]
    assert (await anna.get("/memories"))["items"] == []


async def test_a_temporary_chat_is_listed_nowhere_and_uses_no_memory(anna: Person, openai: OpenAIServer) -> None:
    await anna.http.post("/memories", json={"text": "Anna lives in Riga."})
    made = await conversation(anna, temporary=True, title="Secret plans")
    assert made["temporary"] is True
    answer = await anna.ask("Tell me of the zeppelin", conversation_id=made["id"])
    assert "Riga" not in system_of(openai)
    assert (await anna.get("/conversations"))["items"] == []
    assert (await anna.get("/conversations", q="zeppelin"))["items"] == []
    threads = await anna.http.post(f"{str(anna.http.base_url).split('/api')[0]}/langgraph/threads/search", json={})
    assert threads.json() == []
    assert len(await messages(anna, made["id"])) == 2, "who has its address reads it"
    refused = await anna.http.patch(f"/conversations/{made['id']}", json={"temporary": True})
    assert refused.status_code == 422
    kept = await anna.http.patch(f"/conversations/{made['id']}", json={"temporary": False})
    assert kept.json()["temporary"] is False
    assert [row["id"] for row in (await anna.get("/conversations"))["items"]] == [made["id"]]
    await anna.ask("And now?", conversation_id=answer["conversation_id"])
    assert "Riga" in system_of(openai)


async def test_a_temporary_chat_is_deleted_with_its_files_when_nobody_uses_it(
    server: Server, anna: Person, database: Database
) -> None:
    """The one that is kept, and the one that is used, stay."""
    state: AppState = server.app.state.resources
    threads = [await conversation(anna, temporary=True) for _ in range(3)]
    left, used, kept = (row["id"] for row in threads)
    for thread in (left, used, kept):
        await anna.ask("Hello", conversation_id=thread)
    own = await anna.indexed("note.txt", b"The password of the vault is walnut.", conversation_id=left)
    await anna.http.patch(f"/conversations/{kept}", json={"temporary": False})
    database.execute(
        "UPDATE conversations SET updated_at = now() - interval '25 hours' WHERE id = ANY(%s::uuid[])", ([left, kept],)
    )
    await forget_temporary(state, 24 * 3600)
    statuses = [(await anna.http.get(f"/conversations/{thread}")).status_code for thread in (left, used, kept)]
    assert statuses == [404, 200, 200]
    assert (await anna.http.get(f"/files/{own['id']}")).status_code == 404


async def test_a_temporary_chat_that_waits_for_a_person_is_deleted_too(
    server: Server, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(rounds=[[("remember", {"fact": "I like tea"})]])
    thread = (await conversation(anna, temporary=True, tools=["remember"]))["id"]
    assert (await until_action(anna, message="My secret.", conversation_id=thread))[-1].name == "action"
    await forget_temporary(server.app.state.resources, 24 * 3600)
    assert (await anna.http.get(f"/conversations/{thread}")).status_code == 200
    database.execute("UPDATE conversations SET updated_at = now() - interval '25 hours' WHERE id = %s", (thread,))
    await forget_temporary(server.app.state.resources, 24 * 3600)
    assert (await anna.http.get(f"/conversations/{thread}")).status_code == 404


async def test_what_is_personal_dies_with_its_account(join: Join, database: Database) -> None:
    person = await join()
    account = (await person.get("/auth/me"))["id"]
    await person.http.post("/memories", json={"text": "I am here."})
    await person.http.patch("/profile", json={"instructions": "Be kind."})
    await person.http.post("/projects", json={"name": "P"})
    await person.http.post("/prompts", json={"title": "T", "content": "C", "shared": True})
    await person.http.post("/assistants", json={"name": "A", "shared": True})
    gone = await person.http.request("DELETE", "/auth/me", json={"password": person.password})
    assert gone.status_code == 204, gone.text
    for table in ("memories", "profiles", "projects", "saved_prompts", "assistants"):
        assert database.execute(f"SELECT count(*) FROM {table} WHERE user_id = %s", (account,)).fetchone() == (0,)
