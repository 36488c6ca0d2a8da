"""What a question searches, as the composer says it; the files that come with a question; a new chat's files."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Response, Route, expect

from tests.e2e.asking import WARRANTY, answered, ask, attach, message, ready
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_projects import made
from tests.providers import OpenAIServer
from tests.support import Person, eventually

pytestmark = pytest.mark.e2e

CEILING = b"The ceiling of the hall is nine metres high."
QUESTION = "How long does the warranty last?"


def scope(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Search in:"))


def waiting(page: Page) -> Locator:
    """Return the files above the composer."""
    return page.locator(".composer").get_by_role("list", name="Attached files").get_by_role("listitem")


async def search_in(page: Page, what: str) -> None:
    await scope(page).click()
    await page.get_by_role("radio", name=what).click()
    await expect(page.get_by_role("radio", name=what)).to_be_checked()
    await page.keyboard.press("Escape")
    await expect(scope(page)).to_contain_text(what)


async def conversations(person: Person) -> list[dict[str, Any]]:
    return list((await person.get("/conversations"))["items"])


async def test_a_new_chat_answers_from_the_library_and_says_so(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", WARRANTY.encode())
    page = await open_page(anna)
    await expect(scope(page)).to_contain_text("All my files")
    openai.script(reply="Two years [1]. Or three [7].")
    await ask(page, QUESTION)
    answer = await answered(page)
    await expect(answer.get_by_role("button", name="Source 1", exact=True)).to_be_visible()
    # What the model invents is not shown as a citation, nor as text.
    await expect(answer).not_to_contain_text("[7]")


async def test_without_files_an_invented_number_is_not_shown(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", WARRANTY.encode())
    page = await open_page(anna)
    await search_in(page, "No files")
    openai.script(reply="Two years [1].")
    await ask(page, QUESTION)
    answer = await answered(page)
    await expect(answer).to_contain_text("Two years")
    await expect(answer).not_to_contain_text("[1]")
    await expect(answer.get_by_role("list", name="Sources")).to_have_count(0)


async def test_of_two_choices_the_last_one_holds_however_long_the_first_is_under_way(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await ask(page, "Hello!")
    await answered(page)
    await page.wait_for_url("**/c/*")
    goes_on = asyncio.Event()
    sent: list[Any] = []
    answers: list[int] = []

    def note(response: Response) -> None:
        if response.request.method == "PATCH":
            answers.append(response.status)

    async def first_is_late(route: Route) -> None:
        if route.request.method == "PATCH":
            sent.append(route.request.post_data_json)
            if len(sent) == 1:
                await goes_on.wait()
        await route.continue_()

    page.on("response", note)
    await page.route("**/api/v1/conversations/*", first_is_late)
    await scope(page).click()
    await page.get_by_role("radio", name="Files of this chat").click()
    await page.get_by_role("radio", name="All my files").click()
    await expect(page.get_by_role("radio", name="All my files")).to_be_checked()
    goes_on.set()

    async def both_are_answered() -> bool:
        return answers == [200, 200]

    await eventually(both_are_answered)
    assert sent == [{"search_library": False}, {"search_library": True}]
    assert (await anna.get(f"/conversations/{page.url.rpartition('/')[2]}"))["search_library"] is True
    await expect(page.get_by_role("radio", name="All my files")).to_be_checked()


async def test_a_chat_with_files_searches_them_until_told_otherwise(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", WARRANTY.encode())
    page = await open_page(anna)
    await attach(page, "hall.txt", CEILING)
    await ready(page, "hall.txt")
    await expect(scope(page)).to_contain_text("Files of this chat")
    openai.script(reply="It does not say.")
    await ask(page, QUESTION)
    await expect((await answered(page)).get_by_text("manual.md")).to_have_count(0)
    await search_in(page, "All my files")
    openai.script(reply="Two years [1].")
    await ask(page, QUESTION)
    await expect((await answered(page, 2)).get_by_text("manual.md").first).to_be_visible()
    await page.reload()
    await expect(scope(page)).to_contain_text("All my files")
    await scope(page).click()
    own = page.get_by_role("list", name="Files of this chat").get_by_role("listitem")
    await expect(own).to_have_count(1)
    await shot(page, "scope")
    await own.get_by_role("button", name="Remove hall.txt").click()
    await expect(own).to_have_count(0)


async def test_files_stand_on_the_question_that_came_with_them(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna, viewport={"width": 390, "height": 844})
    await attach(page, "hall.txt", CEILING)
    await ready(page, "hall.txt")
    await attach(page, "broken.pdf", b"%PDF-1.7\nnothing", "application/pdf")
    await expect(waiting(page).filter(has_text="broken.pdf").get_by_role("button", name="Try again")).to_be_visible()
    openai.script(reply="Nine metres [1].")
    await ask(page, "How high is the ceiling?")
    await answered(page)
    await expect(waiting(page)).to_have_count(0)
    question = page.get_by_role("article", name="You").first
    await expect(question.get_by_role("listitem")).to_have_count(2)
    await shot(page, "attachments-390")
    await page.reload()
    await answered(page)
    await expect(waiting(page)).to_have_count(0)
    await question.get_by_role("button", name="hall.txt").click()
    await expect(page.get_by_role("complementary", name="Document")).to_contain_text("nine metres")


async def test_files_of_a_new_chat_make_one_conversation(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await message(page).fill("A draft")
    await attach(page, "hall.txt", CEILING)
    await attach(page, "manual.md", WARRANTY.encode())
    for name in ("hall.txt", "manual.md"):
        await ready(page, name)
    (only,) = await conversations(anna)
    # Nothing has been asked: it is no line in the list, and the new chat still has its draft and its files.
    await expect(page.get_by_role("region", name="Chats")).to_contain_text("Your chats will appear here.")
    await page.reload()
    await expect(waiting(page)).to_have_count(2)
    await expect(message(page)).to_have_value("A draft")
    openai.script(reply="Nine metres [1].")
    await ask(page, "How high is the ceiling?")
    await answered(page)
    await page.wait_for_url(f"**/c/{only['id']}")
    assert [item["id"] for item in await conversations(anna)] == [only["id"]]
    await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await expect(waiting(page)).to_have_count(0)
    await attach(page, "third.txt", b"The third file.")
    await ready(page, "third.txt")
    assert len(await conversations(anna)) == 2


async def test_files_stay_with_the_kind_of_chat_that_they_were_given_to(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    """A file makes a new chat a conversation: what is pressed afterwards holds none the less."""
    page = await open_page(anna)
    await attach(page, "hall.txt", CEILING)
    await ready(page, "hall.txt")
    await page.get_by_role("button", name="Temporary chat").click()
    await expect(waiting(page)).to_have_count(0)
    await attach(page, "secret.txt", b"The merger is called Walrus.")
    await ready(page, "secret.txt")
    openai.script(reply="Walrus [1].")
    await ask(page, "What is the merger called?")
    await answered(page)
    await page.wait_for_url("**/c/*")
    await expect(page.get_by_text("Temporary", exact=True)).to_be_visible()
    assert (await anna.get(f"/conversations/{page.url.rpartition('/')[2]}"))["temporary"] is True

    # And the other way: what was begun as a temporary chat is kept where one asks for that.
    await page.goto("/?temporary=true")
    await attach(page, "plan.txt", b"The plan is called Ibis.")
    await ready(page, "plan.txt")
    await page.get_by_role("button", name="Keep this chat").click()
    await expect(waiting(page)).to_contain_text("hall.txt")
    await ask(page, "How high is the ceiling?")
    await answered(page)
    await page.wait_for_url("**/c/*")
    assert (await anna.get(f"/conversations/{page.url.rpartition('/')[2]}"))["temporary"] is False


async def test_files_of_a_new_chat_do_not_keep_an_assistant_out(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    ranger = f"Ranger {anna.name}"
    made_ = await made(anna, "/assistants", name=ranger, system_prompt="You are a ranger.")
    page = await open_page(anna)
    await attach(page, "hall.txt", CEILING)
    await ready(page, "hall.txt")
    await page.keyboard.press("Control+k")
    await page.keyboard.type(ranger)
    await page.get_by_role("option", name=ranger).click()
    await expect(page.get_by_role("heading", name=ranger)).to_be_visible()
    await ask(page, "Who are you?")
    await answered(page)
    await page.wait_for_url("**/c/*")
    assert (await anna.get(f"/conversations/{page.url.rpartition('/')[2]}"))["assistant_id"] == made_["id"]


async def test_several_files_at_once_make_one_conversation_too(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await expect(message(page)).to_be_visible()
    # Before the server has answered to the first one.
    await page.evaluate(
        """() => {
          for (const name of ["a.txt", "b.txt", "c.txt"]) {
            const carried = new DataTransfer();
            carried.items.add(new File([`The file ${name}.`], name));
            document.querySelector("main").dispatchEvent(
              new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: carried }));
          }
        }"""
    )
    for name in ("a.txt", "b.txt", "c.txt"):
        await ready(page, name)
    await expect(waiting(page)).to_have_count(3)
    assert len(await conversations(anna)) == 1


async def test_a_file_that_can_not_be_sent_is_told(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await expect(message(page)).to_be_visible()
    await page.context.set_offline(True)
    await attach(page, "hall.txt", CEILING)
    await expect(page.get_by_text("The server can't be reached").first).to_be_visible()
    await page.context.set_offline(False)
    await attach(page, "hall.txt", CEILING)
    await ready(page, "hall.txt")
    await page.context.set_offline(True)
    await attach(page, "late.txt", b"The hall is closed on Mondays.")
    await expect(waiting(page).filter(has_text="late.txt")).to_contain_text("The server can't be reached")
    # And so is whatever else can't be done.
    await scope(page).click()
    await page.get_by_role("radio", name="All my files").click()
    await expect(page.locator(".toast").filter(has_text="The server can't be reached").first).to_be_visible()
    await page.context.set_offline(False)
    await page.keyboard.press("Escape")
    await waiting(page).filter(has_text="late.txt").get_by_role("button", name="Try again").click()
    await ready(page, "late.txt")
