"""What a turn searches: named files, its conversation's, or all of its caller's; and that it says so."""

from typing import Any

import pytest

from tests.integration.api.test_followups import retrieve_step
from tests.providers import OpenAIServer
from tests.support import Person

OWL = b"The owl of the northern forest sleeps in hollow spruces."
FOX = b"The fox of the northern forest sleeps in hollow oaks."
QUESTION = "Where does the animal of the northern forest sleep?"


async def conversation(person: Person, **values: Any) -> str:
    """Begin a conversation and return its id."""
    made = await person.http.post("/conversations", json=values)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def names(answer: dict[str, Any]) -> set[str]:
    return {source["file_name"] for source in answer["sources"]}


async def test_a_new_chat_searches_the_library(anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("owl.txt", OWL)
    await anna.indexed("fox.txt", FOX)
    answer = await anna.ask(QUESTION)
    assert names(answer) == {"owl.txt", "fox.txt"}
    assert answer["searched"] == {"scope": "library", "files": 2}
    assert (await retrieve_step(anna, answer["message_id"]))["scope"] == "library"


async def test_a_conversation_can_be_kept_to_its_own_files(anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("owl.txt", OWL)
    thread = await conversation(anna, search_library=False)
    nothing = await anna.ask(QUESTION, conversation_id=thread)
    assert (nothing["sources"], nothing["searched"]) == ([], {"scope": "none", "files": 0})
    await anna.indexed("fox.txt", FOX, conversation_id=thread)
    own = await anna.ask(QUESTION, conversation_id=thread)
    assert (names(own), own["searched"]) == ({"fox.txt"}, {"scope": "conversation", "files": 1})
    found = (await anna.http.post("/search", json={"query": QUESTION, "conversation_id": thread})).json()["passages"]
    assert {hit["file_name"] for hit in found} == {"fox.txt"}
    changed = await anna.http.patch(f"/conversations/{thread}", json={"search_library": True})
    assert changed.json()["search_library"] is True
    everything = await anna.ask(QUESTION, conversation_id=thread)
    assert (names(everything), everything["searched"]["scope"]) == ({"owl.txt", "fox.txt"}, "library")


async def test_a_library_file_that_is_used_in_a_conversation_stays_in_the_library(
    anna: Person, openai: OpenAIServer
) -> None:
    """For the next chat, and when the conversation is gone."""
    owl = await anna.indexed("owl.txt", OWL)
    thread = await conversation(anna, search_library=False)
    attached = await anna.http.post(f"/files/{owl['id']}/attach", json={"conversation_id": thread})
    assert (attached.json()["in_library"], attached.json()["conversation_ids"]) == (True, [thread])
    assert names(await anna.ask(QUESTION)) == {"owl.txt"}
    assert names(await anna.ask(QUESTION, conversation_id=thread)) == {"owl.txt"}
    await anna.http.delete(f"/conversations/{thread}")
    assert (await anna.get(f"/files/{owl['id']}"))["conversation_ids"] == []
    assert names(await anna.ask(QUESTION)) == {"owl.txt"}


async def test_a_conversations_file_goes_to_the_library_when_it_is_taken_out_or_uploaded_there(
    anna: Person, openai: OpenAIServer
) -> None:
    first, second = await conversation(anna), await conversation(anna)
    owl = await anna.indexed("owl.txt", OWL, conversation_id=first)
    fox = await anna.indexed("fox.txt", FOX, conversation_id=second)
    assert (owl["in_library"], fox["in_library"]) == (False, False)
    assert names(await anna.ask(QUESTION)) == set()
    taken_out = await anna.http.post(f"/files/{owl['id']}/detach", json={"conversation_id": first})
    assert taken_out.json()["in_library"] is True
    assert (await anna.upload("fox.txt", FOX))["in_library"] is True
    await anna.http.delete(f"/conversations/{second}")
    assert names(await anna.ask(QUESTION)) == {"owl.txt", "fox.txt"}


async def test_named_files_come_first(anna: Person, openai: OpenAIServer) -> None:
    owl = await anna.indexed("owl.txt", OWL)
    await anna.indexed("fox.txt", FOX)
    answer = await anna.ask(QUESTION, file_ids=[owl["id"]])
    assert (names(answer), answer["searched"]) == ({"owl.txt"}, {"scope": "files", "files": 1})


@pytest.mark.parametrize("use_rag", [True, False])
async def test_nothing_is_searched_without_files_or_wish(use_rag: bool, anna: Person, openai: OpenAIServer) -> None:
    if not use_rag:
        await anna.indexed("owl.txt", OWL)
    events = await anna.stream(QUESTION, use_rag=use_rag)
    assert events[-1].data["searched"] == {"scope": "none", "files": 0}


async def test_the_scope_leaves_and_comes_back(anna: Person, openai: OpenAIServer) -> None:
    thread = await conversation(anna, search_library=False)
    await anna.ask("Hello", conversation_id=thread)
    exported = await anna.http.get(f"/conversations/{thread}/export")
    imported = await anna.http.post("/conversations/import", content=exported.content)
    (copy,) = imported.json()["conversation_ids"]
    assert (await anna.get(f"/conversations/{copy}"))["search_library"] is False


async def test_nobody_searches_another_library(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    await boris.indexed("owl.txt", OWL)
    await anna.indexed("fox.txt", FOX)
    answer = await anna.ask(QUESTION)
    assert names(answer) == {"fox.txt"}
    assert answer["searched"]["files"] == 1


@pytest.mark.parametrize("value", [None, "yes please", 7])
async def test_a_scope_that_is_none_is_refused(value: Any, anna: Person) -> None:
    thread = await conversation(anna)
    said = await anna.http.patch(f"/conversations/{thread}", json={"search_library": value})
    assert said.status_code == 422
