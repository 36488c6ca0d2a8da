"""The message tree is the checkpoint tree: state is kept, read, forked, and rebuilt from the messages if it is gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from graphs.state import WINDOW_MESSAGES
from persistence import checkpoints
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


def asked(openai: OpenAIServer, marker: str) -> list[str]:
    """Return the user's messages of the request that asked about `marker`."""
    return [message["content"] for message in sent(openai, marker) if message["role"] == "user"]


async def talk(person: Person, *questions: str, **fields: Any) -> str:
    """Return a conversation in which these were asked."""
    thread = str((await person.http.post("/conversations", json={"title": "Talk"})).json()["id"])
    for question in questions:
        await person.ask(question, conversation_id=thread, **fields)
    return thread


async def states(person: Person, thread: str) -> list[dict[str, Any]]:
    """Return the states of a conversation's graph, newest first, when the last turn's are written."""

    async def settled() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await person.get(f"/conversations/{thread}/checkpoints"))["items"]
        return items if items and items[0]["next"] == [] else None

    return await eventually(settled)


def steps(trace: dict[str, Any]) -> list[str]:
    return [node["node"] for node in trace["nodes"]]


async def steps_of(person: Person, answer: dict[str, Any]) -> list[str]:
    return steps(await person.get(f"/messages/{answer['message_id']}/trace"))


async def test_the_state_shows_talk_sources_and_prompt(anna: Person) -> None:
    file = await anna.indexed("falcon.txt", b"The Falcon drill has a warranty of 37 months.")
    thread = await talk(anna, "Hello.", use_rag=False)
    question = "How long is the warranty of the Falcon drill?"
    answer = await anna.ask(question, conversation_id=thread, file_ids=[file["id"]])
    state = (await states(anna, thread))[0]["values"]
    rows = await messages(anna, thread)
    assert [(m["id"], m["content"]) for m in state["messages"]] == [(row["id"], row["content"]) for row in rows]
    assert [(s["n"], s["file_name"], s["page"]) for s in state["sources"]] == [(1, "falcon.txt", None)]
    assert {"text", "snippet"}.isdisjoint(state["sources"][0]), "texts are found again by their references"
    assert state["prompt"]["history"] == [row["id"] for row in rows[:2]]
    assert state["prompt"]["sources"] == [1]
    assert state["answer"]["model_name"] == answer["model_name"]


async def test_a_turn_goes_on_from_its_parents_state(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    # Written beside the answer: a question that comes at once may find it missing, and rebuilds it.
    await states(anna, thread)
    answer = await anna.ask("Three-on.", conversation_id=thread)
    assert "restore" not in await steps_of(anna, answer)
    assert asked(openai, "Three-on.") == ["One.", "Two.", "Three-on."]


async def test_branches_are_forks(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    first, second = [m for m in await messages(anna, thread) if m["role"] == "assistant"]
    await states(anna, thread)
    edited = await anna.ask("Two, edited.", conversation_id=thread, parent_message_id=first["id"])
    await states(anna, thread)
    again = await anna.ask("Three-a.", conversation_id=thread, parent_message_id=second["id"])
    await states(anna, thread)
    below = await anna.ask("Three-b.", conversation_id=thread, parent_message_id=edited["message_id"])
    for answer in (edited, again, below):
        assert "restore" not in await steps_of(anna, answer)
    assert asked(openai, "Two, edited.") == ["One.", "Two, edited."]
    assert asked(openai, "Three-a.") == ["One.", "Two.", "Three-a."]
    assert asked(openai, "Three-b.") == ["One.", "Two, edited.", "Three-b."]


async def test_two_branches_at_once_do_not_disturb_each_other(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.")
    first = (await messages(anna, thread))[1]["id"]
    openai.script(delay=0.01)
    questions = [f"Branch {n}." for n in range(4)]
    done = await asyncio.gather(
        *(anna.ask(question, conversation_id=thread, parent_message_id=first) for question in questions)
    )
    openai.script()
    for question, answer in zip(questions, done, strict=True):
        assert asked(openai, question) == ["One.", question]
        text = f"More of {question}"
        await anna.ask(text, conversation_id=thread, parent_message_id=answer["message_id"])
        assert asked(openai, text) == ["One.", question, text]


async def test_a_state_that_is_gone_is_rebuilt(anna: Person, openai: OpenAIServer, database: Database) -> None:
    """A conversation of an older version, an imported one, a pruned state: none is lost."""
    thread = await talk(anna, "One.", "Two.")
    await states(anna, thread)
    for table in ("checkpoints", "checkpoint_writes", "checkpoint_blobs"):
        database.execute(f"DELETE FROM {table} WHERE thread_id = %s", (thread,))
    answer = await anna.ask("Three-old.", conversation_id=thread)
    assert (await steps_of(anna, answer))[0] == "restore"
    assert asked(openai, "Three-old.") == ["One.", "Two.", "Three-old."]
    await states(anna, thread)
    following = await anna.ask("Four-old.", conversation_id=thread)
    assert "restore" not in await steps_of(anna, following)
    assert asked(openai, "Four-old.") == ["One.", "Two.", "Three-old.", "Four-old."]


async def test_an_imported_conversation_goes_on(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One-imp.", "Two-imp.")
    exported = (await anna.http.get(f"/conversations/{thread}/export", params={"format": "json"})).json()
    assert (await anna.http.post("/conversations/import", json=exported)).status_code in (200, 201)
    copy = next(item for item in (await anna.get("/conversations"))["items"] if item["id"] != thread)
    answer = await anna.ask("Three-imp.", conversation_id=copy["id"])
    assert (await steps_of(anna, answer))[0] == "restore"
    assert asked(openai, "Three-imp.") == ["One-imp.", "Two-imp.", "Three-imp."]


async def test_below_a_stopped_answer_the_text_that_was_seen_counts(
    anna: Person, openai: OpenAIServer, server: Server
) -> None:
    openai.script(tokens=["word "] * 200, delay=0.02)
    thread = await talk(anna)
    body = {"message": "Talk-long.", "conversation_id": thread}
    async with anna.http.stream("POST", "/chat/stream", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data:") and '"chunk"' in line:
                await anna.http.post(f"/chat/runs/{run_of(line, await messages(anna, thread))}/cancel")
                break
    await eventually(lambda: is_stopped(anna, thread))
    openai.script()
    seen = (await messages(anna, thread))[-1]["content"]
    await anna.ask("After-stop.", conversation_id=thread)
    assert {"role": "assistant", "content": seen} in sent(openai, "After-stop.")


def run_of(_: str, rows: list[dict[str, Any]]) -> str:
    return str(rows[-1]["run_id"])


async def is_stopped(person: Person, thread: str) -> bool:
    return bool((await messages(person, thread))[-1]["status"] == "stopped")


async def test_another_worker_sees_the_same_state(anna: Person, openai: OpenAIServer, other_worker: Server) -> None:
    thread = await talk(anna, "One.", "Two.", "Three.")
    async with httpx.AsyncClient(
        base_url=f"{other_worker.url}/api/v1", headers=anna.http.headers, timeout=60
    ) as elsewhere:
        there = await elsewhere.post("/chat", json={"message": "Four, elsewhere.", "conversation_id": thread})
    assert there.status_code == 200, there.text
    await anna.ask("Five-here.", conversation_id=thread)
    assert asked(openai, "Five-here.") == ["One.", "Two.", "Three.", "Four, elsewhere.", "Five-here."]


async def test_settings_that_were_changed_count(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    change = {"system_prompt": "Speak like a sailor.", "model_name": "gpt-4o", "model_source": "openai"}
    assert (await anna.http.patch(f"/conversations/{thread}", json=change)).status_code == 200
    answer = await anna.ask("Three-sailor.", conversation_id=thread)
    assert answer["model_name"] == "gpt-4o"
    assert sent(openai, "Three-sailor.")[0] == {"role": "system", "content": "Speak like a sailor."}


async def test_a_file_that_came_meanwhile_is_found(anna: Person) -> None:
    thread = await talk(anna, "One.", "Two.")
    text = b"The Falcon drill has a warranty of 37 months."
    await anna.indexed("falcon.txt", text, conversation_id=thread)
    question = "How long is the warranty of the Falcon drill?"
    answer = await anna.ask(question, conversation_id=thread)
    assert answer["sources"][0]["file_name"] == "falcon.txt"
    without = await anna.ask("A word of thanks to everybody here.", conversation_id=thread, use_rag=False)
    assert without["sources"] == [], "the sources of the turn before are not this one's"


async def test_a_refused_question_leaves_nothing(join: Join, openai: OpenAIServer, database: Database) -> None:
    anna, boris = await join(), await join()
    thread = await talk(anna, "One.", "Two.")
    await states(anna, thread)
    # Not their number: the housekeeping may prune older ones meanwhile.
    orphans = """
        SELECT count(*) FROM checkpoints WHERE thread_id = %s
          AND NOT EXISTS (SELECT FROM runs WHERE runs.id::text = checkpoints.metadata ->> 'run')
    """
    told = await boris.http.post("/chat", json={"message": "Mine?", "conversation_id": thread})
    assert (told.status_code, envelope(told)["code"]) == (404, "not_found")
    assert (await anna.http.post("/auth/logout", json={})).status_code == 204
    told = await anna.http.post("/chat", json={"message": "After the end.", "conversation_id": thread})
    assert (told.status_code, envelope(told)["code"]) == (401, "token_expired")
    # Nor does it tell whose conversations there are.
    unknown = {"message": "No.", "conversation_id": "00000000-0000-7000-8000-000000000000"}
    assert (await anna.http.post("/chat", json=unknown)).status_code == 401

    async def nothing_left() -> bool:
        return database.execute(orphans, (thread,)).fetchone() == (0,)

    # Its graph had begun to prepare: nothing of that is kept either.
    await eventually(nothing_left)
    kept = database.execute("SELECT content FROM messages WHERE conversation_id = %s", (thread,)).fetchall()
    assert not [content for (content,) in kept if content in ("Mine?", "After the end.")]
    # A content is a list of parts where another test's question had a picture.
    questions = [str(request.body["messages"][-1]["content"]) for request in openai.chats]
    assert not [asked for asked in questions if "Mine?" in asked or "After the end." in asked]


async def test_two_questions_at_once_are_one_turn_and_a_conflict(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "One.", "Two.")
    openai.script(tokens=["word "] * 20, delay=0.02)
    body = {"message": "At once.", "conversation_id": thread}
    answers = await asyncio.gather(*(anna.http.post("/chat", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert len([m for m in await messages(anna, thread) if m["content"] == "At once."]) == 1
    assert len([r for r in openai.chats if "At once." in str(r.body["messages"][-1]["content"])]) == 1


async def test_a_conversation_that_was_deleted_is_gone(anna: Person) -> None:
    thread = await talk(anna, "One.", "Two.")
    assert (await anna.http.delete(f"/conversations/{thread}")).status_code == 204
    told = await anna.http.post("/chat", json={"message": "Three.", "conversation_id": thread})
    assert (told.status_code, envelope(told)["code"]) == (404, "not_found")


async def test_the_state_stays_bounded_and_pruned(
    anna: Person, openai: OpenAIServer, server: Server, database: Database
) -> None:
    turns = WINDOW_MESSAGES // 2 + 3
    thread = await talk(anna, *(f"Question {n}." for n in range(turns)))
    assert len((await states(anna, thread))[0]["values"]["messages"]) == WINDOW_MESSAGES
    async with server.app.state.resources.database.transaction() as session:
        await checkpoints.prune_threads(session, [thread], answers=2, others=2)
    left = database.execute("SELECT count(*) FROM checkpoints WHERE thread_id = %s", (thread,)).fetchone()
    assert left == (4,)
    orphans = """
        SELECT count(*) FROM checkpoint_blobs b WHERE b.thread_id = %s AND NOT EXISTS (
            SELECT FROM checkpoints c WHERE c.thread_id = b.thread_id
              AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)
    """
    assert database.execute(orphans, (thread,)).fetchone() == (0,)
    # The newest answers can be gone on with as they are; an old one is rebuilt.
    await states(anna, thread)
    answer = await anna.ask("On and on.", conversation_id=thread)
    assert "restore" not in await steps_of(anna, answer)
    old = (await messages(anna, thread))[1]["id"]
    branched = await anna.ask("From the old days.", conversation_id=thread, parent_message_id=old)
    assert (await steps_of(anna, branched))[0] == "restore"
    assert asked(openai, "From the old days.") == ["Question 0.", "From the old days."]


async def test_long_messages_leave_room_for_the_newest(anna: Person, openai: OpenAIServer) -> None:
    long = "and so on " * 2_000
    thread = await talk(anna, *(f"Q{number} {long}" for number in range(6)))
    await anna.ask("A question about it all.", conversation_id=thread, model_name="gpt-4o")
    questions = asked(openai, "A question about it all.")
    assert questions[-2].startswith("Q5")
    assert not any(question.startswith("Q0") for question in questions), "the window is bounded by characters too"
