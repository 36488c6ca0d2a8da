"""Files on the page: all the ways in, how far they are, what goes wrong, versions, and the room that they take."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import FilePayload, Locator, Page, Route, expect

from tests.e2e.asking import answered, ask, attach, message, ready
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = [pytest.mark.e2e, pytest.mark.newest]

OLD = b"The warranty of the loom lasts two years.\n"
NEW = b"The warranty of the loom lasts three years from now on.\n"
QUESTION = "How long does the warranty of the loom last?"


def asked(page: Page, name: str) -> Locator:
    """Return the question whether a file replaces an older one."""
    return page.get_by_role("group", name=f"{name} is here already")


async def upload(page: Page, *files: FilePayload) -> None:
    """Choose files by the library's button."""
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Upload files").click()
    await (await chooser.value).set_files(list(files))


def text_file(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": content}


async def give(page: Page, selector: str, kind: str, files: dict[str, str]) -> None:
    """Let files fall onto an element (`drop`, after they hovered), or paste them into it (`paste`)."""
    await page.evaluate(
        """([selector, kind, files]) => {
            const data = new DataTransfer();
            for (const [name, text] of Object.entries(files))
                data.items.add(new File([text], name, {type: "text/plain"}));
            const target = document.querySelector(selector);
            const fire = (type, Kind, key) => target.dispatchEvent(
                new Kind(type, {bubbles: true, cancelable: true, [key]: data}));
            if (kind === "paste") fire("paste", ClipboardEvent, "clipboardData");
            else for (const type of kind.split(" ")) fire(type, DragEvent, "dataTransfer");
        }""",
        [selector, kind, files],
    )


async def names(person: Person, **scope: Any) -> list[str]:
    return sorted(file["name"] for file in (await person.get("/files", **scope))["items"])


async def test_a_changed_file_replaces_the_old_one_in_the_library(open_page: OpenPage, anna: Person) -> None:
    old = await anna.indexed("loom.txt", OLD)
    page = await open_page(anna, path="/files")
    await expect(page.get_by_role("button", name="loom.txt", exact=True)).to_have_count(1)
    await upload(page, text_file("loom.txt", NEW), text_file("other.txt", b"Of another name."))
    question = asked(page, "loom.txt")
    await expect(question).to_contain_text(f"{len(OLD)} bytes")
    await expect(asked(page, "other.txt")).to_have_count(0)
    await accessible(page, "the question")
    await shot(page, "replace-1280-light")

    # Nothing waits for the answer, and the keyboard reaches it.
    await ready(page, "other.txt")
    await question.get_by_role("button", name="Replace the old one").focus()
    await page.keyboard.press("Tab")
    await expect(question.get_by_role("button", name="Keep both")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(question).to_have_count(0)
    await expect(page.get_by_role("status").filter(has_text="The old loom.txt")).to_be_visible()
    await expect(page.get_by_role("button", name="loom.txt", exact=True)).to_have_count(1)
    await ready(page, "loom.txt")
    assert await names(anna) == ["loom.txt", "other.txt"]
    assert (await anna.http.get(f"/files/{old['id']}")).status_code == 404


async def test_both_can_be_kept_in_a_conversation(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await attach(page, "loom.txt", OLD)
    await ready(page, "loom.txt")
    await attach(page, "loom.txt", NEW)
    question = asked(page, "loom.txt")
    await expect(question).to_be_visible()
    await message(page).fill("One can write meanwhile")
    await accessible(page, "the question above the composer")
    await question.get_by_role("button", name="Keep both").click()
    await expect(question).to_have_count(0)
    await expect(page.get_by_role("list", name="Attached files").get_by_role("listitem")).to_have_count(2)
    assert await names(anna) == ["loom.txt", "loom.txt"]


async def test_the_question_stays_in_its_conversation(open_page: OpenPage, anna: Person) -> None:
    elsewhere = (await anna.http.post("/conversations", json={"title": "Elsewhere"})).json()["id"]
    page = await open_page(anna)
    await attach(page, "loom.txt", OLD)
    await ready(page, "loom.txt")
    await attach(page, "loom.txt", NEW)
    await expect(asked(page, "loom.txt")).to_be_visible()
    await page.get_by_role("link", name="Elsewhere").click()
    await page.wait_for_url(f"**/c/{elsewhere}")
    await expect(asked(page, "loom.txt")).to_have_count(0)


async def test_an_old_answer_opens_what_it_cited(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await attach(page, "loom.txt", OLD)
    await ready(page, "loom.txt")
    openai.script(reply="Two years [1].")
    await ask(page, QUESTION)
    await answered(page)
    await attach(page, "loom.txt", NEW)
    await asked(page, "loom.txt").get_by_role("button", name="Replace the old one").click()
    await expect(page.locator(".composer").get_by_role("listitem")).to_have_count(1)
    await ready(page, "loom.txt")
    await expect(page.get_by_role("article", name="You").get_by_role("listitem")).to_have_count(0)

    answer = await answered(page)
    await answer.get_by_role("button", name="Source 1", exact=True).click()
    document = page.get_by_role("complementary", name="Document")
    await expect(document).to_contain_text("This file was replaced or deleted.")
    await expect(document.locator("mark")).to_contain_text("lasts two years")
    await expect(document.get_by_role("link", name="Download the original")).to_have_count(0)
    await accessible(page, "a citation of a file that is gone")

    openai.script(reply="Three years [1].")
    await ask(page, QUESTION)
    again = await answered(page, 2)
    await again.get_by_role("button", name="Source 1", exact=True).click()
    await expect(document.locator("mark")).to_contain_text("three years from now on")


async def test_the_question_in_russian(open_page: OpenPage, anna: Person) -> None:
    await anna.indexed("станок.txt", OLD)
    page = await open_page(anna, path="/files", locale="ru-RU")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Добавить файлы").click()
    await (await chooser.value).set_files([text_file("станок.txt", NEW)])
    question = page.get_by_role("group", name="станок.txt здесь уже есть")
    await expect(question).to_contain_text(re.compile(r"\d{4} г\., \d+ байт"))
    await question.get_by_role("button", name="Заменить старый").click()
    await expect(page.get_by_role("button", name="станок.txt", exact=True)).to_have_count(1)


async def test_several_are_dropped_at_once(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/files")
    await expect(page.get_by_text("No files yet")).to_be_visible()
    await give(page, "main", "dragenter dragover", {"a.txt": "x"})
    await expect(page.get_by_text("Drop files")).to_be_visible()
    many = {f"{n}.txt": f"The loom of number {n} is blue." for n in range(7)}
    await give(page, "main", "dragenter drop", many)
    for name in many:
        await ready(page, name)
    assert await names(anna) == sorted(many)


async def test_files_are_dropped_and_pasted_into_a_conversation(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await expect(message(page)).to_be_visible()
    await give(page, "main", "dragenter drop", {"dropped.txt": "The loom is blue.", "too.txt": "And the wool is red."})
    await ready(page, "dropped.txt")
    await give(page, "textarea", "paste", {"pasted.txt": "The loom is from 1901."})
    for name in ("dropped.txt", "too.txt", "pasted.txt"):
        await ready(page, name)
    conversation = (await anna.get("/conversations"))["items"][0]["id"]
    assert await names(anna, conversation_id=conversation) == ["dropped.txt", "pasted.txt", "too.txt"]
    await expect(message(page)).to_have_value("")


async def test_it_tells_how_far_a_file_is(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna, path="/files")
    session = await page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 50_000}
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", slow)
    # Without embeddings a file waits at its last stage.
    await openai.down()
    try:
        await upload(page, text_file("long.txt", OLD * 4_000))
        sending = page.get_by_role("listitem").filter(has_text="Sending")
        progress = page.get_by_role("progressbar", name="Progress of long.txt")
        await expect(sending).to_contain_text("long.txt")
        await expect(progress).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))
        await session.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
        row = page.get_by_role("listitem").filter(has_text="Indexing")
        await expect(row).to_contain_text("long.txt")
        await expect(progress).to_have_attribute("aria-valuenow", "20")
        await accessible(page, "a file in work")
    finally:
        await openai.up()
    # The job is tried again after some seconds.
    await expect(row).to_have_count(0, timeout=40_000)
    await ready(page, "long.txt")
    await expect(progress).to_have_count(0)


async def test_a_file_that_can_not_be_read_says_why_and_can_be_tried_again(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await attach(page, "broken.pdf", b"%PDF-1.7\n" + b"nonsense " * 50, "application/pdf")
    line = page.get_by_role("listitem").filter(has_text="broken.pdf").and_(page.locator("[data-status=failed]"))
    reason = (await anna.indexed("broken.pdf", b"%PDF-1.7\n" + b"nonsense " * 50))["error"]["message"]
    await expect(line).to_contain_text(reason)
    async with page.expect_request("**/files/process/*"):
        await line.get_by_role("button", name="Try again").click()
    await expect(line).to_contain_text(reason)
    await line.get_by_role("button", name="broken.pdf", exact=True).click()
    await expect(page.get_by_role("complementary", name="Document")).to_contain_text(reason)
    await page.get_by_role("complementary").get_by_role("button", name="Close").click()
    await line.get_by_role("button", name="Remove broken.pdf").click()
    await expect(line).to_have_count(0)


async def test_an_upload_that_got_lost_can_be_sent_again(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/files")
    await expect(page.get_by_text("No files yet")).to_be_visible()
    await page.context.set_offline(True)
    await upload(page, text_file("loom.txt", OLD), text_file("wool.txt", NEW))
    lost = page.get_by_role("listitem").filter(has_text="can't be reached")
    await expect(lost).to_have_count(2)
    await page.context.set_offline(False)
    await lost.filter(has_text="wool.txt").get_by_role("button", name="Remove wool.txt").click()
    await lost.filter(has_text="loom.txt").get_by_role("button", name="Try again").click()
    await ready(page, "loom.txt")
    await expect(lost).to_have_count(0)
    assert await names(anna) == ["loom.txt"]


async def test_an_upload_that_got_lost_is_told_on_another_page_too(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/files")
    left = asyncio.Event()

    async def lost(route: Route) -> None:
        await left.wait()
        await route.abort()

    await page.route("**/api/v1/files/upload", lost)
    await upload(page, text_file("loom.txt", OLD))
    await expect(page.get_by_text("Sending")).to_be_visible()
    await page.get_by_role("link", name="Prompts", exact=True).click()
    await expect(page.get_by_role("heading", name="Prompts")).to_be_visible()
    left.set()
    await expect(page.locator(".toast")).to_contain_text("loom.txt: The server can't be reached.")


async def test_the_bar_shows_the_room_that_is_left(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/files")
    bar = page.get_by_role("meter", name="Storage used")
    await expect(bar).to_have_js_property("value", 0)
    await upload(page, text_file("loom.txt", OLD * 1000))
    await expect(bar).to_have_js_property("value", len(OLD) * 1000)
    limit = (await anna.get("/stats/user"))["bytes_limit"]
    await expect(bar).to_have_js_property("max", limit)
    await expect(page.get_by_text("1 file · 41 kB of 2 GB used")).to_be_visible()
    await page.get_by_role("button", name="Actions for loom.txt").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(bar).to_have_js_property("value", 0)
