"""What a worker remembers of a conversation never outlives what others have made of it since."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.conftest import Database, Join
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Person, Server, eventually, serving


@pytest.fixture
async def other_worker(server: Server) -> AsyncIterator[Server]:
    """Another process's place: a second application on the same stores."""
    async with serving(server.settings) as running:
        yield running


def sent(openai: OpenAIServer, marker: str) -> list[dict[str, Any]]:
    """Return the messages of the request that asked about `marker`."""
    body = [request.body for request in openai.chats if marker in str(request.body["messages"][-1])]
    found: list[dict[str, Any]] = body[-1]["messages"]
    return found


async def settled_checkpoints(database: Database, thread: str) -> object:
    """Return how many checkpoints a thread has when its last turn's are written."""

    async def same_for_a_while() -> object:
        query = "SELECT count(*) FROM checkpoints WHERE thread_id = %s"
        first = database.execute(query, (thread,)).fetchone()
        await asyncio.sleep(0.3)
        return first if first == database.execute(query, (thread,)).fetchone() else None

    return await eventually(same_for_a_while)


async def talk(person: Person, *questions: str) -> str:
    """Return a conversation in which these were asked; its last turns are remembered."""
    thread: str | None = None
    for question in questions:
        answer = await person.ask(question, **({"conversation_id": thread} if thread else {}))
        thread = answer["conversation_id"]
    assert thread is not None
    return thread


async def test_a_turn_of_another_worker_is_seen(anna: Person, openai: OpenAIServer, other_worker: Server) -> None:
    thread = await talk(anna, "One.", "Two.", "Three.")
    async with httpx.AsyncClient(base_url=f"{other_worker.url}/api/v1", headers=anna.http.headers) as elsewhere:
        told = await elsewhere.post("/chat", json={"message": "Four, elsewhere.", "conversation_id": thread})
    assert told.status_code == 200
    await anna.ask("Five-here.", conversation_id=thread)
    seen = [message["content"] for message in sent(openai, "Five-here.") if message["role"] == "user"]
    assert seen == ["One.", "Two.", "Three.", "Four, elsewhere.", "Five-here."]
    assert [m["content"] for m in await messages(anna, thread) if m["role"] == "user"] == seen


async def test_rules_and_model_that_were_changed_count(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    change = {"system_prompt": "Speak like a sailor.", "model_name": "gpt-4o", "model_source": "openai"}
    assert (await anna.http.patch(f"/conversations/{thread}", json=change)).status_code == 200
    answer = await anna.ask("Three-sailor.", conversation_id=thread)
    assert answer["model_name"] == "gpt-4o"
    assert sent(openai, "Three-sailor.")[0] == {"role": "system", "content": "Speak like a sailor."}


async def test_a_switched_branch_is_gone_on_with(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    first = (await messages(anna, thread))[1]
    await anna.ask("Two, edited.", conversation_id=thread, parent_message_id=first["id"])
    await anna.ask("Three-b.", conversation_id=thread, parent_message_id=first["id"])
    await anna.ask("Four-b.", conversation_id=thread)
    seen = [message["content"] for message in sent(openai, "Four-b.") if message["role"] == "user"]
    assert seen == ["One.", "Three-b.", "Four-b."]


async def test_a_file_that_came_meanwhile_is_found(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    text = b"The Falcon drill has a warranty of 37 months."
    await anna.indexed("falcon.txt", text, conversation_id=thread)
    answer = await anna.ask("How long is the warranty of the Falcon drill?", conversation_id=thread)
    assert answer["sources"][0]["file_name"] == "falcon.txt"


async def test_what_is_remembered_opens_no_door(join: Join, openai: OpenAIServer, database: Database) -> None:
    anna, boris = await join(), await join()
    thread = await talk(anna, "One.", "Two.")
    count = "SELECT count(*) FROM checkpoints WHERE thread_id = %s"
    before = await settled_checkpoints(database, thread)
    told = await boris.http.post("/chat", json={"message": "Mine?", "conversation_id": thread})
    assert (told.status_code, envelope(told)["code"]) == (404, "not_found")
    assert (await anna.http.post("/auth/logout", json={})).status_code == 204
    told = await anna.http.post("/chat", json={"message": "After the end.", "conversation_id": thread})
    assert (told.status_code, envelope(told)["code"]) == (401, "token_expired")
    # Nor does it tell whose conversations there are.
    told = await anna.http.post(
        "/chat", json={"message": "No.", "conversation_id": "00000000-0000-7000-8000-000000000000"}
    )
    assert told.status_code == 401
    # Its graph had begun to prepare: nothing of that is kept either.
    await asyncio.sleep(0.3)
    assert database.execute(count, (thread,)).fetchone() == before
    kept = database.execute("SELECT content FROM messages WHERE conversation_id = %s", (thread,)).fetchall()
    assert not [content for (content,) in kept if content in ("Mine?", "After the end.")]
    running = database.execute("SELECT count(*) FROM runs WHERE conversation_id = %s AND status = 'running'", (thread,))
    assert running.fetchone() == (0,)
    asked = [request.body["messages"][-1]["content"] for request in openai.chats]
    assert not {"Mine?", "After the end."} & set(asked)


async def test_two_questions_at_once_are_one_turn_and_a_conflict(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    openai.script(tokens=["word "] * 20, delay=0.02)
    body = {"message": "At once.", "conversation_id": thread}
    answers = await asyncio.gather(*(anna.http.post("/chat", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    questions = [m for m in await messages(anna, thread) if m["content"] == "At once."]
    assert len(questions) == 1
    asked = [r for r in openai.chats if "At once." in str(r.body["messages"][-1]["content"])]
    assert len(asked) == 1


async def test_a_conversation_that_was_deleted_is_gone(anna: Person) -> None:
    thread = await talk(anna, "One.", "Two.")
    assert (await anna.http.delete(f"/conversations/{thread}")).status_code == 204
    told = await anna.http.post("/chat", json={"message": "Three.", "conversation_id": thread})
    assert (told.status_code, envelope(told)["code"]) == (404, "not_found")


async def test_a_branch_that_was_read_for_a_small_window_is_read_again_for_a_large_one(
    anna: Person, openai: OpenAIServer
) -> None:
    """`gpt-4` reads 8,192 tokens, `gpt-4o` 128,000."""
    long = "and so on " * 1_500
    thread = await talk(anna, *(f"Q{number} {long}" for number in range(6)))
    await anna.http.patch(f"/conversations/{thread}", json={"title": "Another version"})
    await anna.ask("A small one.", conversation_id=thread, model_name="gpt-4")
    await anna.ask("A large one.", conversation_id=thread, model_name="gpt-4o")
    first = next(message for message in sent(openai, "A large one.") if message["role"] == "user")
    assert first["content"].startswith("Q0")
