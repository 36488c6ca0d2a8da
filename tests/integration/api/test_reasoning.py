"""What a model thinks is sent, kept and shown beside its answer, and goes nowhere else."""

import json
from typing import Any

from tests.conftest import Database
from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Event, Person, eventually

THOUGHTS = "The user wants a number, wombat."
ANSWER = "It is 42."


def thinking(thoughts: str = THOUGHTS, answer: str = ANSWER, pieces: int = 3) -> list[bytes]:
    """Return a stream of thoughts, then of an answer, as DeepSeek's servers send it."""
    size = -(-len(thoughts) // pieces)
    deltas: list[dict[str, str]] = [
        {"reasoning_content": thoughts[at : at + size]} for at in range(0, len(thoughts), size)
    ]
    deltas += [{"content": word} for word in answer.replace(" ", " |").split("|")]
    events: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def told(events: list[Event], name: str) -> str:
    return "".join(event.data["content"] for event in events if event.name == name)


async def test_thoughts_have_events_and_a_place_of_their_own(anna: Person, openai: OpenAIServer) -> None:
    openai.script(raw=thinking(), delay=0.02)
    events = await anna.stream("Which number?")
    assert (told(events, "reasoning"), told(events, "chunk")) == (THOUGHTS, ANSWER)
    assert [event.name for event in events if event.name != "chunk"][:2] == ["start", "reasoning"]
    last = max(event.id for event in events if event.name == "reasoning")
    assert last < min(event.id for event in events if event.name == "chunk")
    answer = (await messages(anna, events[0].data["conversation_id"]))[-1]
    assert (answer["content"], answer["reasoning"]) == (ANSWER, THOUGHTS)
    assert 0 < answer["timings"]["reasoning_ms"] < answer["timings"]["total_ms"]
    # The run can be read again.
    run = events[0].data["run_id"]
    async with anna.http.stream("GET", f"/chat/runs/{run}/stream") as response:
        body = (await response.aread()).decode()
    assert body.count("event: reasoning") == sum(event.name == "reasoning" for event in events)


async def test_a_whole_answer_keeps_them_apart(anna: Person, openai: OpenAIServer) -> None:
    openai.script(raw=thinking())
    answer = await anna.ask("Which number?")
    assert (answer["response"], answer["reasoning"]) == (ANSWER, THOUGHTS)
    openai.script()
    assert (await anna.ask("And now?", conversation_id=answer["conversation_id"]))["reasoning"] is None


async def test_they_are_never_sent_back_nor_found_nor_a_title(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(raw=thinking())
    first = await anna.ask("Which number?")
    thread = first["conversation_id"]

    async def titled() -> bool:
        row = database.execute("SELECT title_source, title FROM conversations WHERE id = %s", (thread,)).fetchone()
        return row is not None and row[0] != "none"

    await eventually(titled)
    openai.script()
    await anna.ask("Tell me more about all of this, please.", conversation_id=thread)
    asked = json.dumps([request.body for request in openai.chats if "Tell me more" in str(request.body)])
    assert "wombat" not in asked
    assert ANSWER in asked
    assert "wombat" not in (await anna.get(f"/conversations/{thread}"))["title"]
    assert (await anna.get("/conversations", q="wombat"))["items"] == []


async def test_export_and_import_take_them_along(anna: Person, openai: OpenAIServer) -> None:
    openai.script(raw=thinking())
    thread = (await anna.ask("Which number?"))["conversation_id"]
    exported = (await anna.http.get(f"/conversations/{thread}/export", params={"format": "json"})).json()
    assert (await anna.http.post("/conversations/import", json=exported)).status_code in (200, 201)
    copy = next(item for item in (await anna.get("/conversations"))["items"] if item["id"] != thread)
    assert (await messages(anna, copy["id"]))[-1]["reasoning"] == THOUGHTS
    markdown = (await anna.http.get(f"/conversations/{thread}/export", params={"format": "markdown"})).text
    assert ANSWER in markdown
    assert "wombat" not in markdown


async def test_a_stopped_answer_keeps_its_thoughts(anna: Person, openai: OpenAIServer) -> None:
    openai.script(raw=thinking(thoughts=THOUGHTS * 20, pieces=200), delay=0.02)
    thread, run = "", ""
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Which number?"}) as response:
        async for line in response.aiter_lines():
            if line.startswith("data:") and '"start"' in line:
                start = json.loads(line[5:])
                thread, run = start["conversation_id"], start["run_id"]
            if line.startswith("data:") and '"reasoning"' in line:
                shown = (await messages(anna, thread))[-1]
                assert shown["reasoning"], "a page that is opened meanwhile shows them too"
                await anna.http.post(f"/chat/runs/{run}/cancel")
                break

    async def stopped() -> dict[str, Any] | None:
        last = (await messages(anna, thread))[-1]
        return last if last["status"] == "stopped" else None

    answer = await eventually(stopped)
    assert answer["content"] == ""
    assert (THOUGHTS * 20).startswith(answer["reasoning"])


async def test_thoughts_without_an_answer_are_an_error_that_keeps_them(anna: Person, openai: OpenAIServer) -> None:
    openai.script(raw=thinking(answer=""))
    events = await anna.stream("Which number?")
    assert (events[-1].name, events[-1].data["error"]["code"]) == ("error", "provider_bad_answer")
    answer = (await messages(anna, events[0].data["conversation_id"]))[-1]
    assert (answer["status"], answer["content"], answer["reasoning"]) == ("failed", "", THOUGHTS)
