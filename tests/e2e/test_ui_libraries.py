"""Shared libraries and groups in the page, by two people at once."""

import re

import pytest
from playwright.async_api import FilePayload, ViewportSize, expect

from tests.e2e.asking import answered, ask
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_scope import OWL, QUESTION
from tests.providers import OpenAIServer
from tests.support import Person, eventually

pytestmark = pytest.mark.e2e

PHONE = ViewportSize(width=390, height=844)


async def test_a_library_is_made_shared_asked_and_taken_away(
    open_page: OpenPage, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    hers, his = await open_page(anna), await open_page(boris)
    await hers.get_by_role("link", name="Libraries").click()
    await expect(hers.get_by_text("No libraries yet.")).to_be_visible()
    await hers.get_by_role("button", name="New library").click()
    await hers.get_by_role("dialog").get_by_label("Name").fill("Forest")
    await hers.get_by_role("dialog").get_by_label("Description").fill("Who sleeps where")
    await hers.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(hers.get_by_role("heading", name="Forest")).to_be_visible()
    async with hers.expect_file_chooser() as choosing:
        await hers.get_by_role("button", name="Upload files").click()
    await (await choosing.value).set_files(FilePayload(name="owl.txt", mimeType="text/plain", buffer=OWL))
    await expect(hers.get_by_role("list", name="Files of Forest").get_by_text("owl.txt")).to_be_visible()
    people = hers.get_by_role("region", name="People")
    await people.get_by_label("Add a person").fill("nobody at all")
    await people.get_by_role("button", name="Add", exact=True).click()
    await expect(people.get_by_role("alert")).to_contain_text("Nobody has this name")
    await people.get_by_label("Add a person").fill(boris.email)
    await people.get_by_role("button", name="Add", exact=True).click()
    await expect(people.get_by_role("list")).to_contain_text(boris.name)
    await accessible(hers)
    await shot(hers, "library-1280")
    # He finds it, chooses it for a new chat, and asks.
    await his.get_by_role("link", name="Libraries").click()
    await his.get_by_role("button", name="Forest").click()
    await expect(his.get_by_role("list", name="Files of Forest").get_by_text("owl.txt")).to_be_visible()
    await expect(his.get_by_role("button", name="Upload files")).to_have_count(0)
    await his.get_by_role("button", name="New chat").click()
    scope = his.get_by_role("button", name=re.compile("^Search in"))
    await scope.click()
    await his.get_by_role("checkbox", name="Forest").click()
    await shot(his, "library-scope-1280")
    await his.keyboard.press("Escape")
    await expect(scope).to_contain_text("Libraries: 1")
    openai.script(reply="In spruces [1].")
    await ask(his, QUESTION)
    answer = await answered(his)
    await expect(scope).to_contain_text("Libraries: 1")
    citation = answer.get_by_role("button", name=re.compile("owl.txt"))
    await citation.hover()
    await expect(his.get_by_role("tooltip")).to_contain_text("hollow spruces")
    # Taken away, the file's name stays in the old answer, and its text does not.
    await people.get_by_role("button", name=f"Remove {boris.name}").click()
    await expect(people.get_by_role("list")).not_to_contain_text(boris.name)
    await his.reload()
    await citation.hover()
    await expect(his.get_by_role("tooltip")).to_contain_text("You can’t read this file any more.")
    await expect(scope).not_to_contain_text("Libraries")
    await his.get_by_role("link", name="Libraries").click()
    await expect(his.get_by_text("No libraries yet.")).to_be_visible()
    await hers.set_viewport_size(PHONE)
    await accessible(hers)
    await shot(hers, "library-390")


async def test_a_group_gets_a_default_library(
    open_page: OpenPage, admin: Person, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(admin)
    name = f"Rangers {admin.name}"
    await page.get_by_role("button", name=re.compile("^Account menu|" + admin.name)).first.click()
    await page.get_by_role("menuitem", name="Groups").click()
    await page.get_by_role("button", name="New group").click()
    await page.get_by_role("dialog").get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    group = page.get_by_role("listitem").filter(has_text=name)
    await group.get_by_role("button", name="People in this group").click()
    await group.get_by_label("Add a person").fill(anna.name)
    await group.get_by_role("button", name="Add").click()
    await expect(group.get_by_role("list")).to_contain_text(anna.name)
    await group.get_by_label(f"What {anna.name} may do").select_option("manager")
    await accessible(page)
    await shot(page, "groups-1280")
    made = (await admin.http.post("/libraries", json={"name": "Forest"})).json()["id"]
    await admin.indexed("owl.txt", OWL, library_id=made)
    await page.goto(f"/libraries/{made}")
    # An arrow key on the closed list chooses, and lets nobody in.
    await page.get_by_label("Add a group").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_label("Add a group")).not_to_have_value("")
    await page.get_by_label("Add a group").select_option(label=name)
    await page.get_by_role("button", name="Add this group").click()
    await page.get_by_label(f"Search it in every chat of {name}").click()
    members = (await admin.get(f"/libraries/{made}/members"))["items"]
    assert {member["name"] for member in members} == {admin.name, name}

    async def shared() -> bool:
        return any(library["is_default"] for library in (await anna.get("/libraries"))["items"])

    await eventually(shared)
    hers = await open_page(anna)
    scope = hers.get_by_role("button", name=re.compile("^Search in"))
    await expect(scope).to_contain_text("Libraries: 1")
    openai.script(reply="In spruces [1].")
    await ask(hers, QUESTION)
    answer = await answered(hers)
    await expect(answer.get_by_role("button", name=re.compile("owl.txt"))).to_be_visible()
    await scope.click()
    await hers.get_by_role("checkbox", name="Forest").click()
    await hers.keyboard.press("Escape")
    await expect(scope).not_to_contain_text("Libraries")
    await ask(hers, QUESTION)
    answers = await eventually(lambda: _answers(anna))
    assert answers[-1]["sources"] == []


async def _answers(person: Person) -> list[dict[str, object]] | None:
    thread = (await person.get("/conversations"))["items"][0]["id"]
    items = (await person.get(f"/conversations/{thread}/messages"))["items"]
    done = [item for item in items if item["role"] == "assistant" and item["status"] == "complete"]
    return done if len(done) == 2 else None
