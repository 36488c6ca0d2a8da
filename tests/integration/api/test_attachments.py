"""Files are told on the question that came with them."""

from typing import Any

from tests.integration.api.test_scope import FOX, OWL, conversation
from tests.providers import OpenAIServer
from tests.support import Person


async def messages(person: Person, thread: str) -> list[dict[str, Any]]:
    return list((await person.get(f"/conversations/{thread}/messages"))["items"])


async def unasked(person: Person, thread: str) -> list[str]:
    """Return the names of files that wait for the next question."""
    listed = await person.get("/files", conversation_id=thread, unasked=True)
    return sorted(file["name"] for file in listed["items"])


def attached(message: dict[str, Any]) -> list[str]:
    return [file["name"] for file in message["attachments"]]


async def test_a_question_has_the_files_that_came_before_it(anna: Person, openai: OpenAIServer) -> None:
    thread = await conversation(anna)
    owl = await anna.upload("owl.txt", OWL, conversation_id=thread)
    assert await unasked(anna, thread) == ["owl.txt"]
    await anna.ask("Who sleeps?", conversation_id=thread)
    assert await unasked(anna, thread) == []
    await anna.upload("fox.txt", FOX, conversation_id=thread)
    await anna.ask("And who else?", conversation_id=thread)
    first, answer, second, _ = await messages(anna, thread)
    assert first["attachments"] == [{"file_id": owl["id"], "name": "owl.txt"}]
    assert (attached(answer), attached(second)) == ([], ["fox.txt"])


async def test_another_version_of_a_question_keeps_its_files(anna: Person, openai: OpenAIServer) -> None:
    thread = await conversation(anna)
    await anna.upload("owl.txt", OWL, conversation_id=thread)
    asked = await anna.ask("Who sleeps?", conversation_id=thread)
    await anna.ask("Who sleeps where?", conversation_id=thread, edit_of=asked["user_message_id"])
    question, _ = await messages(anna, thread)
    assert (question["content"], attached(question)) == ("Who sleeps where?", ["owl.txt"])
    await anna.ask("", conversation_id=thread, regenerate=True)
    assert attached((await messages(anna, thread))[0]) == ["owl.txt"]


async def test_a_file_that_is_gone_is_gone_from_its_question(anna: Person, openai: OpenAIServer) -> None:
    thread = await conversation(anna)
    owl = await anna.upload("owl.txt", OWL, conversation_id=thread)
    await anna.ask("Who sleeps?", conversation_id=thread)
    await anna.http.delete(f"/files/{owl['id']}")
    assert attached((await messages(anna, thread))[0]) == []


async def test_a_new_version_stands_on_the_question_of_the_old_one(anna: Person, openai: OpenAIServer) -> None:
    thread = await conversation(anna)
    old = await anna.indexed("owl.txt", OWL, conversation_id=thread)
    await anna.ask("Who sleeps?", conversation_id=thread)
    new = await anna.indexed("owl.txt", OWL + b" At night it hunts.", replaces=old["id"])
    assert (await messages(anna, thread))[0]["attachments"] == [{"file_id": new["id"], "name": "owl.txt"}]
    assert await unasked(anna, thread) == []
