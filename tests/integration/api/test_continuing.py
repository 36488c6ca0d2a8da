"""An answer that is gone on with stays one answer: its sources keep their numbers, and its first part stays paid."""

import json
from typing import Any

import pytest

from tests.conftest import Database
from tests.integration.api.test_chat import messages
from tests.integration.api.test_costs import clara as clara
from tests.integration.api.test_costs import priced as priced
from tests.integration.api.test_libraries import admit, expel, library
from tests.integration.api.test_mcp import Add, decide
from tests.integration.api.test_mcp import add as add
from tests.integration.api.test_mcp import admin as admin
from tests.integration.api.test_mcp import letters as letters
from tests.integration.api.test_waiting import read_on, until_action
from tests.mcp_server import McpProcess
from tests.providers import OpenAIServer
from tests.support import Event, Person, events_of, eventually

WALNUT = b"The Walnut contract ends after 37 months.\n\n" + b"Other words.\n" * 40
SEARCH = [("search_files", {"query": "Walnut contract", "file": "walnut"})]
LONG = "It ends after 37 months [1]. And then there is more to say."


async def cut_answer(person: Person, openai: OpenAIServer, **fields: Any) -> dict[str, Any]:
    """Ask for an answer that a tool brings the source of, and that reaches its length limit."""
    openai.script(rounds=[SEARCH], reply=LONG)
    asked = {"tools": ["search_files"], "use_rag": False, "max_tokens": 8, **fields}
    cut = await person.ask("How long?", **asked)
    assert (cut["finish_reason"], [source["n"] for source in cut["sources"]]) == ("length", [1])
    assert "[1]" in cut["response"]
    return cut


def rest_of(answer: dict[str, Any]) -> dict[str, Any]:
    return {"conversation_id": answer["conversation_id"], "continue_message_id": answer["message_id"]}


async def usage(person: Person, answer: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = await person.get(f"/conversations/{answer['conversation_id']}/usage")
    return told


async def newest(person: Person, answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await messages(person, answer["conversation_id"]))[-1]
    return found


async def test_a_continued_answer_keeps_what_it_cites_and_has_cost(anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("walnut.txt", WALNUT)
    cut = await cut_answer(anna, openai)
    before = await usage(anna, cut)
    openai.script(reply=" more.")
    events = await anna.stream("", use_rag=False, **rest_of(cut))
    answer, done = await newest(anna, cut), events[-1].data
    assert answer["content"] == cut["response"] + " more."
    (source,) = answer["sources"]
    assert (source["n"], source["cited"], source["file_name"]) == (1, True, "walnut.txt")
    assert source["highlight"]["text"] == "The Walnut contract ends after 37 months."
    assert done["sources"] == answer["sources"]
    assert done["steps"] == answer["steps"] == cut["steps"]
    (told,) = [event.data["sources"] for event in events if event.name == "sources"]
    assert [source["n"] for source in told] == [1]
    asked = openai.chats[-1].body["messages"]
    assert "[1] walnut.txt" in json.dumps(asked), "the model reads on what it has cited"
    after = await usage(anna, cut)
    assert answer["usage"] == done["usage"]
    assert after["answers"] == before["answers"] == 1
    for kind in ("input_tokens", "output_tokens"):
        assert answer["usage"][kind] == after[kind] > before[kind] == cut["usage"][kind]


async def test_passages_that_are_found_again_keep_their_numbers_and_new_ones_come_behind(
    anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("walnut.txt", WALNUT)
    elm = await anna.indexed("elm.txt", b"An elm chair is delivered within nine days.")
    cut = await cut_answer(anna, openai)
    # The question is searched for now, and tools bring the known passage and a new one.
    rounds = [[("read_file", {"file": "elm.txt"})], SEARCH]
    openai.script(rounds=rounds, reply=" Nine days [2], months [1].")
    tools = ["read_file", "search_files"]
    events = await anna.stream("", use_rag=False, tools=tools, **rest_of(cut))
    told = [[source["n"] for source in event.data["sources"]] for event in events if event.name == "sources"]
    assert (told[0], told[-1]) == ([1], [1, 2])
    answer = await newest(anna, cut)
    assert [(source["n"], source["file_name"], source["cited"]) for source in answer["sources"]] == [
        (1, "walnut.txt", True),
        (2, "elm.txt", True),
    ]
    assert answer["sources"][1]["file_id"] == elm["id"]
    assert [step["sources"] for step in answer["steps"]] == [[1], [2], [1]]


async def test_a_search_for_the_rest_numbers_what_it_finds_behind_the_first_part(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    await anna.indexed("walnut.txt", WALNUT)
    await anna.indexed("oak.txt", b"The oak table costs 120 euros.")
    openai.script(rounds=[SEARCH], reply=LONG)
    question = "What does the oak table cost?"
    cut = await anna.ask(question, tools=["search_files"], use_rag=False, max_tokens=8)
    assert [source["file_name"] for source in cut["sources"]] == ["walnut.txt"]
    openai.script(reply=" 120 euros [2].")
    await anna.ask("", top_k=1, **rest_of(cut))
    first = await newest(anna, cut)
    assert [(source["n"], source["file_name"]) for source in first["sources"]] == [(1, "walnut.txt"), (2, "oak.txt")]
    prompt = json.dumps(openai.chats[-1].body["messages"])
    assert "[1] walnut.txt" in prompt
    assert "[2] oak.txt" in prompt
    query = "SELECT trace FROM runs WHERE message_id = %s ORDER BY created_at DESC LIMIT 1"
    ((trace,),) = database.execute(query, (cut["message_id"],)).fetchall()
    (shown,) = [node["output"]["prompt"] for node in trace["nodes"] if node["node"] == "augment"]
    pieces = [piece for part in shown if isinstance(part["content"], list) for piece in part["content"]]
    assert [piece["source"] for piece in pieces if "source" in piece] == [1, 2], "each passage with its file"


async def test_what_was_searched_for_is_numbered_the_same_again(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    await anna.indexed("oak.txt", b"The oak table costs 120 euros.")
    openai.script(reply="It costs 120 euros [1] and that is not all there is to say.")
    cut = await anna.ask("What does the oak table cost?", max_tokens=6)
    assert [source["n"] for source in cut["sources"]] == [1]
    openai.script(reply=" All said [1].")
    whole = await anna.ask("", **rest_of(cut))
    assert [source["n"] for source in whole["sources"]] == [1]
    openai.script(reply="It costs 120 euros [1] and that is not all there is to say.")
    sure = await anna.ask("What does the oak table cost?", max_tokens=6, conversation_id=cut["conversation_id"])
    database.execute("UPDATE messages SET confidence = 'likely' WHERE id = %s", (sure["message_id"],))
    rest = await anna.ask("", use_rag=False, **rest_of(sure))
    assert rest["confidence"] == "likely", "the source that was found first is still there"


async def test_what_was_taken_away_meanwhile_is_told_of_no_more_and_comes_back_with_the_right_to_it(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    forest = await library(anna)
    await anna.indexed("walnut.txt", WALNUT, library_id=forest)
    await admit(anna, forest, username=boris.name)
    cut = await cut_answer(boris, openai, library_ids=[forest])
    await expel(anna, forest, boris.name)
    openai.script(reply=" more.")
    before = len(openai.chats)
    events = await boris.stream("", use_rag=False, **rest_of(cut))
    assert "37 months." not in json.dumps([event.data for event in events]), "the answer's own words end before"
    asked = [message["content"] for chat in openai.chats[before:] for message in chat.body["messages"]]
    assert not any("Walnut contract ends" in str(content) for content in asked)
    (source,) = (await newest(boris, cut))["sources"]
    assert (source["n"], source["available"], source["snippet"], source["cited"]) == (1, False, "", True)
    await admit(anna, forest, username=boris.name)
    (source,) = (await newest(boris, cut))["sources"]
    assert (source["available"], source["cited"]) == (True, True)
    assert "37 months." in source["snippet"]


async def test_a_continued_answer_that_waits_for_a_person_keeps_both_parts(
    add: Add, letters: McpProcess, anna: Person, openai: OpenAIServer
) -> None:
    """Whoever takes a run over knows of the first part only what the database has."""
    await add("letters", letters.url)
    await anna.indexed("walnut.txt", WALNUT)
    for ending in ("approve", "cancel"):
        cut = await cut_answer(anna, openai)
        openai.script(rounds=[[("letters__send_letter", {"to": "Ada", "text": "Hello"})]], reply=" Sent.")
        asked = {"message": "", "tools": ["letters__send_letter"], "use_rag": False, **rest_of(cut)}
        seen = await until_action(anna, **asked)
        run, step = seen[0].data["run_id"], seen[-1].data["step_ids"][0]
        if ending == "approve":
            assert (await decide(anna, run, {"step_id": step, "decision": "approve"})).status_code == 202
        else:
            assert (await anna.http.post(f"/chat/runs/{run}/cancel")).status_code == 202
        done = (await read_on(anna, run, seen[-1].id))[-1]
        assert done.name == "done"
        answer = await newest(anna, cut)
        assert [(source["n"], source["file_name"]) for source in answer["sources"]] == [(1, "walnut.txt")]
        assert done.data["sources"] == answer["sources"]
        assert [step["name"] for step in answer["steps"]] == ["search_files", "letters__send_letter"]
        assert answer["usage"] == done.data["usage"]
        assert answer["usage"]["total_tokens"] > cut["usage"]["total_tokens"], "who asked for the letter is counted"


async def test_what_a_first_part_has_cost_stays_where_the_rest_has_no_price(
    clara: Person, openai: OpenAIServer
) -> None:
    openai.script(tokens=["one "] * 20)
    cut = await clara.ask("Hello", model_source="openai", model_name="gpt-4", max_tokens=8)
    assert cut["usage"]["cost_usd"] > 0
    openai.script(reply="two")
    rest = await clara.ask("", model_source="openai", model_name="gpt-mine", **rest_of(cut))
    assert rest["usage"]["cost_usd"] == pytest.approx(cut["usage"]["cost_usd"])
    told = await usage(clara, cut)
    assert (told["priced"], told["cost_usd"]) == (1, pytest.approx(cut["usage"]["cost_usd"]))


async def test_an_imported_answer_is_gone_on_with_at_its_own_cost(anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("walnut.txt", WALNUT)
    cut = await cut_answer(anna, openai)
    saved = await anna.http.get(f"/conversations/{cut['conversation_id']}/export")
    (thread,) = (await anna.http.post("/conversations/import", content=saved.content)).json()["conversation_ids"]
    copy = {"conversation_id": thread, "message_id": (await messages(anna, thread))[-1]["id"]}
    assert (await newest(anna, copy))["usage"]["total_tokens"] == cut["usage"]["total_tokens"]
    before = (await anna.get("/stats/user"))["input_tokens"]
    openai.script(reply=" 37 months [2].")
    rest = await anna.ask("", **rest_of(copy))
    assert [source["n"] for source in rest["sources"]] == [1, 2], "what came with the file is no file of this server"
    spent = rest["usage"]["input_tokens"]
    assert (await anna.get("/stats/user"))["input_tokens"] == before + spent
    assert (await usage(anna, copy))["input_tokens"] == spent


async def stopped(person: Person, openai: OpenAIServer) -> Event:
    """Stop an answer in its middle; return the last event."""
    openai.script(tokens=["word "] * 200, delay=0.02)
    read, seen = 0, list[Event]()
    async with person.http.stream("POST", "/chat/stream", json={"message": "Write much."}) as response:
        async for event in events_of(response):
            seen.append(event)
            read += event.name == "chunk"
            if read == 10:
                assert (await person.http.post(f"/chat/runs/{seen[0].data['run_id']}/cancel")).status_code == 202
    return seen[-1]


async def test_what_a_stopped_answer_has_cost_is_estimated(anna: Person, openai: OpenAIServer) -> None:
    done = (await stopped(anna, openai)).data
    answer = await newest(anna, done)
    assert (answer["status"], answer["usage"]) == ("stopped", done["usage"])
    assert answer["usage"]["estimated"] is True
    assert answer["usage"]["output_tokens"] >= 10
    told = await usage(anna, done)
    assert told["output_tokens"] == answer["usage"]["output_tokens"]
    openai.script(reply="The rest.")
    rest = await anna.ask("", **rest_of(done))
    assert rest["usage"]["estimated"] is True
    assert rest["usage"]["output_tokens"] > answer["usage"]["output_tokens"]


async def test_what_an_answer_has_cost_that_broke_off_is_estimated(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["Once ", "upon ", "a ", "time "] * 10, delay=0.02, fault="drop")
    events = await anna.stream("Tell me a story.")
    assert events[-1].name == "error"
    answer = await newest(anna, events[0].data)
    assert answer["status"] == "failed"
    assert answer["usage"]["estimated"] is True
    assert answer["usage"]["output_tokens"] > 0
    trace = await anna.get(f"/messages/{answer['id']}/trace")
    (told,) = [node["output"]["usage"] for node in trace["nodes"] if node["node"] == "generate"]
    assert told == answer["usage"]
    # One that was refused before its first word has cost nothing.
    openai.script(fault="500")
    refused = await anna.stream("And this?")
    assert (await newest(anna, refused[0].data))["usage"] is None


async def test_an_answer_that_calls_tools_and_is_stopped_counts_all_of_its_calls(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(rounds=[[("calculate", {"expression": "1 + 1"})]], tokens=["word "] * 200, delay=0.02)
    body = {"message": "Sum.", "tools": ["calculate"]}
    seen: list[Event] = []
    async with anna.http.stream("POST", "/chat/stream", json=body) as response:
        async for event in events_of(response):
            if event.name == "chunk" and not any(other.name == "chunk" for other in seen):
                await anna.http.post(f"/chat/runs/{seen[0].data['run_id']}/cancel")
            seen.append(event)
    trace = await anna.get(f"/messages/{seen[0].data['message_id']}/trace")
    calls = [node["output"]["usage"] for node in trace["nodes"] if node["node"] == "generate"]
    assert [call["estimated"] for call in calls] == [False, True]
    told = seen[-1].data["usage"]
    assert told["total_tokens"] == sum(call["total_tokens"] for call in calls)

    async def counted() -> bool:
        row = database.execute(
            "SELECT (usage ->> 'total_tokens')::int FROM messages WHERE id = %s", (seen[0].data["message_id"],)
        ).fetchone()
        return row == (told["total_tokens"],)

    await eventually(counted)
