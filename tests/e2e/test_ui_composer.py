"""The composer: pictures, queued messages, how much a model thinks; and answers that go on elsewhere."""

import asyncio
import base64
import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.e2e.asking import answered, answers, ask, attach, message, ready
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_pictures import pictures_of, png
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = [pytest.mark.e2e, pytest.mark.newest]

PASTE = """(encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "screenshot.png", { type: "image/png" }));
    const event = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
    document.querySelector(".composer__text").dispatchEvent(event);
}"""


async def choose_model(page: Page, name: str) -> None:
    await page.get_by_role("button", name=re.compile("^Model")).click()
    await page.get_by_role("menuitemradio", name=re.compile(name)).click()
    await expect(page.get_by_role("menu")).to_have_count(0)


async def paste(page: Page, shade: int) -> None:
    await page.evaluate(PASTE, base64.b64encode(png(shade)).decode())
    await expect(attached(page).get_by_role("button", name="Show screenshot.png")).to_be_visible()


def attached(page: Page) -> Locator:
    return page.locator(".composer").get_by_role("list", name="Attached files")


def shown(openai: OpenAIServer, before: int) -> list[bytes]:
    return [each for chat in openai.chats[before:] for m in chat.body["messages"] for each in pictures_of(m)]


async def test_a_pasted_picture_is_shown_to_the_model_and_in_the_chat(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", b"The warranty lasts two years.")
    page = await open_page(anna)
    await choose_model(page, "gpt-4o-mini")
    await paste(page, 120)
    # A picture is looked at: what is searched stays as it was.
    await expect(page.get_by_role("button", name=re.compile("^Search in:"))).to_contain_text("All my files")
    openai.script(reply="A grey square.")
    before = len(openai.chats)
    await ask(page, "What is this?")
    await answered(page)
    assert shown(openai, before) == [png(120)]
    await expect(attached(page)).to_have_count(0)
    question = page.get_by_role("article", name="You")
    thumbnail = question.get_by_role("button", name="Show Picture")
    await expect(thumbnail).to_be_visible()
    await page.reload()
    await thumbnail.click()
    await expect(page.get_by_role("dialog").get_by_role("img", name="Picture")).to_be_visible()
    await accessible(page, "a picture")
    await shot(page, "picture")


async def test_a_question_waits_for_the_files_above_it(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await choose_model(page, "gpt-4o-mini")
    waits = page.get_by_text("Goes out when its files are there.")
    arrives = asyncio.Event()

    async def held(route: Route) -> None:
        if route.request.method == "POST":
            await arrives.wait()
        await route.continue_()

    # The conversation that the first file goes into does not exist yet.
    await page.route("**/api/v1/conversations", held)
    await attach(page, "shot.png", png(99), "image/png")
    before = len(openai.chats)
    openai.script(reply="A dark one.")
    await ask(page, "What is on the picture?")
    await expect(waits).to_be_visible()
    arrives.set()
    await answered(page)
    assert shown(openai, before) == [png(99)]
    await expect(page.locator(".composer").get_by_role("listitem")).to_have_count(0)

    # What is typed meanwhile takes the message back, and so does a file that is lost.
    arrives.clear()
    await page.route("**/api/v1/files/upload", held)
    await attach(page, "next.png", png(199), "image/png")
    await ask(page, "And now?")
    await expect(waits).to_be_visible()
    await message(page).fill("And now, in detail?")
    await expect(waits).to_have_count(0)
    await page.unroute("**/api/v1/files/upload", held)
    arrives.set()
    await expect(page.locator(".composer").get_by_role("button", name="Show next.png")).to_be_visible()
    await page.route("**/api/v1/files/upload", lambda route: route.abort())
    await attach(page, "lost.png", png(9), "image/png")
    await expect(page.get_by_text("can't be reached")).to_be_visible()
    await expect(message(page)).to_have_value("And now, in detail?")
    await expect(answers(page)).to_have_count(1)


async def test_what_is_being_uploaded_is_there_when_one_comes_back(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    thread = (await anna.ask("Hello"))["conversation_id"]
    page = await open_page(anna, path=f"/c/{thread}")
    await choose_model(page, "gpt-4o-mini")
    arrives = asyncio.Event()

    async def held(route: Route) -> None:
        await arrives.wait()
        await route.continue_()

    await page.route("**/api/v1/files/upload", held)
    await attach(page, "shot.png", png(99), "image/png")
    sending = page.get_by_role("progressbar", name="shot.png")
    await expect(sending).to_be_visible()
    await page.get_by_role("link", name="Files", exact=True).click()
    await expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()
    # The browser asks before it ends what is on its way.
    assert await page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is False
    await page.go_back()
    await expect(sending).to_be_visible()
    before = len(openai.chats)
    openai.script(reply="A dark one.")
    await ask(page, "What is on the picture?")
    await expect(page.get_by_text("Goes out when its files are there.")).to_be_visible()
    arrives.set()
    await answered(page, 2)
    assert shown(openai, before) == [png(99)]
    assert await page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is True


async def test_an_edited_question_keeps_its_pictures(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await choose_model(page, "gpt-4o-mini")
    openai.script(reply="Hello.")
    await ask(page, "Hello")
    await answered(page)
    await page.wait_for_url("**/c/*")
    await paste(page, 125)
    await ask(page, "What is thiss?")
    await answered(page, 2)
    question = page.get_by_role("article", name="You").nth(1)
    before = len(openai.chats)
    await question.get_by_role("button", name="Edit", exact=True).click()
    await page.get_by_role("textbox", name="Edit message").fill("What is this?")
    await page.get_by_role("button", name="Send edited").click()
    await expect(question).to_contain_text("What is this?")
    await expect(question.get_by_role("button", name="Show Picture")).to_be_visible()
    await expect(question).to_contain_text("2 of 2")
    await answered(page, 2)
    assert shown(openai, before) == [png(125)]
    await expect(question.get_by_role("button", name="Show Picture")).to_be_visible()


async def test_a_model_that_does_not_see_says_so_and_the_message_stays(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await choose_model(page, "^gpt-4 8")
    await paste(page, 130)
    await ask(page, "What is this?")
    await expect(page.get_by_role("alert")).to_contain_text("This model can't look at pictures")
    await expect(message(page)).to_have_value("What is this?")
    await expect(attached(page)).to_be_visible()


async def test_a_message_typed_while_an_answer_streams_goes_out_behind_it(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=[f"word{n} " for n in range(30)], delay=0.1)
    await ask(page, "A long one, please.")
    await expect(answers(page)).to_contain_text("word3")
    await message(page).fill("And a second one.")
    await page.keyboard.press("Enter")
    await expect(message(page)).to_have_value("")
    queued = page.get_by_text("Goes out after this answer: And a second one.")
    await expect(queued).to_be_visible()
    openai.script(reply="The second answer.")
    await expect(answers(page)).to_have_count(2)
    await expect(answers(page).nth(1)).to_contain_text("The second answer.")
    await expect(queued).to_have_count(0)
    await expect(answers(page).first).to_contain_text("word29")


async def test_a_queued_message_comes_back_where_the_answer_is_stopped(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=[f"word{n} " for n in range(200)], delay=0.1)
    await ask(page, "A long one, please.")
    await expect(answers(page)).to_contain_text("word1")
    await message(page).fill("And then?")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Take the message back").click()
    await expect(message(page)).to_have_value("And then?")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name=re.compile("^Stop")).click()
    await expect(message(page)).to_have_value("And then?")
    await expect(answers(page)).to_have_count(1)


async def test_a_queued_message_is_not_lost_in_another_chat(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=[f"word{n} " for n in range(400)], delay=0.1)
    await ask(page, "A long one, please.")
    await expect(answers(page)).to_contain_text("word1")
    await page.wait_for_url("**/c/*")
    here = page.url
    await message(page).fill("And a second one.")
    await page.keyboard.press("Enter")
    queued = page.get_by_text("Goes out after this answer: And a second one.")
    # It waits for whom comes back in time, by the page or by a reload.
    await page.get_by_role("button", name="New chat").click()
    await expect(answers(page)).to_have_count(0)
    await expect(message(page)).to_have_value("")
    await page.go_back()
    await expect(queued).to_be_visible()
    await page.reload()
    await expect(queued).to_be_visible()
    # Who comes later finds it in the field.
    await page.get_by_role("button", name="New chat").click()
    await expect(answers(page)).to_have_count(0)
    written = (await anna.get(f"/conversations/{here.rpartition('/')[2]}/messages"))["items"][-1]
    await anna.http.post(f"/chat/runs/{written['run_id']}/cancel")
    await expect(page.get_by_role("img", name="an answer is being written")).to_have_count(0)
    await page.goto(here)
    await answered(page)
    await expect(message(page)).to_have_value("And a second one.")


async def test_what_is_typed_while_a_chat_begins_stays_in_it(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    begins = asyncio.Event()

    async def late(route: Route) -> None:
        await begins.wait()
        await route.continue_()

    await page.route("**/api/v1/chat/stream", late)
    openai.script(tokens=[f"word{n} " for n in range(60)], delay=0.1)
    await ask(page, "First")
    await message(page).fill("Second")
    await page.keyboard.press("Enter")
    await message(page).fill("And a third")
    begins.set()
    await page.wait_for_url("**/c/*")
    await expect(page.get_by_text("Goes out after this answer: Second")).to_be_visible()
    await expect(message(page)).to_have_value("And a third")
    await page.unroute("**/api/v1/chat/stream")
    openai.script(reply="The second answer.")
    await expect(answers(page).nth(1)).to_contain_text("The second answer.")
    await page.get_by_role("button", name="New chat").click()
    await expect(message(page)).to_have_value("")


async def test_how_much_a_model_thinks_is_chosen(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await page.get_by_role("button", name="Chat settings").click()
    await page.get_by_role("group", name="Thinking, for models that do").get_by_label("much").check()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Chat settings")).to_be_focused()
    before = len(openai.chats)
    await ask(page, "Think about it.")
    await answered(page)
    assert openai.chats[before].body["reasoning_effort"] == "high"


async def test_what_is_set_for_a_new_chat_holds_for_all_of_it(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", b"The warranty lasts two years.")
    page = await open_page(anna)
    scope = page.get_by_role("button", name=re.compile("^Search in:"))
    await scope.click()
    await page.get_by_role("radio", name="No files").click()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Chat settings").click()
    await page.get_by_role("button", name="Precise").click()
    await page.get_by_role("textbox", name="System prompt").fill("Answer like a pirate.")
    await page.keyboard.press("Escape")
    openai.script(reply="Arr.")
    before = len(openai.chats)
    await ask(page, "How long is the warranty?")
    await answered(page)
    await page.wait_for_url("**/c/*")
    await expect(scope).to_contain_text("No files")
    await ask(page, "And how long is that warranty exactly?")
    await answered(page, 2)
    # A title is asked for without the chat's system prompt.
    asked = [chat.body for chat in openai.chats[before:] if "pirate" in str(chat.body["messages"])]
    assert [body["temperature"] for body in asked] == [0.1, 0.1]
    assert "two years" not in str(asked)
    # The next chat begins as if nothing had been chosen.
    await page.get_by_role("button", name="New chat").click()
    await expect(scope).to_contain_text("All my files")
    await page.get_by_role("button", name="Chat settings", exact=True).click()
    await expect(page.get_by_role("textbox", name="System prompt")).to_have_value("")


@pytest.mark.parametrize("path", ["/", "/?temporary=true"])
async def test_a_system_prompt_is_kept_where_more_begins_than_a_question(
    path: str, open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna, path=path)
    if path == "/":  # a file makes the new chat a conversation, which the prompt comes too late for
        await attach(page, "plan.txt", b"The plan is called Walrus.")
        await ready(page, "plan.txt")
    await page.get_by_role("button", name="Chat settings").click()
    await page.get_by_role("textbox", name="System prompt").fill("Answer like a pirate.")
    await page.keyboard.press("Escape")
    await ask(page, "Who are you?")
    await answered(page)
    await page.wait_for_url("**/c/*")
    kept = await anna.get(f"/conversations/{page.url.rpartition('/')[2]}")
    assert kept["system_prompt"] == "Answer like a pirate."


async def test_an_answer_in_another_chat_is_marked_and_told_when_ready(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=[f"word{n} " for n in range(40)], delay=0.1)
    await ask(page, "A long one, please.")
    await expect(answers(page)).to_contain_text("word1")
    await page.get_by_role("button", name="New chat").click()
    await expect(answers(page)).to_have_count(0)
    await expect(page.get_by_role("img", name="an answer is being written")).to_be_visible()
    news = page.get_by_text("An answer in another chat is ready.")
    await expect(news).to_be_visible()
    await expect(page.get_by_role("img", name="an answer is being written")).to_have_count(0)
    await page.get_by_role("button", name="Open", exact=True).click()
    await expect(answers(page)).to_contain_text("word39")
