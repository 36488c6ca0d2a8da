"""Projects, assistants and saved prompts: what is saved, who sees it, and what a turn makes of it."""

import asyncio
import base64
from typing import Any

import pytest

from tests.conftest import Database, Join
from tests.integration.api.test_chat import messages
from tests.integration.api.test_libraries import admit, library
from tests.integration.api.test_personal import conversation, system_of
from tests.integration.api.test_scope import FOX, OWL, QUESTION, names
from tests.integration.api.test_waiting import read_on, until_action
from tests.providers import OllamaServer, OpenAIServer
from tests.support import Person

NOBODYS = "0199d0e4-53f2-7c3a-9d67-0c6f6d7c2b11"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


async def made(person: Person, path: str, **values: Any) -> dict[str, Any]:
    """Save something and return it."""
    answer = await person.http.post(path, json=values)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def administrator(join: Join, database: Database) -> Person:
    person = await join()
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (person.name,))
    return person


# --- projects -------------------------------------------------------------------------------------------------------


async def test_a_projects_conversations_follow_its_instructions_and_search_its_files(
    anna: Person, openai: OpenAIServer
) -> None:
    owl = await anna.indexed("owl.txt", OWL)
    await anna.indexed("fox.txt", FOX)
    project = await made(
        anna, "/projects", name="Forest", instructions="Answer in one word.", file_ids=[owl["id"], owl["id"]]
    )
    assert project["file_ids"] == [owl["id"]]
    thread = await conversation(anna, project_id=project["id"])
    assert thread["search_library"] is False, "it searches what the project brings, until its owner says otherwise"
    answer = await anna.ask(QUESTION, conversation_id=thread["id"])
    assert (names(answer), answer["searched"]) == ({"owl.txt"}, {"scope": "conversation", "files": 1})
    assert "Answer in one word." in system_of(openai)
    elsewhere = await anna.ask(QUESTION)
    assert names(elsewhere) == {"owl.txt", "fox.txt"}
    assert "one word" not in system_of(openai)
    changed = await anna.http.patch(f"/projects/{project['id']}", json={"instructions": None, "file_ids": []})
    assert (changed.json()["instructions"], changed.json()["file_ids"]) == (None, [])
    later = await anna.ask(QUESTION, conversation_id=thread["id"])
    assert (later["sources"], "one word" in system_of(openai)) == ([], False)


async def test_a_conversation_moves_into_a_project_and_out_of_it(anna: Person, openai: OpenAIServer) -> None:
    project = await made(anna, "/projects", name="Forest")
    inside = await anna.ask("Of bears")
    outside = await anna.ask("Of boats")
    path = f"/conversations/{inside['conversation_id']}"
    assert (await anna.http.patch(path, json={"project_id": project["id"]})).json()["project_id"] == project["id"]

    async def listed(**query: Any) -> list[str]:
        return [row["id"] for row in (await anna.get("/conversations", **query))["items"]]

    assert await listed(project_id=project["id"]) == [inside["conversation_id"]]
    assert await listed(outside_projects=True) == [outside["conversation_id"]]
    assert set(await listed()) == {inside["conversation_id"], outside["conversation_id"]}
    assert await listed(q="bears", outside_projects=True) == [inside["conversation_id"]], "a search looks everywhere"
    assert (await anna.http.patch(path, json={"project_id": None})).json()["project_id"] is None
    assert await listed(project_id=project["id"]) == []


async def test_a_deleted_project_leaves_its_conversations_and_files(anna: Person, openai: OpenAIServer) -> None:
    owl = await anna.indexed("owl.txt", OWL)
    project = await made(anna, "/projects", name="Forest", file_ids=[owl["id"]])
    thread = await conversation(anna, project_id=project["id"])
    assert (await anna.http.delete(f"/projects/{project['id']}")).status_code == 204
    assert (await anna.get(f"/conversations/{thread['id']}"))["project_id"] is None
    assert (await anna.get(f"/files/{owl['id']}"))["status"] == "completed"
    assert (await anna.ask("Still there?", conversation_id=thread["id"]))["response"]


async def test_a_chats_file_that_a_project_uses_outlives_the_chat(anna: Person, openai: OpenAIServer) -> None:
    thread = await conversation(anna, search_library=False)
    owl = await anna.indexed("owl.txt", OWL, conversation_id=thread["id"])
    assert owl["in_library"] is False
    project = await made(anna, "/projects", name="Forest", file_ids=[owl["id"]])
    assert (await anna.http.delete(f"/conversations/{thread['id']}")).status_code == 204
    other = await conversation(anna, project_id=project["id"])
    assert names(await anna.ask(QUESTION, conversation_id=other["id"])) == {"owl.txt"}


async def test_a_newer_file_takes_the_older_ones_place_in_projects_and_assistants(
    anna: Person, openai: OpenAIServer
) -> None:
    old = await anna.indexed("owl.txt", OWL)
    for path in ("/projects", "/assistants"):
        await made(anna, path, name="Forest", file_ids=[old["id"]])
    new = await anna.indexed("owl.txt", OWL + b" It wakes at dusk.")
    answer = await anna.http.post(f"/files/{new['id']}/replace", json={"file_id": old["id"]})
    assert answer.status_code == 200, answer.text
    for path in ("/projects", "/assistants"):
        assert (await anna.get(path))["items"][0]["file_ids"] == [new["id"]]


async def test_a_strangers_project_and_files_are_not_there(anna: Person, boris: Person) -> None:
    owl = await anna.indexed("owl.txt", OWL)
    project = await made(anna, "/projects", name="Forest")
    own = await made(boris, "/projects", name="Boats")
    one = f"/projects/{project['id']}"
    thread = (await conversation(boris))["id"]
    refused = [
        await boris.http.get(one),
        await boris.http.patch(one, json={"name": "Mine"}),
        await boris.http.delete(one),
        await boris.http.post("/conversations", json={"project_id": project["id"]}),
        await boris.http.patch(f"/conversations/{thread}", json={"project_id": project["id"]}),
        await boris.http.patch(f"/projects/{own['id']}", json={"file_ids": [owl["id"]]}),
        await boris.http.post("/projects", json={"name": "X", "file_ids": [owl["id"]]}),
        await boris.http.patch(f"/projects/{NOBODYS}", json={"name": "X"}),
    ]
    assert {answer.status_code for answer in refused} == {404}
    assert [row["name"] for row in (await boris.get("/projects"))["items"]] == ["Boats"]
    assert (await boris.get("/conversations", project_id=project["id"]))["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "x", "instructions": "y" * 8001},
        {"name": "x", "file_ids": ["no id"]},
        {"name": "x", "file_ids": [NOBODYS] * 201},
    ],
)
async def test_a_project_that_makes_no_sense_is_refused(anna: Person, body: dict[str, Any]) -> None:
    assert (await anna.http.post("/projects", json=body)).status_code == 422


async def test_saved_things_are_listed_page_by_page(anna: Person) -> None:
    wanted = [(await made(anna, "/projects", name=f"P{number}"))["id"] for number in range(5)][::-1]
    found: list[str] = []
    cursor = None
    while True:
        page = await anna.get("/projects", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == wanted
    assert (await anna.http.get("/projects", params={"cursor": "nonsense"})).status_code == 400


async def test_null_leaves_what_must_be_there(anna: Person) -> None:
    project = await made(anna, "/projects", name="Forest")
    same = await anna.http.patch(f"/projects/{project['id']}", json={"name": None, "file_ids": None})
    assert (same.status_code, same.json()["name"]) == (200, "Forest")


# --- assistants -----------------------------------------------------------------------------------------------------


async def test_an_assistant_answers_with_its_model_prompt_tools_and_files(
    anna: Person, openai: OpenAIServer, ollama: OllamaServer
) -> None:
    owl = await anna.indexed("owl.txt", OWL)
    await anna.indexed("fox.txt", FOX)
    assistant = await made(
        anna,
        "/assistants",
        name="Ranger",
        description="Knows the forest",
        picture=PICTURE,
        model_source="ollama",
        model_name="llama3.2:latest",
        system_prompt="You are a ranger.",
        tools=["calculate"],
        file_ids=[owl["id"]],
    )
    assert (assistant["picture"], assistant["is_owner"], assistant["owner"]) == (PICTURE, True, anna.name)
    thread = await conversation(anna, assistant_id=assistant["id"])
    assert (thread["model_source"], thread["system_prompt"], thread["tools"]) == (None, None, None)
    answer = await anna.ask(QUESTION, conversation_id=thread["id"])
    assert (answer["model_source"], answer["model_name"]) == ("ollama", "llama3.2:latest")
    assert names(answer) == {"owl.txt"}
    asked = ollama.chats[-1].body
    assert asked["messages"][0]["content"].startswith("You are a ranger.")
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["calculate"]
    await anna.http.patch(f"/assistants/{assistant['id']}", json={"system_prompt": "You are a bear."})
    await anna.ask("And now?", conversation_id=thread["id"])
    assert ollama.chats[-1].body["messages"][0]["content"].startswith("You are a bear."), "changes reach old chats"
    own = {"system_prompt": "You are an owl.", "model_source": "openai", "tools": []}
    await anna.http.patch(f"/conversations/{thread['id']}", json=own)
    there = await anna.ask("And now?", conversation_id=thread["id"])
    assert there["model_source"] == "openai", "what the conversation says itself goes before"
    assert system_of(openai).startswith("You are an owl.")
    assert not openai.chats[-1].body.get("tools")


async def test_a_shared_assistant_is_chatted_with_and_its_files_stay_its_owners(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    owl = await anna.indexed("owl.txt", OWL)
    assistant = await made(anna, "/assistants", name="Ranger", system_prompt="You are a ranger.", file_ids=[owl["id"]])
    path = f"/assistants/{assistant['id']}"
    assert (await boris.http.get(path)).status_code == 404
    assert (await boris.http.post("/conversations", json={"assistant_id": assistant["id"]})).status_code == 404
    await anna.http.patch(path, json={"shared": True})
    seen = await boris.get(path)
    assert (seen["owner"], seen["is_owner"], seen["file_ids"]) == (anna.name, False, [])
    assert assistant["id"] in [row["id"] for row in (await boris.get("/assistants"))["items"]]
    assert (await boris.http.patch(path, json={"name": "Mine"})).status_code == 404
    assert (await boris.http.delete(path)).status_code == 404
    thread = await conversation(boris, assistant_id=assistant["id"])
    answer = await boris.ask(QUESTION, conversation_id=thread["id"])
    assert system_of(openai).startswith("You are a ranger.")
    assert answer["sources"] == [], "whoever may not read a file does not find it through an assistant either"
    found = await boris.http.post("/search", json={"query": QUESTION, "conversation_id": thread["id"]})
    assert found.json()["passages"] == []
    await boris.indexed("fox.txt", FOX)
    fresh = await conversation(boris, assistant_id=assistant["id"])
    assert fresh["search_library"] is True, "files that are not his are no reason to leave his own out"
    assert names(await boris.ask(QUESTION, conversation_id=fresh["id"])) == {"fox.txt"}
    await anna.http.patch(path, json={"shared": False})
    await boris.ask("Still a ranger?", conversation_id=thread["id"])
    assert "ranger." not in system_of(openai), "what is no longer shared is gone from the next answer on"
    assert (await boris.http.get(path)).status_code == 404


async def test_an_assistant_that_is_no_longer_shared_brings_no_files_and_libraries(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    forest, pond = await library(anna, "Forest"), await library(anna, "Pond")
    await anna.indexed("owl.txt", OWL, library_id=forest)
    fox = await anna.indexed("fox.txt", FOX, library_id=pond)
    for each in (forest, pond):
        await admit(anna, each, username=boris.name)
    brought = {"library_ids": [forest], "file_ids": [fox["id"]]}
    assistant = await made(anna, "/assistants", name="Ranger", shared=True, **brought)
    thread = await conversation(boris, assistant_id=assistant["id"])
    assert names(await boris.ask(QUESTION, conversation_id=thread["id"])) == {"owl.txt", "fox.txt"}
    await anna.http.patch(f"/assistants/{assistant['id']}", json={"shared": False})
    assert names(await boris.ask(QUESTION, conversation_id=thread["id"])) == set()


async def test_a_deleted_assistant_leaves_its_conversations(anna: Person, openai: OpenAIServer) -> None:
    assistant = await made(anna, "/assistants", name="Ranger", system_prompt="You are a ranger.")
    thread = await conversation(anna, assistant_id=assistant["id"])
    await anna.ask("Hello", conversation_id=thread["id"])
    assert (await anna.http.delete(f"/assistants/{assistant['id']}")).status_code == 204
    await anna.ask("And now?", conversation_id=thread["id"])
    assert "ranger" not in system_of(openai)
    assert len(await messages(anna, thread["id"])) == 4


@pytest.mark.parametrize(
    "picture",
    [
        "https://example.org/a.png",
        "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=",
        "data:image/png;base64,bm90IGEgcGljdHVyZQ==",
        "data:image/png;base64,%%%",
        "data:text/html;base64,iVBORw0KGgo=",
        PICTURE + "A" * 40_000,
    ],
)
async def test_a_picture_that_is_none_is_refused(anna: Person, picture: str) -> None:
    assert (await anna.http.post("/assistants", json={"name": "x", "picture": picture})).status_code == 422


async def test_an_administrator_deletes_what_is_shared_and_nothing_else(
    join: Join, database: Database, anna: Person
) -> None:
    admin = await administrator(join, database)
    for path, body in (("/assistants", {"name": "A"}), ("/prompts", {"title": "T", "content": "C"})):
        private = await made(anna, path, **body)
        shared = await made(anna, path, **body, shared=True)
        assert (await admin.http.delete(f"{path}/{private['id']}")).status_code == 404
        assert (await admin.http.patch(f"{path}/{shared['id']}", json={"shared": False})).status_code == 404
        assert (await admin.http.delete(f"{path}/{shared['id']}")).status_code == 204


async def test_there_is_an_end_to_saving(anna: Person) -> None:
    answers = await asyncio.gather(
        *(anna.http.post("/prompts", json={"title": f"T{number}", "content": "C"}) for number in range(200))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert (await anna.http.post("/prompts", json={"title": "One more", "content": "C"})).status_code == 409


# --- prompts --------------------------------------------------------------------------------------------------------


async def test_prompts_are_saved_shared_changed_and_deleted(anna: Person, boris: Person) -> None:
    prompt = await made(anna, "/prompts", title="Summary", content="Summarise {{text}} in {{words}} words.")
    assert prompt["id"] not in [row["id"] for row in (await boris.get("/prompts"))["items"]]
    path = f"/prompts/{prompt['id']}"
    await anna.http.patch(path, json={"shared": True, "title": "Short"})
    found = next(row for row in (await boris.get("/prompts"))["items"] if row["id"] == prompt["id"])
    assert (found["title"], found["owner"], found["is_owner"]) == ("Short", anna.name, False)
    assert found["content"] == prompt["content"]
    assert (await boris.http.patch(path, json={"title": "Mine"})).status_code == 404
    assert (await boris.http.delete(path)).status_code == 404
    assert (await anna.http.delete(path)).status_code == 204
    assert (await anna.http.delete(path)).status_code == 404
    for body in ({"title": "x"}, {"title": "", "content": "y"}, {"title": "x", "content": ""}):
        assert (await anna.http.post("/prompts", json=body)).status_code == 422


async def test_a_run_that_goes_on_later_says_the_same_to_its_model(anna: Person, openai: OpenAIServer) -> None:
    """What waits for a person, or is taken over, is loaded by another statement than what begins."""
    await anna.http.patch("/profile", json={"instructions": "Begin with Ahoy."})
    await anna.http.post("/memories", json={"text": "Anna lives in Riga."})
    project = await made(anna, "/projects", name="Forest", instructions="Answer in one word.")
    assistant = await made(
        anna, "/assistants", name="Ranger", system_prompt="You are a ranger.", model_source="openai", tools=["remember"]
    )
    thread = await conversation(anna, assistant_id=assistant["id"], project_id=project["id"])
    openai.script(rounds=[[("remember", {"fact": "Likes tea."})]])
    seen = await until_action(anna, message="I like tea", conversation_id=thread["id"])
    before = system_of(openai)
    for words in ("You are a ranger.", "Answer in one word.", "Begin with Ahoy.", "Anna lives in Riga."):
        assert words in before
    decisions = {"decisions": [{"step_id": seen[-2].data["step"]["id"], "decision": "approve"}]}
    asked = len(openai.chats)
    assert (await anna.http.post(f"/chat/runs/{seen[0].data['run_id']}/resume", json=decisions)).status_code == 202
    assert (await read_on(anna, seen[0].data["run_id"], seen[-1].id))[-1].name == "done"
    assert len(openai.chats) > asked
    after = system_of(openai)
    assert after.replace("- Likes tea.", "").split() == before.split(), "but for what it has learned meanwhile"
