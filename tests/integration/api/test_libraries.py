"""Shared libraries: who asks them, who changes them, and that what is taken away is gone everywhere at once."""

import json
from typing import Any

import pytest

from tests.conftest import Database, Join
from tests.integration.api.test_auth import envelope
from tests.integration.api.test_scope import FOX, OWL, QUESTION, conversation, names
from tests.integration.api.test_shares import shared
from tests.providers import OpenAIServer
from tests.support import Person, events_of


async def user_id(person: Person) -> str:
    return str((await person.get("/auth/me"))["id"])


async def library(person: Person, name: str = "Forest", **fields: Any) -> str:
    """Make a library and return its id."""
    made = await person.http.post("/libraries", json={"name": name, **fields})
    assert made.status_code == 201, made.text
    assert made.json()["role"] == "editor"
    return str(made.json()["id"])


async def admit(person: Person, where: str, **member: Any) -> list[dict[str, Any]]:
    """Let somebody into a library; return its members."""
    done = await person.http.put(f"/libraries/{where}/members", json=member)
    assert done.status_code == 200, done.text
    members: list[dict[str, Any]] = done.json()["items"]
    return members


async def expel(person: Person, where: str, name: str) -> None:
    """Take a library away from a member by name."""
    members = (await person.get(f"/libraries/{where}/members"))["items"]
    (member,) = [member for member in members if member["name"] == name]
    gone = await person.http.delete(f"/libraries/{where}/members/{member['id']}")
    assert gone.status_code == 204, gone.text


async def group(admin: Person, name: str, *members: Person, manager: Person | None = None) -> str:
    """Make a group with these members; return its id."""
    made = await admin.http.post("/groups", json={"name": name})
    assert made.status_code == 201, made.text
    id_ = str(made.json()["id"])
    for person in (*members, *([manager] if manager else ())):
        body = {"username": person.name, "role": "manager" if person is manager else "member"}
        assert (await admin.http.put(f"/groups/{id_}/members", json=body)).status_code == 204
    return id_


@pytest.fixture
async def admin(join: Join, database: Database) -> Person:
    """An administrator."""
    person = await join()
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (person.name,))
    return person


async def search(person: Person, **scope: Any) -> set[str]:
    found = await person.http.post("/search", json={"query": QUESTION, **scope})
    assert found.status_code == 200, found.text
    return {passage["file_name"] for passage in found.json()["passages"]}


async def test_members_ask_a_library_and_strangers_do_not(
    anna: Person, boris: Person, join: Join, openai: OpenAIServer
) -> None:
    forest = await library(anna, description="Animals")
    owl = await anna.indexed("owl.txt", OWL, library_id=forest)
    assert (owl["in_library"], owl["library_ids"], owl["is_owner"]) == (False, [forest], True)
    assert await search(anna) == {"owl.txt"}, "one's own files are one's own"
    assert await search(anna, library_ids=[forest]) == {"owl.txt"}
    stranger = await boris.http.post("/search", json={"query": QUESTION, "library_ids": [forest]})
    assert (stranger.status_code, envelope(stranger)["code"]) == (404, "not_found")
    await admit(anna, forest, username=boris.email, role="viewer")
    seen = await boris.get(f"/libraries/{forest}")
    assert (seen["role"], seen["files"], seen["members"], seen["is_default"]) == ("viewer", 1, 2, False)
    assert await search(boris) == set(), "a library that is no default one is asked where it is chosen"
    answer = await boris.ask(QUESTION, library_ids=[forest])
    assert (names(answer), answer["searched"]) == ({"owl.txt"}, {"scope": "libraries", "files": 1})
    assert (await boris.get(f"/files/{owl['id']}/text"))["text"] == OWL.decode()
    assert (await boris.get(f"/files/{owl['id']}"))["owner"] == anna.name
    clara = await join()
    assert (await clara.http.get(f"/files/{owl['id']}/text")).status_code == 404
    refused = await clara.http.post("/chat", json={"message": QUESTION, "library_ids": [forest]})
    assert refused.status_code == 404


async def test_default_libraries_of_a_group_are_part_of_every_chat_until_taken_out(
    anna: Person, boris: Person, admin: Person, openai: OpenAIServer
) -> None:
    forest, hidden = await library(anna), await library(anna, "Hidden")
    await anna.indexed("owl.txt", OWL, library_id=forest)
    await anna.indexed("fox.txt", FOX, library_id=hidden)
    rangers = await group(admin, f"Rangers {forest}", boris)
    await admit(anna, forest, group_id=rangers, is_default=True)
    await admit(anna, hidden, group_id=rangers)
    assert await search(boris) == {"owl.txt"}
    answer = await boris.ask(QUESTION)
    assert (names(answer), answer["searched"]["files"]) == ({"owl.txt"}, 1)
    thread = answer["conversation_id"]
    assert (await boris.get(f"/conversations/{thread}"))["library_ids"] is None
    for chosen, expected in (([], set()), ([hidden], {"fox.txt"}), ([forest, hidden], {"owl.txt", "fox.txt"})):
        changed = await boris.http.patch(f"/conversations/{thread}", json={"library_ids": chosen})
        assert changed.json()["library_ids"] == chosen
        assert names(await boris.ask(QUESTION, conversation_id=thread)) == expected
        assert await search(boris, conversation_id=thread) == expected
    again = await boris.http.patch(f"/conversations/{thread}", json={"library_ids": None})
    assert again.json()["library_ids"] is None
    assert await search(boris, conversation_id=thread) == {"owl.txt"}
    assert (await admin.http.delete(f"/groups/{rangers}")).status_code == 204
    assert await search(boris, conversation_id=thread) == set()
    refused = await boris.http.patch(f"/conversations/{thread}", json={"library_ids": [forest]})
    assert refused.status_code == 404


async def test_a_newer_version_of_a_file_that_was_taken_away_is_told_nowhere(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    forest = await library(anna)
    await admit(anna, forest, username=boris.name)
    owl = await anna.indexed("owl.txt", OWL, library_id=forest)
    thread = await conversation(boris)
    attached = await boris.http.post(f"/files/{owl['id']}/attach", json={"conversation_id": thread})
    assert attached.status_code < 300, attached.text
    await boris.ask(QUESTION, conversation_id=thread)

    async def told() -> list[list[str]]:
        question, _ = (await boris.get(f"/conversations/{thread}/messages"))["items"]
        exported = await boris.get(f"/conversations/{thread}/export", format="json")
        return [[file["name"] for file in files] for files in (question["attachments"], exported["files"])]

    assert await told() == [["owl.txt"], ["owl.txt"]]
    await expel(anna, forest, boris.name)
    newer = await anna.indexed("layoffs.txt", FOX, library_id=forest, replaces=owl["id"])
    assert (await anna.http.get(f"/files/{owl['id']}")).status_code == 404, "it has been replaced"
    assert (await boris.http.get(f"/files/{newer['id']}")).status_code == 404
    assert await told() == [[], []]
    await admit(anna, forest, username=boris.name)
    assert await told() == [["layoffs.txt"], ["layoffs.txt"]]


async def test_a_shared_assistant_brings_its_libraries_to_whoever_sees_them(
    anna: Person, boris: Person, join: Join, openai: OpenAIServer
) -> None:
    forest = await library(anna)
    owl = await anna.indexed("owl.txt", OWL, library_id=forest)
    await admit(anna, forest, username=boris.name)
    for brought in ({"library_ids": [forest]}, {"file_ids": [owl["id"]]}):
        body = {"name": "Ranger", "shared": True, **brought}
        made = (await anna.http.post("/assistants", json=body)).json()
        thread = await conversation(boris, assistant_id=made["id"])
        assert names(await boris.ask(QUESTION, conversation_id=thread)) == {"owl.txt"}
        clara = await join()
        thread = await conversation(clara, assistant_id=made["id"])
        assert names(await clara.ask(QUESTION, conversation_id=thread)) == set()
        assert (await clara.get(f"/assistants/{made['id']}"))["file_ids"] == []
    project = await boris.http.post("/projects", json={"name": "Owls", "library_ids": [forest]})
    thread = await conversation(boris, project_id=project.json()["id"])
    assert await search(boris, conversation_id=thread) == {"owl.txt"}
    assert (await clara.http.post("/projects", json={"name": "Owls", "library_ids": [forest]})).status_code == 404


async def test_what_is_taken_away_is_gone_from_every_record_of_old_answers(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    """The file's name stays, its text does not: and it is back when the right to it is."""
    forest = await library(anna)
    file = await anna.indexed("owl.txt", OWL, library_id=forest)
    await admit(anna, forest, username=boris.name)
    openai.script(reply="In spruces [1].")
    answer = await boris.ask(QUESTION, library_ids=[forest])
    thread, message, run = answer["conversation_id"], answer["message_id"], answer["run_id"]
    share = await shared(boris, thread, with_sources=True)
    text = OWL.decode()

    async def stream() -> str:
        async with boris.http.stream("GET", f"/chat/runs/{run}/stream") as response:
            return json.dumps([event.data async for event in events_of(response)])

    async def records() -> dict[str, str]:
        root = {"base_url": boris.http.base_url.join("/langgraph/")}
        found = {
            "messages": await boris.get(f"/conversations/{thread}/messages", leaf=message),
            "trace": await boris.get(f"/messages/{message}/trace"),
            "checkpoints": await boris.get(f"/conversations/{thread}/checkpoints"),
            "share": await anna.get(f"/shared/{share['token']}"),
            "export": (await boris.http.get(f"/conversations/{thread}/export")).json(),
            "state": (await boris.http.get(str(root["base_url"].join(f"threads/{thread}/state")))).json(),
        }
        return {name: json.dumps(told) for name, told in found.items()} | {"stream": await stream()}

    def holding(told: dict[str, str]) -> set[str]:
        return {name for name, record in told.items() if text in record}

    before = await records()
    assert holding(before) == {"messages", "trace", "share", "export", "stream"}
    await expel(anna, forest, boris.name)
    after = await records()
    assert holding(after) == set()
    assert {name for name, record in after.items() if "owl.txt" in record} >= holding(before)
    (source,) = json.loads(after["messages"])["items"][1]["sources"]
    assert (source["available"], source["snippet"], source["highlight"]) == (False, "", None)
    assert "can't read this file any more" in after["trace"]
    for path in ("", "/text", "/chunks", "/content"):
        assert (await boris.http.get(f"/files/{file['id']}{path}")).status_code == 404
    again = await boris.http.post(f"/messages/{message}/replay", json={})
    assert text not in again.text
    await admit(anna, forest, username=boris.name)
    assert holding(await records()) == holding(before)
    # The file itself deleted by its owner is gone as well.
    await anna.http.delete(f"/files/{file['id']}")
    assert holding(await records()) == set()


async def test_rows_of_a_table_that_was_taken_away_are_withheld(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    books = await library(anna, "Books")
    await anna.indexed("sales.csv", b"region,amount\nNorth,1200\nSouth,99\n", library_id=books)
    await admit(anna, books, username=boris.name)
    calls = [[("query_table", {"sql": "SELECT max(amount) AS best FROM sales"})]]
    openai.script(rounds=calls, reply="It is in the table.")
    thread = await conversation(boris, library_ids=[books])
    answer = await boris.ask("How much at most?", conversation_id=thread, tools=["query_table"])
    assert "1200" in answer["steps"][0]["result_preview"]
    places = [
        f"/conversations/{thread}/messages",
        f"/conversations/{thread}/checkpoints",
        f"/messages/{answer['message_id']}/trace",
        f"/conversations/{thread}/export",
    ]
    told = [(await boris.http.get(place)).text for place in places]
    assert ["best\\n1200" in text for text in told] == [True] * len(places)
    await expel(anna, books, boris.name)
    told = [(await boris.http.get(place)).text for place in places]
    assert ["1200" in text for text in told] == [False] * len(places)
    step = (await boris.get(places[0]))["items"][1]["steps"][0]
    assert (step["available"], step["result_preview"]) == (False, "")


async def test_viewers_read_and_editors_change(anna: Person, boris: Person, join: Join) -> None:
    forest = await library(anna)
    owl = await anna.indexed("owl.txt", OWL, library_id=forest)
    fox = await boris.indexed("fox.txt", FOX)
    await admit(anna, forest, username=boris.name)
    here, members = f"/libraries/{forest}", f"/libraries/{forest}/members"
    for refused in (
        await boris.http.patch(here, json={"name": "Mine"}),
        await boris.http.delete(here),
        await boris.http.post(f"{here}/files", json={"file_id": fox["id"]}),
        await boris.http.delete(f"{here}/files/{owl['id']}"),
        await boris.http.put(members, json={"username": boris.name, "role": "editor"}),
        await boris.http.post("/files/upload", files={"file": ("a.txt", b"a")}, data={"library_id": forest}),
    ):
        assert (refused.status_code, envelope(refused)["code"]) == (403, "forbidden")
    # What is another's file stays theirs, also where one may read it.
    for refused in (
        await boris.http.delete(f"/files/{owl['id']}"),
        await boris.http.post(f"/files/process/{owl['id']}"),
        await boris.http.post(f"/files/{fox['id']}/replace", json={"file_id": owl["id"]}),
    ):
        assert refused.status_code == 404
    await admit(anna, forest, username=boris.name, role="editor")
    assert (await boris.http.patch(here, json={"name": "Wood", "description": None})).json()["name"] == "Wood"
    assert (await boris.http.post(f"{here}/files", json={"file_id": fox["id"]})).json()["library_ids"] == [forest]
    stolen = await boris.http.post(f"{here}/files", json={"file_id": owl["id"]})
    assert stolen.status_code == 404, "another's file is not one's to share further"
    listed = await anna.get(f"{here}/files", limit=1)
    assert [file["name"] for file in listed["items"]] == ["fox.txt"]
    following = await anna.get(f"{here}/files", limit=1, cursor=listed["next_cursor"])
    assert [file["name"] for file in following["items"]] == ["owl.txt"]
    his = {"conversation_id": await conversation(boris)}
    assert (await boris.http.post(f"/files/{owl['id']}/attach", json=his)).status_code == 200
    assert (await boris.http.delete(f"{here}/files/{owl['id']}")).status_code == 204
    back = await anna.get(f"/files/{owl['id']}")
    assert (back["in_library"], back["library_ids"]) == (True, []), "nothing is left where nobody finds it"
    assert (await boris.http.get(f"/files/{owl['id']}")).status_code == 404
    clara = await join()
    nobody = await anna.http.put(members, json={"username": "nobody at all"})
    assert nobody.status_code == 404
    assert (await clara.http.put(members, json={"username": anna.name})).status_code == 404
    assert (await clara.http.get(here)).status_code == 404


async def test_a_library_keeps_an_editor(anna: Person, boris: Person) -> None:
    forest = await library(anna)
    members = f"/libraries/{forest}/members"
    lowered = await anna.http.put(members, json={"username": anna.name, "role": "viewer"})
    assert (lowered.status_code, envelope(lowered)["code"]) == (409, "conflict")
    (own,) = (await anna.get(members))["items"]
    assert (await anna.http.delete(f"{members}/{own['id']}")).status_code == 409
    await admit(anna, forest, username=boris.name)
    await admit(anna, forest, username=boris.name, role="editor")
    assert (await anna.http.delete(f"{members}/{own['id']}")).status_code == 204
    assert (await anna.http.get(f"/libraries/{forest}")).status_code == 404
    assert [member["name"] for member in (await boris.get(members))["items"]] == [boris.name]
    await admit(boris, forest, username=anna.name)
    await expel(anna, forest, anna.name)  # who only views may leave


async def test_files_of_a_library_outlive_chats_and_accounts(anna: Person, boris: Person) -> None:
    forest = await library(anna)
    thread = await conversation(anna)
    owl = await anna.indexed("owl.txt", OWL, conversation_id=thread, library_id=forest)
    await admit(anna, forest, username=boris.name, role="editor")
    his = {"conversation_id": await conversation(boris)}
    attached = await boris.http.post(f"/files/{owl['id']}/attach", json=his)
    assert len(attached.json()["conversation_ids"]) == 1, "another's chats are not told"
    await anna.http.delete(f"/conversations/{thread}")
    assert (await boris.get(f"/files/{owl['id']}"))["owner"] == anna.name
    gone = await anna.http.request("DELETE", "/auth/me", json={"password": anna.password})
    assert gone.status_code == 204, gone.text
    kept = await boris.get(f"/files/{owl['id']}")
    assert (kept["owner"], kept["library_ids"]) == (boris.name, [forest])
    assert await search(boris, library_ids=[forest]) == {"owl.txt"}
    assert (await boris.http.post(f"/files/{owl['id']}/detach", json=his)).json()["in_library"] is False
    assert (await boris.http.delete(f"/libraries/{forest}")).status_code == 204
    assert (await boris.get(f"/files/{owl['id']}"))["in_library"] is True


async def test_a_newer_version_takes_the_older_ones_place_in_libraries(anna: Person, boris: Person) -> None:
    forest = await library(anna)
    owl = await anna.indexed("owl.txt", OWL, library_id=forest)
    await admit(anna, forest, username=boris.name)
    await anna.indexed("owl.txt", FOX, replaces=owl["id"])
    passages = (await boris.http.post("/search", json={"query": QUESTION, "library_ids": [forest]})).json()["passages"]
    assert [passage["text"] for passage in passages] == [FOX.decode()]
    # Who may not edit the library any more puts nothing new into it, by a version neither.
    await admit(anna, forest, username=boris.name, role="editor")
    await expel(boris, forest, anna.name)
    fox = (await boris.get(f"/libraries/{forest}/files"))["items"][0]
    await anna.indexed("owl.txt", OWL, replaces=fox["id"])
    assert (await boris.get(f"/libraries/{forest}/files"))["items"] == []


async def test_managers_say_who_is_in_a_group(admin: Person, anna: Person, boris: Person, join: Join) -> None:
    assert (await anna.http.post("/groups", json={"name": "Mine"})).status_code == 403
    rangers = await group(admin, f"Rangers {anna.name}", manager=anna)
    taken = await admin.http.post("/groups", json={"name": f"RANGERS {anna.name}"})
    assert (taken.status_code, envelope(taken)["code"]) == (409, "conflict")
    members = f"/groups/{rangers}/members"
    clara = await join()
    assert (await boris.http.get(members)).status_code == 404, "who is in it is for its own people"
    assert (await boris.http.put(members, json={"username": boris.name})).status_code == 404
    assert (await anna.http.put(members, json={"username": boris.name})).status_code == 204
    refused = await boris.http.put(members, json={"username": clara.name})
    assert (refused.status_code, envelope(refused)["code"]) == (403, "forbidden")
    assert {member["username"] for member in (await boris.get(members))["items"]} == {anna.name, boris.name}
    mine = next(item for item in (await boris.get("/groups"))["items"] if item["id"] == rangers)
    assert (mine["role"], mine["members"]) == ("member", 2)
    theirs = next(item for item in (await clara.get("/groups"))["items"] if item["id"] == rangers)
    assert theirs["role"] is None
    assert (await boris.http.delete(f"{members}/{await user_id(anna)}")).status_code == 403
    assert (await boris.http.delete(f"{members}/{await user_id(boris)}")).status_code == 204
    assert (await boris.http.get(members)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "a", "user_id": "00000000-0000-0000-0000-000000000000"},
        {"username": "a", "role": "owner"},
        {"group_id": "no id"},
    ],
)
async def test_a_member_that_can_not_be_is_refused(anna: Person, body: dict[str, Any]) -> None:
    forest = await library(anna)
    refused = await anna.http.put(f"/libraries/{forest}/members", json=body)
    assert (refused.status_code, envelope(refused)["code"]) == (422, "validation_error")
    unknown = {"group_id": "00000000-0000-0000-0000-000000000000"}
    assert (await anna.http.put(f"/libraries/{forest}/members", json=unknown)).status_code == 404


async def test_openai_s_wire_and_the_agent_server_search_libraries(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    forest = await library(anna)
    await anna.indexed("owl.txt", OWL, library_id=forest)
    openai.script(reply="In spruces [1].")
    root = boris.http.base_url.join("/")
    body = {
        "model": "openai/gpt-4o-mini",
        "messages": [{"role": "user", "content": QUESTION}],
        "library_ids": [forest],
    }
    for store in (False, True):
        refused = await boris.http.post(str(root.join("/v1/chat/completions")), json={**body, "store": store})
        assert refused.status_code == 404, refused.text
    await admit(anna, forest, username=boris.name)
    answer = (await boris.http.post(str(root.join("/v1/chat/completions")), json=body)).json()
    (note,) = answer["choices"][0]["message"]["annotations"]
    assert note["file_citation"]["filename"] == "owl.txt" if "file_citation" in note else "owl.txt" in json.dumps(note)
    run = {
        "assistant_id": "chat",
        "input": {"messages": [{"role": "user", "content": QUESTION}]},
        "context": {"library_ids": [forest]},
    }
    state = (await boris.http.post(str(root.join("/langgraph/runs/wait")), json=run)).json()
    assert [source["file_name"] for source in state["sources"]] == ["owl.txt"]


async def test_an_administrator_takes_over_what_nobody_edits_any_more(admin: Person, anna: Person) -> None:
    forest = await library(anna, f"Forest {anna.name}")
    file = await anna.indexed("owl.txt", OWL, library_id=forest)

    async def seen() -> dict[str, Any]:
        (found,) = [row for row in (await admin.get("/admin/libraries"))["items"] if row["id"] == forest]
        return dict(found)

    assert await seen() == {"id": forest, "name": f"Forest {anna.name}", "role": None, "files": 1, "members": 1}
    assert (await admin.http.get(f"/files/{file['id']}/text")).status_code == 404, "to administer is not to read"
    assert (await anna.http.get("/admin/libraries")).status_code == 403
    assert (await anna.http.post(f"/admin/libraries/{forest}/take-over")).status_code == 403
    assert (await admin.http.post(f"/admin/libraries/{forest}/take-over")).status_code == 204
    assert (await seen())["role"] == "editor"
    assert (await admin.get(f"/files/{file['id']}/text"))["text"] == OWL.decode()
    assert {member["name"] for member in (await anna.get(f"/libraries/{forest}/members"))["items"]} == {
        *(anna.name, admin.name)
    }
    gone = "/admin/libraries/00000000-0000-0000-0000-000000000000/take-over"
    assert (await admin.http.post(gone)).status_code == 404


async def test_the_same_words_in_two_files_are_withheld_in_both(
    anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    """Also those of a shorter passage that stands in a longer one."""
    forest = await library(anna)
    words = "The owl of the northern forest sleeps in hollow spruces."
    for name, text in (("v1.txt", words), ("v2.txt", words), ("v3.txt", f"It is so: {words} And so on.")):
        await anna.indexed(name, text.encode() + f" {name}".encode() * (name == "v2.txt"), library_id=forest)
    await admit(anna, forest, username=boris.name)
    answer = await boris.ask(QUESTION, library_ids=[forest])
    assert len(answer["sources"]) == 3
    trace = f"/messages/{answer['message_id']}/trace"
    assert (await boris.http.get(trace)).text.count("hollow spruces") == 3
    await expel(anna, forest, boris.name)
    assert "hollow spruces" not in (await boris.http.get(trace)).text


async def test_what_a_failed_query_tells_is_withheld(anna: Person, boris: Person, openai: OpenAIServer) -> None:
    books = await library(anna, "Books")
    await anna.indexed("pay.csv", b"name,pay\nAnna Tamm,5200\n", library_id=books)
    await admit(anna, books, username=boris.name)
    thread = await conversation(boris, library_ids=[books])
    openai.script(rounds=[[("query_table", {"sql": "SELECT CAST(name AS INTEGER) FROM pay"})]], reply="It failed.")
    answer = await boris.ask("Who gets how much?", conversation_id=thread, tools=["query_table"])
    assert "Anna Tamm" in answer["steps"][0]["result_preview"]
    await expel(anna, books, boris.name)
    for path in (f"/conversations/{thread}/messages", f"/messages/{answer['message_id']}/trace"):
        assert "Anna Tamm" not in (await boris.http.get(path)).text


async def test_who_inherits_may_edit_the_library_already(
    anna: Person, boris: Person, admin: Person, join: Join
) -> None:
    """Through a group too; an administrator who is no member inherits nothing."""
    clara = await join()
    board = await group(admin, f"Board {anna.name}", clara)
    forest = await library(anna)
    owl = await anna.indexed("owl.txt", OWL, library_id=forest)
    await admit(anna, forest, group_id=board, role="editor")
    await admit(anna, forest, username=boris.name)
    gone = await anna.http.request("DELETE", "/auth/me", json={"password": anna.password})
    assert gone.status_code == 204
    assert (await boris.get(f"/files/{owl['id']}"))["owner"] == clara.name
    assert (await admin.http.get(f"/files/{owl['id']}")).status_code == 404
    # The group that alone could edit it goes: somebody has to be there who can.
    assert (await admin.http.delete(f"/groups/{board}")).status_code == 204
    assert (await admin.get(f"/libraries/{forest}"))["role"] == "editor"
    assert (await clara.http.get(f"/libraries/{forest}")).status_code == 404


async def test_an_assistant_outlives_its_library(anna: Person, boris: Person) -> None:
    forest = await library(anna)
    await admit(anna, forest, username=boris.name)
    made = await boris.http.post("/assistants", json={"name": "Ranger", "library_ids": [forest]})
    assert made.json()["library_ids"] == [forest]
    await expel(anna, forest, boris.name)
    kept = await boris.get(f"/assistants/{made.json()['id']}")
    assert kept["library_ids"] == []
    saved = await boris.http.patch(f"/assistants/{kept['id']}", json={"name": "R", "library_ids": kept["library_ids"]})
    assert saved.status_code == 200
