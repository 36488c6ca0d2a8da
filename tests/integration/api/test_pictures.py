"""Pictures in questions: uploaded like files, shown to models that see, kept with the question."""

import base64
import struct
import zlib
from typing import Any

import pytest

from tests.conftest import Database
from tests.files.pictures import saved
from tests.integration.api.test_chat import messages
from tests.providers import AIHubServer, OllamaServer, OpenAIServer
from tests.support import Person

SEES, BLIND = "gpt-4o", "gpt-4"


def png(shade: int) -> bytes:
    """Return a small picture of one shade of grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([shade]) * 8 for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def asked_with(server: OpenAIServer, before: int, words: str) -> list[dict[str, Any]]:
    """Return the messages of the request for an answer to these words: titles are asked for beside it."""
    for chat in server.chats[before:]:
        found: list[dict[str, Any]] = chat.body["messages"]
        last = found[-1]["content"]
        text = last if isinstance(last, str) else last[-1]["text"]
        if text == words:
            return found
    raise AssertionError(f"nobody asked “{words}”")


def pictures_of(message: dict[str, Any]) -> list[bytes]:
    """Return the pictures that a message of OpenAI's wire shows."""
    parts = message["content"] if isinstance(message["content"], list) else []
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


async def test_a_picture_is_kept_and_shown_to_a_model_that_sees(anna: Person, openai: OpenAIServer) -> None:
    picture = await anna.indexed("walnut.png", png(40))
    assert (picture["status"], picture["error"], picture["mime"]) == ("completed", None, "image/png")
    before = len(openai.chats)
    answer = await anna.ask("What is on it?", image_file_ids=[picture["id"]], model_name=SEES)
    asked = asked_with(openai, before, "What is on it?")[-1]
    assert pictures_of(asked) == [png(40)]
    assert asked["content"][-1] == {"type": "text", "text": "What is on it?"}
    question = (await messages(anna, answer["conversation_id"]))[0]
    assert (question["content"], question["image_file_ids"]) == ("What is on it?", [picture["id"]])
    # It is still before the model's eyes when the talk goes on.
    before = len(openai.chats)
    await anna.ask("And its colour?", conversation_id=answer["conversation_id"])
    asked_again = asked_with(openai, before, "And its colour?")
    assert [len(pictures_of(message)) for message in asked_again] == [0, 1, 0, 0]


async def test_ollama_is_shown_pictures_in_its_own_way(anna: Person, ollama: OllamaServer) -> None:
    picture = await anna.indexed("oak.png", png(80))
    seeing = next(m["name"] for m in ollama.models if "clip" in m["details"]["families"])
    await anna.get("/models/list", mode="ollama")
    before = len(ollama.chats)
    asked: dict[str, Any] = {"image_file_ids": [picture["id"]], "model_source": "ollama"}
    await anna.ask("What is on it?", model_name=seeing, **asked)
    shown = ollama.chats[before].body["messages"][-1]
    assert (shown["content"].strip(), shown["images"]) == ("What is on it?", [base64.b64encode(png(80)).decode()])
    blind = next(m["name"] for m in ollama.models if "clip" not in m["details"]["families"])
    refused = await anna.http.post("/chat", json={"message": "?", "model_name": blind, **asked})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "model_cannot")


@pytest.mark.parametrize(("source", "name"), [("openai", BLIND), ("aihub", None)])
async def test_a_model_that_does_not_see_refuses_and_nothing_is_lost(
    source: str, name: str | None, anna: Person, aihub: AIHubServer
) -> None:
    picture = await anna.indexed("elm.png", png(10))
    body = {"message": "?", "image_file_ids": [picture["id"]], "model_source": source, "model_name": name}
    refused = await anna.http.post("/chat", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "model_cannot")
    assert (await anna.get("/conversations"))["items"] == []


async def test_a_model_that_does_not_see_reads_the_text_of_a_picture(anna: Person, openai: OpenAIServer) -> None:
    # Not waited for: the text is recognised while the question is asked.
    picture = await anna.upload("invoice.png", saved([["Invoice 2025-117", "Total due: 41 500 EUR"]], "PNG"))
    before = len(openai.chats)
    await anna.ask("What is to be paid?", image_file_ids=[picture["id"]], model_name=BLIND, use_rag=False)
    (question,) = (m for m in asked_with(openai, before, "What is to be paid?") if m["role"] == "user")
    assert pictures_of(question) == []
    assert "41 500 EUR" in str(question["content"])


async def test_a_talk_with_pictures_goes_on_with_a_model_that_does_not_see(anna: Person, openai: OpenAIServer) -> None:
    picture = await anna.indexed("fir.png", png(20))
    answer = await anna.ask("What is on it?", image_file_ids=[picture["id"]], model_name=SEES)
    before = len(openai.chats)
    await anna.ask("Thank you.", conversation_id=answer["conversation_id"], model_name=BLIND)
    asked = asked_with(openai, before, "Thank you.")
    assert [pictures_of(message) for message in asked] == [[]] * len(asked)
    assert "not shown" in str(asked[1]["content"])


async def test_another_answer_and_an_edited_question_see_the_same_pictures(anna: Person, openai: OpenAIServer) -> None:
    picture = await anna.indexed("ash.png", png(30))
    answer = await anna.ask("What is on it?", image_file_ids=[picture["id"]], model_name=SEES)
    here: dict[str, Any] = {"conversation_id": answer["conversation_id"], "model_name": SEES}
    before = len(openai.chats)
    await anna.ask("", regenerate=True, **here)
    assert pictures_of(asked_with(openai, before, "What is on it?")[-1]) == [png(30)]
    before = len(openai.chats)
    await anna.ask("What colour is it?", edit_of=answer["user_message_id"], **here)
    assert pictures_of(asked_with(openai, before, "What colour is it?")[-1]) == [png(30)]


async def test_pictures_survive_a_lost_state(anna: Person, openai: OpenAIServer, database: Database) -> None:
    picture = await anna.indexed("yew.png", png(50))
    answer = await anna.ask("What is on it?", image_file_ids=[picture["id"]], model_name=SEES)
    database.execute(
        "UPDATE messages SET checkpoint_id = NULL WHERE conversation_id = %s", (answer["conversation_id"],)
    )
    before = len(openai.chats)
    await anna.ask("And now?", conversation_id=answer["conversation_id"], model_name=SEES)
    assert [len(pictures_of(m)) for m in asked_with(openai, before, "And now?")] == [0, 1, 0, 0]


async def test_a_picture_whose_file_is_gone_is_told_as_that(anna: Person, openai: OpenAIServer) -> None:
    picture = await anna.indexed("box.png", png(60))
    answer = await anna.ask("What is on it?", image_file_ids=[picture["id"]], model_name=SEES)
    assert (await anna.http.delete(f"/files/{picture['id']}")).status_code == 204
    before = len(openai.chats)
    await anna.ask("Again?", conversation_id=answer["conversation_id"], model_name=SEES)
    assert all(pictures_of(message) == [] for message in asked_with(openai, before, "Again?"))


async def test_strangers_pictures_and_other_files_are_refused(anna: Person, boris: Person) -> None:
    theirs = await boris.indexed("secret.png", png(70))
    text = await anna.indexed("words.txt", b"Words.")
    for file_id, status in ((theirs["id"], 404), (text["id"], 422)):
        body = {"message": "?", "image_file_ids": [file_id], "model_name": SEES}
        answer = await anna.http.post("/chat", json=body)
        assert answer.status_code == status, answer.text
    many = await anna.http.post("/chat", json={"message": "?", "image_file_ids": [text["id"]] * 9})
    assert many.status_code == 422


async def test_pictures_are_searched_by_nobody(anna: Person) -> None:
    await anna.indexed("plum.png", png(90))
    await anna.indexed("plum.txt", b"A plum is a fruit.")
    found = (await anna.http.post("/search", json={"query": "plum"})).json()["passages"]
    assert [passage["file_name"] for passage in found] == ["plum.txt"]
