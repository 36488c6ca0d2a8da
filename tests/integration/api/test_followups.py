"""Follow-up questions are searched for as what they mean."""

from typing import Any

from tests.providers import OpenAIServer
from tests.support import Person

FACTS = b"""# Warranty of drills

The warranty of the Falcon drill is 37 months from the day of delivery.

# Warranty of saws

The warranty of the Condor saw is 11 months from the day of delivery.

# Colours

Every tool is sold in green and in grey.
"""


async def retrieve_step(person: Person, message_id: str) -> dict[str, Any]:
    nodes = (await person.get(f"/messages/{message_id}/trace"))["nodes"]
    found: dict[str, Any] = next(node["output"] for node in nodes if node["node"] == "retrieve")
    return found


async def test_a_model_makes_a_follow_up_whole(anna: Person, openai: OpenAIServer) -> None:
    file = await anna.indexed("tools.md", FACTS)
    first = await anna.ask("How many months is the warranty of the Falcon drill?", file_ids=[file["id"]])
    thread = first["conversation_id"]
    await anna.ask("Thank you very much for this helpful and quick answer.", conversation_id=thread, use_rag=False)
    answer = await anna.ask("And of the Condor?", conversation_id=thread, file_ids=[file["id"]])
    step = await retrieve_step(anna, answer["message_id"])
    # The double makes it whole of all that the user has said; the previous message alone has no warranty in it.
    assert step["query"] == step["condensed"]["query"]
    assert "warranty" in step["query"]
    assert "And of the Condor?" in step["query"]
    assert "11 months" in answer["sources"][0]["snippet"]


async def test_a_question_that_stands_alone_asks_no_model(anna: Person, openai: OpenAIServer) -> None:
    file = await anna.indexed("tools.md", FACTS)
    first = await anna.ask("How many months is the warranty of the Falcon drill?", file_ids=[file["id"]])
    asked = len(openai.requests)
    question = "In which colours are tools of every kind sold by the company?"
    answer = await anna.ask(question, conversation_id=first["conversation_id"], file_ids=[file["id"]])
    step = await retrieve_step(anna, answer["message_id"])
    assert "condensed" not in step
    assert step["query"] == question
    completions = [r for r in openai.requests[asked:] if isinstance(r.body, dict) and "Rewrite" in str(r.body)]
    assert completions == []


async def test_a_model_that_fails_at_it_costs_nothing(anna: Person, openai: OpenAIServer) -> None:
    """The plain search stands in; the answer itself is asked for as ever."""
    file = await anna.indexed("tools.md", FACTS)
    # With a title of its own, so that no request for one comes between.
    thread = (await anna.http.post("/conversations", json={"title": "Tools"})).json()["id"]
    asked: dict[str, Any] = {"conversation_id": thread, "file_ids": [file["id"]]}
    await anna.ask("How many months is the warranty of the Condor saw?", **asked)
    openai.script(fault="500", times=1)
    answer = await anna.ask("And of drills?", **asked)
    step = await retrieve_step(anna, answer["message_id"])
    assert step["condensed"]["error"] is not None
    assert step["query"].endswith("And of drills?")
    assert answer["sources"]
