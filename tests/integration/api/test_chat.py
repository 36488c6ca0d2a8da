"""A turn: its answer, its events, its record, its tree, its limits."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Database
from tests.integration.api.test_auth import envelope
from tests.providers import AIHubServer, OllamaServer, OpenAIServer
from tests.support import Event, Person, Server, events_of, eventually

RESPONSE = {
    "steps",
    "searched",
    "confidence",
    "conversation_id",
    "message_id",
    "user_message_id",
    "run_id",
    "response",
    "reasoning",
    "sources",
    "model_source",
    "model_name",
    "fallback_from",
    "finish_reason",
    "usage",
    "timings",
}


# NUL, and half of a surrogate pair: both can be said in JSON, neither can be kept by Postgres.
ODD = b'{"message": "before\\u0000after \\ud800"}'


async def messages(person: Person, conversation_id: str, **params: Any) -> list[dict[str, Any]]:
    page = await person.get(f"/conversations/{conversation_id}/messages", **params)
    items: list[dict[str, Any]] = page["items"]
    return items


async def test_an_answer_has_all_that_the_contract_names(anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="The answer is forty-two.")
    answer = await anna.ask("What is the answer?")
    assert set(answer) == RESPONSE
    assert answer["response"] == "The answer is forty-two."
    assert (answer["model_source"], answer["model_name"], answer["fallback_from"]) == ("openai", "gpt-4", None)
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    assert set(answer["timings"]) == {"retrieve_ms", "first_token_ms", "reasoning_ms", "total_ms"}
    question, reply = await messages(anna, answer["conversation_id"])
    assert (question["role"], question["content"], question["parent_id"]) == ("user", "What is the answer?", None)
    assert (reply["role"], reply["content"], reply["status"]) == ("assistant", answer["response"], "complete")
    assert (reply["parent_id"], reply["id"]) == (question["id"], answer["message_id"])
    assert reply["sibling_ids"] == [reply["id"]]


async def test_events_come_in_order_and_are_numbered(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["One ", "two ", "three."], delay=0.05)
    events = await anna.stream("Count, please.")
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    names = [event.name for event in events]
    assert names[0] == "start"
    assert names[-1] == "done"
    assert set(names[1:-1]) == {"chunk"}
    assert "".join(event.data["content"] for event in events if event.name == "chunk") == "One two three."
    start, done = events[0].data, events[-1].data
    assert {"run_id", "conversation_id", "user_message_id", "message_id", "model_source", "model_name"} <= set(start)
    assert set(done) == (RESPONSE - {"response", "reasoning"}) | {"type"}
    run = await anna.get(f"/chat/runs/{start['run_id']}")
    assert run["status"] == "completed"


@pytest.mark.parametrize("source", ["openai", "ollama", "aihub"])
async def test_every_provider_answers_streamed_and_not(
    source: str, anna: Person, openai: OpenAIServer, ollama: OllamaServer, aihub: AIHubServer
) -> None:
    answer = await anna.ask("Say something about rivers.", model_source=source)
    assert answer["model_source"] == source
    assert "rivers" in answer["response"]
    events = await anna.stream("Say something about mountains.", model_source=source)
    text = "".join(event.data["content"] for event in events if event.name == "chunk")
    assert "mountains" in text
    assert events[-1].data["usage"]["output_tokens"] > 0


async def test_the_talk_goes_on_and_the_model_sees_it(anna: Person, openai: OpenAIServer) -> None:
    first = await anna.ask("My dog is called Rex.")
    await anna.ask("What is my dog called?", conversation_id=first["conversation_id"])
    bodies = [request.body for request in openai.requests if "What is my dog called?" in str(request.body)]
    sent = bodies[-1]["messages"]
    assert [message["role"] for message in sent][-3:] == ["user", "assistant", "user"]
    assert sent[-3]["content"] == "My dog is called Rex."


async def test_parameters_reach_the_model(anna: Person, openai: OpenAIServer) -> None:
    marker = uuid4().hex
    await anna.ask(marker, temperature=0.3, max_tokens=77, system_prompt="Speak like a sailor.", model_name="gpt-4o")
    body = next(request.body for request in openai.requests if marker in str(request.body))
    assert body["temperature"] == 0.3
    assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert body["model"] == "gpt-4o"
    assert body["messages"][0] == {"role": "system", "content": "Speak like a sailor."}


async def test_regenerate_edit_and_switch(anna: Person) -> None:
    first = await anna.ask("What is a fjord?")
    thread = first["conversation_id"]
    again = await anna.ask("", conversation_id=thread, regenerate=True)
    assert again["user_message_id"] == first["user_message_id"]
    assert again["message_id"] != first["message_id"]
    branch = await messages(anna, thread)
    assert branch[-1]["id"] == again["message_id"]
    assert branch[-1]["sibling_ids"] == [first["message_id"], again["message_id"]]
    edited = await anna.ask("What is a glacier?", conversation_id=thread, edit_of=first["user_message_id"])
    branch = await messages(anna, thread)
    assert branch[0]["content"] == "What is a glacier?"
    assert branch[0]["sibling_ids"] == [first["user_message_id"], edited["user_message_id"]]
    switched = await anna.http.patch(f"/conversations/{thread}", json={"leaf_id": first["user_message_id"]})
    assert switched.json()["leaf_id"] == again["message_id"]
    assert (await messages(anna, thread))[0]["content"] == "What is a fjord?"
    other = await messages(anna, thread, leaf=edited["message_id"])
    assert other[0]["content"] == "What is a glacier?"


async def test_a_question_can_go_into_another_branch(anna: Person, openai: OpenAIServer) -> None:
    first = await anna.ask("Tell me about lakes.")
    thread = first["conversation_id"]
    await anna.ask("And about seas?", conversation_id=thread)
    branched = await anna.ask("And about ponds?", conversation_id=thread, parent_message_id=first["message_id"])
    branch = await messages(anna, thread)
    assert [message["content"] for message in branch if message["role"] == "user"] == [
        "Tell me about lakes.",
        "And about ponds?",
    ]
    assert branch[-1]["id"] == branched["message_id"]


async def test_bad_questions(anna: Person, server: Server) -> None:
    long = "x" * (server.settings.max_message_chars + 1)
    for body in (
        {"message": ""},
        {"message": "   "},
        {"message": long},
        {"message": "x", "model_source": "nonsense"},
        {"message": "x", "conversation_id": "nonsense"},
        {"message": "x", "temperature": 9},
        {},
    ):
        for path in ("/chat", "/chat/stream"):
            answer = await anna.http.post(path, json=body)
            assert answer.status_code == 422, body
            assert envelope(answer)["code"] == "validation_error"
    broken = await anna.http.post("/chat", content=b'{"message": ', headers={"content-type": "application/json"})
    assert broken.status_code == 400
    absent = await anna.http.post("/chat", json={"message": "x", "conversation_id": str(uuid4())})
    assert (absent.status_code, envelope(absent)["code"]) == (404, "not_found")
    odd = await anna.http.post("/chat", content=ODD, headers={"content-type": "application/json"})
    assert odd.status_code == 200, odd.text


async def test_strangers_find_nothing(anna: Person, boris: Person) -> None:
    answer = await anna.ask("This is mine.")
    thread, message, run = answer["conversation_id"], answer["message_id"], answer["run_id"]
    for method, path, body in (
        ("GET", f"/conversations/{thread}", None),
        ("PATCH", f"/conversations/{thread}", {"title": "stolen"}),
        ("DELETE", f"/conversations/{thread}", None),
        ("GET", f"/conversations/{thread}/messages", None),
        ("GET", f"/conversations/{thread}/export", None),
        ("GET", f"/conversations/{thread}/checkpoints", None),
        ("GET", f"/chat/runs/{run}", None),
        ("GET", f"/chat/runs/{run}/stream", None),
        ("POST", f"/chat/runs/{run}/cancel", None),
        ("GET", f"/messages/{message}/trace", None),
        ("PUT", f"/messages/{message}/feedback", {"rating": "up"}),
        ("POST", f"/messages/{message}/replay", {}),
        ("POST", "/chat", {"message": "x", "conversation_id": thread}),
        ("POST", "/chat/stream", {"message": "x", "conversation_id": thread}),
        ("POST", "/search", {"query": "x", "conversation_id": thread}),
        ("GET", f"/files?conversation_id={thread}", None),
    ):
        stolen = await boris.http.request(method, path, json=body)
        assert stolen.status_code == 404, (method, path, stolen.text)
        assert envelope(stolen)["code"] == "not_found"
    own = await boris.ask("Mine too.")
    for place in ("parent_message_id", "edit_of", "continue_message_id"):
        body = {"message": "x", "conversation_id": own["conversation_id"], place: message}
        assert (await boris.http.post("/chat", json=body)).status_code == 404, place
    assert len(await messages(anna, thread)) == 2


async def test_one_run_per_branch_and_several_side_by_side(anna: Person, openai: OpenAIServer) -> None:
    first = await anna.ask("Begin.")
    thread = first["conversation_id"]
    openai.script(tokens=["a "] * 40, delay=0.05)
    running = asyncio.create_task(anna.ask("Go on slowly.", conversation_id=thread))

    async def begun() -> dict[str, Any] | None:
        last = (await messages(anna, thread))[-1]
        return last if last["status"] == "streaming" else None

    streaming = await eventually(begun)
    refused = await anna.http.post("/chat", json={"message": "Me too!", "conversation_id": thread})
    assert refused.status_code == 409
    assert envelope(refused)["details"] == [{"run_id": streaming["run_id"]}]
    again = {"message": "", "conversation_id": thread, "regenerate": True}
    assert (await anna.http.post("/chat", json=again)).status_code == 409
    side = {"conversation_id": thread, "parent_message_id": first["message_id"]}
    beside, other = await asyncio.gather(anna.ask("Beside.", **side), anna.ask("Another talk."))
    assert beside["finish_reason"] == other["finish_reason"] == (await running)["finish_reason"]


async def test_many_at_once_in_one_place_give_one_run(anna: Person, openai: OpenAIServer) -> None:
    thread = (await anna.http.post("/conversations", json={})).json()["id"]
    openai.script(tokens=["a "] * 10, delay=0.05)
    bodies = [{"message": f"Race {n}", "conversation_id": thread} for n in range(5)]
    codes = sorted([a.status_code for a in await asyncio.gather(*(anna.http.post("/chat", json=b) for b in bodies))])
    assert codes == [200, 409, 409, 409, 409]
    assert len(await messages(anna, thread)) == 2


async def test_a_client_that_leaves_loses_nothing(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=[f"w{n} " for n in range(30)], delay=0.03)
    seen: list[Event] = []
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Tell me a lot."}) as response:
        async for event in events_of(response):
            seen.append(event)
            if len(seen) == 4:
                break
    run = seen[0].data["run_id"]
    headers = {"Last-Event-ID": str(seen[-1].id)}
    async with anna.http.stream("GET", f"/chat/runs/{run}/stream", headers=headers) as response:
        seen += [event async for event in events_of(response)]
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    text = "".join(event.data["content"] for event in seen if event.name == "chunk")
    assert text == "".join(f"w{n} " for n in range(30))
    assert seen[-1].name == "done"
    last = (await messages(anna, seen[0].data["conversation_id"]))[-1]
    assert (last["content"], last["status"]) == (text, "complete")


async def test_a_question_that_is_sent_again_is_taken_once(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["One ", "two ", "three."], delay=0.1)
    key = {"Idempotency-Key": uuid4().hex}

    async def ask(person: Person, **body: Any) -> list[Event]:
        question = {"message": "Count.", **body}
        async with person.http.stream("POST", "/chat/stream", json=question, headers=key) as response:
            assert response.status_code == 200, await response.aread()
            return [event async for event in events_of(response)]

    # At the same moment, and when all is over.
    first, second = await asyncio.gather(ask(anna), ask(anna))
    later = await ask(anna)
    assert first == second == later
    start = first[0].data
    again = await anna.http.post("/chat", json={"message": "Count."}, headers=key)
    assert again.status_code == 200, again.text
    assert set(again.json()) == RESPONSE
    assert (again.json()["response"], again.json()["run_id"]) == ("One two three.", start["run_id"])
    assert len((await anna.get("/conversations"))["items"]) == 1
    # In a conversation that exists, and for another answer.
    for body in ({"message": "And on."}, {"message": "", "regenerate": True}):
        key = {"Idempotency-Key": uuid4().hex}
        place = {**body, "conversation_id": start["conversation_id"]}
        once, twice = await asyncio.gather(ask(anna, **place), ask(anna, **place))
        assert once == twice
    assert [message["role"] for message in await messages(anna, start["conversation_id"])] == [
        *("user", "assistant"),
        *("user", "assistant"),
    ]
    assert len((await messages(anna, start["conversation_id"]))[-1]["sibling_ids"]) == 2
    # A key is one person's, and one question's.
    key = {"Idempotency-Key": uuid4().hex}
    mine, theirs = await ask(anna), await ask(boris)
    assert mine[0].data["run_id"] != theirs[0].data["run_id"]
    wrong = await anna.http.post("/chat", json={"message": "Something else."}, headers=key)
    assert wrong.status_code == 422
    assert envelope(wrong)["details"][0]["loc"] == ["header", "Idempotency-Key"]
    for bad in ("", "a b", "x" * 256):
        refused = await anna.http.post("/chat", json={"message": "Hm."}, headers={"Idempotency-Key": bad})
        assert (refused.status_code, envelope(refused)["code"]) == (422, "validation_error")


async def test_a_session_that_has_ended_gets_no_answer_by_a_key(anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="It is secret.")
    key, question = {"Idempotency-Key": uuid4().hex}, {"message": "What is it?"}
    assert (await anna.http.post("/chat", json=question, headers=key)).status_code == 200
    assert (await anna.http.post("/chat", json=question, headers=key)).json()["response"] == "It is secret."
    assert (await anna.http.post("/auth/logout")).status_code == 204
    for path in ("/chat", "/chat/stream"):
        assert (await anna.http.post(path, json=question, headers=key)).status_code == 401


async def test_a_run_that_failed_is_told_to_who_asks_again(anna: Person, openai: OpenAIServer) -> None:
    openai.script(fault="500")
    key = {"Idempotency-Key": uuid4().hex}
    question = {"message": "Hm.", "model_source": "openai"}
    first, again = [await anna.http.post("/chat", json=question, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (502, 502)
    assert envelope(first)["code"] == envelope(again)["code"] == "provider_error"
    assert len((await anna.get("/conversations"))["items"]) == 1


async def test_two_readers_see_the_same(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["x "] * 20, delay=0.03)
    first: list[Event] = []
    second: list[Event] = []
    async with anna.http.stream("POST", "/chat/stream", json={"message": "For both."}) as response:
        reading = events_of(response)
        first.append(await anext(reading))

        async def follow() -> None:
            async with anna.http.stream("GET", f"/chat/runs/{first[0].data['run_id']}/stream") as other:
                second.extend([event async for event in events_of(other)])

        following = asyncio.create_task(follow())
        first += [event async for event in reading]
        await following
    assert first == second


async def test_stop_keeps_what_was_said_and_ends_the_providers_request(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["tick "] * 400, delay=0.02)
    seen: list[Event] = []
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Never stop."}) as response:
        async for event in events_of(response):
            seen.append(event)
            if len(seen) == 3:
                run = seen[0].data["run_id"]
                assert (await anna.http.post(f"/chat/runs/{run}/cancel")).status_code == 202
    assert seen[-1].name == "done"
    assert seen[-1].data["finish_reason"] == "stopped"
    last = (await messages(anna, seen[0].data["conversation_id"]))[-1]
    assert last["status"] == "stopped"
    assert last["content"].startswith("tick tick")
    assert len(last["content"]) < 400
    assert (await anna.get(f"/chat/runs/{run}"))["status"] == "stopped"
    openai.script(reply="and here is the rest.")
    thread = seen[0].data["conversation_id"]
    rest = await anna.stream("", conversation_id=thread, continue_message_id=last["id"])
    assert rest[0].data["message_id"] == last["id"]
    whole = (await messages(anna, thread))[-1]
    assert whole["content"] == last["content"] + "and here is the rest."
    assert whole["status"] == "complete"


async def test_only_what_was_cut_is_gone_on_with(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=[f"word{n} " for n in range(20)])
    cut = await anna.ask("Count, please.", max_tokens=8)
    assert cut["finish_reason"] == "length"
    openai.script(reply="and so on.")
    thread = cut["conversation_id"]
    await anna.stream("", conversation_id=thread, continue_message_id=cut["message_id"])
    whole = (await messages(anna, thread))[-1]
    assert whole["content"].startswith("word0 ")
    assert whole["content"].endswith("word7 and so on.")
    assert whole["finish_reason"] == "stop"
    again = {"message": "", "conversation_id": thread, "continue_message_id": cut["message_id"]}
    refused = await anna.http.post("/chat", json=again)
    assert refused.status_code == 400
    assert "length limit" in refused.json()["error"]["message"]


async def test_an_answer_is_gone_on_with_as_its_model_can(
    anna: Person, openai: OpenAIServer, ollama: OllamaServer
) -> None:
    """Ollama's models write on behind an unfinished answer; others are told not to repeat it."""
    for source, server in (("ollama", ollama), ("openai", openai)):
        server.script(tokens=["Once ", "upon ", "a ", "time "] * 10, delay=0.02, fault="drop")
        events = await anna.stream("Tell me a story.", model_source=source)
        thread = events[0].data["conversation_id"]
        broken = (await messages(anna, thread))[-1]
        assert broken["status"] == "failed"
        assert broken["content"]
        server.script(reply="time.")
        continued = {"conversation_id": thread, "continue_message_id": broken["id"], "model_source": source}
        await anna.stream("", **continued)
        last = {name: server.chats[-1].body["messages"][-1][name] for name in ("role", "content")}
        asks_again = last["role"] == "user"
        assert asks_again == (source == "openai"), last
        assert asks_again or last == {"role": "assistant", "content": broken["content"]}
        assert (await messages(anna, thread))[-1]["content"] == broken["content"] + "time."


async def test_a_failure_before_the_first_token(anna: Person, openai: OpenAIServer) -> None:
    openai.script(fault="500")
    answer = await anna.http.post("/chat", json={"message": "Will this work?"})
    assert answer.status_code in (502, 503)
    openai.script(fault="500")
    events = await anna.stream("And this?")
    assert [event.name for event in events] == ["start", "error"]
    assert set(events[-1].data["error"]) == {"code", "message", "request_id"}
    thread = events[0].data["conversation_id"]
    question, reply = await messages(anna, thread)
    assert question["content"] == "And this?"
    assert (reply["status"], reply["content"]) == ("failed", "")
    openai.script()
    again = await anna.ask("", conversation_id=thread, regenerate=True)
    assert again["response"]


async def test_a_failure_after_the_first_token_keeps_the_text(anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["Half ", "of ", "it ", "all"], fault="drop", delay=0.02)
    events = await anna.stream("Tell me all.")
    assert events[-1].name == "error"
    text = "".join(event.data["content"] for event in events if event.name == "chunk")
    assert text
    last = (await messages(anna, events[0].data["conversation_id"]))[-1]
    assert (last["status"], last["content"]) == ("failed", text)
    assert last["error"]["code"] == events[-1].data["error"]["code"]


async def test_the_title_comes_from_the_first_exchange_and_never_over_a_users(
    anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="Норвежские фьорды")
    answer = await anna.ask("Расскажи про фьорды Норвегии, пожалуйста")
    thread = answer["conversation_id"]

    async def titled() -> bool:
        return bool((await anna.get(f"/conversations/{thread}"))["title"] == "Норвежские фьорды")

    await eventually(titled)
    named = await anna.http.patch(f"/conversations/{thread}", json={"title": "My own"})
    assert named.json()["title"] == "My own"
    own = (await anna.http.post("/conversations", json={"title": "Kept"})).json()
    await anna.ask("Hello?", conversation_id=own["id"])
    assert (await anna.get(f"/conversations/{own['id']}"))["title"] == "Kept"


async def test_a_title_that_was_not_made_is_made_after_the_next_answer_and_not_asked_for_ever(
    anna: Person, openai: OpenAIServer
) -> None:
    before = len(openai.titles)

    def asked() -> int:
        return len(openai.titles) - before

    async def asked_for(titles: int) -> None:
        async def done() -> bool:
            return asked() >= titles

        await eventually(done)

    useless = "This is by far too long a sentence to be the title of any conversation here"
    openai.script(reply=useless)
    thread = (await anna.ask("Tell me about fjords"))["conversation_id"]
    await asked_for(1)
    openai.script(reply="Norwegian fjords")
    await anna.ask("And the deepest one?", conversation_id=thread)

    async def titled() -> bool:
        return bool((await anna.get(f"/conversations/{thread}"))["title"] == "Norwegian fjords")

    await eventually(titled)
    openai.script(reply=useless)
    other = (await anna.ask("Tell me about lakes"))["conversation_id"]
    for _ in range(2):
        await anna.ask("And more?", conversation_id=other)
    await asked_for(5)
    await anna.ask("And more?", conversation_id=other)
    # The next conversation's title is asked for; had this one's been, it would have come before.
    await anna.ask("Tell me about hills")
    await asked_for(6)
    assert asked() == 6


async def test_who_has_not_seen_the_newest_turn_asks_behind_it(anna: Person, openai: OpenAIServer) -> None:
    first = await anna.ask("One")
    thread = first["conversation_id"]
    second = await anna.ask("Two", conversation_id=thread)
    unseen: dict[str, Any] = {"conversation_id": thread, "parent_message_id": first["message_id"], "at_end": True}
    await anna.ask("Three", **unseen)
    branch = await messages(anna, thread)
    assert [message["content"] for message in branch if message["role"] == "user"] == ["One", "Two", "Three"]
    assert branch[4]["parent_id"] == second["message_id"]
    # On another branch than the one that goes on, it stays where it was asked; so does who does not say so.
    beside = await anna.ask("Two, again", edit_of=branch[2]["id"], conversation_id=thread)
    await anna.ask("And there?", conversation_id=thread, parent_message_id=second["message_id"], at_end=True)
    shown = [message["content"] for message in await messages(anna, thread) if message["role"] == "user"]
    assert shown == ["One", "Two", "And there?"]
    await anna.ask("And here?", conversation_id=thread, parent_message_id=beside["message_id"])
    shown = [message["content"] for message in await messages(anna, thread) if message["role"] == "user"]
    assert shown == ["One", "Two, again", "And here?"]


async def test_a_replay_searches_nothing_else_where_what_was_asked_is_gone(anna: Person, openai: OpenAIServer) -> None:
    chosen = [await anna.indexed(f"walnut{n}.txt", b"The Walnut contract ends after %d months." % n) for n in (36, 37)]
    await anna.indexed("diary.txt", b"The Walnut contract in my diary ends after 99 months.")
    ids = [file["id"] for file in chosen]
    answer = await anna.ask("How long does the Walnut contract run?", file_ids=ids)

    async def replayed() -> set[str]:
        async with anna.http.stream("POST", f"/messages/{answer['message_id']}/replay", json={}) as response:
            events = [event async for event in events_of(response)]
        return {source["file_name"] for source in events[-1].data["sources"]}

    await anna.http.delete(f"/files/{ids[0]}")
    assert await replayed() == {"walnut37.txt"}
    await anna.http.delete(f"/files/{ids[1]}")
    assert await replayed() == set()


async def test_the_trace_explains(anna: Person) -> None:
    answer = await anna.ask("Explain yourself.", temperature=0.5)
    trace = await anna.get(f"/messages/{answer['message_id']}/trace")
    nodes = {node["node"]: node for node in trace["nodes"]}
    assert list(nodes) == ["augment", "generate", "persist"], "without files there is nothing to retrieve"
    assert all(node["ms"] is not None for name, node in nodes.items() if name != "persist")
    assert nodes["augment"]["output"]["prompt"][-1] == {"role": "user", "content": "Explain yourself."}
    generate = nodes["generate"]
    assert (generate["output"]["source"], generate["output"]["model"]) == ("openai", "gpt-4")
    assert generate["input"]["temperature"] == 0.5
    assert generate["output"]["attempts"][0]["outcome"] == "ok"
    assert trace["checkpoint_id"]
    assert trace["run_id"] == answer["run_id"]


async def test_replay_gives_a_sibling(anna: Person, openai: OpenAIServer) -> None:
    answer = await anna.ask("Compare this.", temperature=0.1)
    async with anna.http.stream(
        "POST", f"/messages/{answer['message_id']}/replay", json={"temperature": 1.5, "model_name": "gpt-4o"}
    ) as response:
        events = [event async for event in events_of(response)]
    assert events[-1].name == "done"
    assert events[0].data["user_message_id"] == answer["user_message_id"]
    last = (await messages(anna, answer["conversation_id"]))[-1]
    assert last["sibling_ids"] == [answer["message_id"], last["id"]]
    assert last["model_name"] == "gpt-4o"


async def test_feedback(anna: Person) -> None:
    answer = await anna.ask("Rate me.")
    path = f"/messages/{answer['message_id']}/feedback"
    assert (await anna.http.put(path, json={"rating": "down", "comment": "meh"})).status_code == 204
    last = (await messages(anna, answer["conversation_id"]))[-1]
    assert last["feedback"] == {"rating": "down", "comment": "meh", "reasons": [], "show_text": False}
    assert (await anna.http.put(path, json={"rating": "sideways"})).status_code == 422


async def test_deleting_a_conversation_stops_its_run_and_leaves_no_row(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(tokens=["tick "] * 400, delay=0.02)
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Long."}) as response:
        start = await anext(events_of(response))
        thread, run = start.data["conversation_id"], start.data["run_id"]
        assert (await anna.http.delete(f"/conversations/{thread}")).status_code == 204
    assert (await anna.http.get(f"/conversations/{thread}")).status_code == 404
    for table, column, value in (
        ("messages", "conversation_id", thread),
        ("runs", "conversation_id", thread),
        ("run_events", "run_id", run),
        ("checkpoints", "thread_id", thread),
        ("checkpoint_blobs", "thread_id", thread),
        ("checkpoint_writes", "thread_id", thread),
    ):
        row = database.execute(
            f"SELECT count(*) FROM {table} WHERE {column}::text = %s", (thread if value == thread else run,)
        ).fetchone()
        assert row == (0,), table


async def test_statements_of_a_turn_do_not_grow(server: Server, anna: Person) -> None:
    from sqlalchemy import event

    database = server.app.state.resources.database
    engine = database.engine.sync_engine
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    answer = await anna.ask("Warm up.")
    thread = answer["conversation_id"]
    await asyncio.sleep(0.3)
    event.listen(engine, "before_cursor_execute", counted)
    try:
        seen = []
        for n in range(6):
            before = count + database.raw_statements
            await anna.ask(f"Turn {n}.", conversation_id=thread)
            seen.append(count + database.raw_statements - before)
    finally:
        event.remove(engine, "before_cursor_execute", counted)
    # The heartbeat may add its two in one of the turns.
    assert sorted(seen)[2] <= 8, seen


async def test_a_long_answer_can_be_answered_again_and_replayed_elsewhere(anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="long " * 12_000)
    first = await anna.ask("Say a lot.", model_name="gpt-4")
    openai.script(reply="Short.")
    again = await anna.ask("", conversation_id=first["conversation_id"], regenerate=True)
    assert again["response"] == "Short."
    body = {"model_source": "ollama", "use_rag": None}
    async with anna.http.stream("POST", f"/messages/{first['message_id']}/replay", json=body) as response:
        events = [event async for event in events_of(response)]
    assert events[-1].name == "done", events[-1].data
    assert events[-1].data["model_source"] == "ollama"


async def test_odd_last_event_ids_are_refused(anna: Person) -> None:
    run = (await anna.ask("Hello."))["run_id"]
    for odd in ("x", "-1", "9" * 5000, "²"):
        headers = {b"Last-Event-ID": odd.encode()}
        answer = await anna.http.get(f"/chat/runs/{run}/stream", headers=headers)
        assert (answer.status_code, envelope(answer)["code"]) == (400, "bad_request"), odd[:10]


async def test_a_run_whose_end_can_not_be_written_is_ended_by_somebody(
    anna: Person, openai: OpenAIServer, server: Server, database: Database
) -> None:
    """The worker lets go of a run: its lease runs out, and it becomes `interrupted` with its text."""
    openai.script(tokens=["word "] * 400, delay=0.02)
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Talk."}) as response:
        events = events_of(response)
        start = await anext(events)
        for _ in range(3):
            await anext(events)
        run = start.data["run_id"]
        # Another worker's name on it: this one may neither append to it nor prolong its lease any more.
        database.execute(
            "UPDATE runs SET worker = gen_random_uuid(), lease_until = now() - interval '1 s' WHERE id = %s", (run,)
        )
        rest = [event async for event in events]
    assert rest[-1].name == "error"
    assert rest[-1].data["error"]["code"] == "interrupted"
    last = (await messages(anna, start.data["conversation_id"]))[-1]
    assert last["status"] == "interrupted"
    assert last["content"].startswith("word ")
    assert (last["model_source"], last["model_name"]) == ("openai", "gpt-4")
    assert server.app.state.resources.runs.running == 0


async def test_times_follow_the_order_of_the_talk(anna: Person, openai: OpenAIServer) -> None:
    """By every door: asked, continued as history over LangServe, imported."""
    asked = await anna.ask("One?")
    await anna.ask("Two?", conversation_id=asked["conversation_id"])
    talk = [("human", "Before?"), ("ai", "Before."), ("human", "Now?")]
    messages = [{"type": kind, "content": content} for kind, content in talk]
    url = str(anna.http.base_url).replace("/api/v1/", "/langserve/chat/invoke")
    said = await anna.http.post(url, json={"input": {"messages": messages}})
    assert said.status_code == 200, said.text
    export = (await anna.http.get(f"/conversations/{asked['conversation_id']}/export")).content
    await anna.http.post("/conversations/import", content=export)
    threads = (await anna.get("/conversations"))["items"]
    assert len(threads) == 3
    for thread in threads:
        times = [item["created_at"] for item in (await anna.get(f"/conversations/{thread['id']}/messages"))["items"]]
        assert len(times) == 4
        assert times == sorted(set(times))


async def test_a_stopped_answer_is_what_its_reader_got(anna: Person, openai: OpenAIServer) -> None:
    """The text that is kept is the text that was sent, whatever was on its way through the graph."""
    openai.script(tokens=[f"{number} " for number in range(3000)], delay=0.003)
    for chunks in range(1, 9):
        said: list[Event] = []
        body = {"message": "Count for me."}
        async with anna.http.stream("POST", "/chat/stream", json=body) as response:
            async for event in events_of(response):
                said.append(event)
                if sum(event.name == "chunk" for event in said) == chunks:
                    await anna.http.post(f"/chat/runs/{said[0].data['run_id']}/cancel")
        text = "".join(event.data["content"] for event in said if event.name == "chunk")
        answer = (await messages(anna, said[0].data["conversation_id"]))[-1]
        assert (answer["status"], answer["content"]) == ("stopped", text)


async def test_a_run_whose_events_are_not_kept_any_more_is_not_followed(
    anna: Person, openai: OpenAIServer, database: Database
) -> None:
    """An empty stream would be asked for again and again."""
    openai.script(reply="Hello there.")
    key = {"Idempotency-Key": uuid4().hex}
    async with anna.http.stream("POST", "/chat/stream", json={"message": "Hi"}, headers=key) as answer:
        events = [event async for event in events_of(answer)]
    start = events[0].data
    database.execute("DELETE FROM run_events WHERE run_id = %s", [start["run_id"]])  # as an hour after its end
    later = await anna.http.get(f"/chat/runs/{start['run_id']}/stream", headers={"Last-Event-ID": "1"})
    assert (later.status_code, envelope(later)["code"]) == (404, "not_found")
    again = await anna.http.post("/chat/stream", json={"message": "Hi"}, headers=key)
    assert (again.status_code, envelope(again)["details"]) == (409, [{"run_id": start["run_id"]}])
