"""Habits that people bring along: Back, the keyboard in a list, a mistyped address, their language, their script."""

import asyncio
import re

import pytest
from playwright.async_api import FilePayload, Route, expect

from tests.e2e.asking import WARRANTY, answered, answers, ask, attach, message, ready
from tests.e2e.conftest import OpenPage, shot
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e


async def test_back_closes_the_document_and_stays_in_the_chat(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", WARRANTY.encode())
    page = await open_page(anna, viewport={"width": 390, "height": 844})
    openai.script(reply="Two years [1].")
    await ask(page, "How long does the warranty last?")
    answer = await answered(page)
    address = page.url
    panel = page.get_by_role("complementary", name="Document")
    await answer.get_by_role("button", name="Source 1", exact=True).click()
    await expect(panel.locator("mark")).to_be_visible()
    await page.go_back()
    await expect(panel).to_have_count(0)
    assert page.url == address
    # Closed by its button, it leaves no entry behind: Back then leads to where the chat was begun.
    await answer.get_by_role("button", name="Source 1", exact=True).click()
    await panel.get_by_role("button", name="Close").click()
    await expect(panel).to_have_count(0)
    await page.go_back()
    await page.wait_for_url(re.compile(r"/$"))


async def test_search_by_keyboard(open_page: OpenPage, anna: Person) -> None:
    titles = ["Ferry to the islands", "Ferry prices", "Garden"]
    ids = {title: (await anna.http.post("/conversations", json={"title": title})).json()["id"] for title in titles}
    page = await open_page(anna)
    field = page.get_by_role("searchbox", name="Search chats")
    await field.fill("ferry")
    hits = page.get_by_role("region", name="Chats").get_by_role("link")
    await expect(hits).to_have_count(2)
    await field.press("ArrowDown")
    await expect(hits.nth(0)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(hits.nth(1)).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    await expect(field).to_be_focused()
    await field.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/c/{ids['Ferry to the islands']}")
    await field.focus()
    await field.press("Enter")
    await page.wait_for_url(f"**/c/{ids['Ferry prices']}")


@pytest.mark.parametrize("path", ["/nowhere", "/c", "/favicon.icon", "/files.html/x"])
async def test_an_unknown_address_shows_the_page_for_it(path: str, open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    answer = await page.goto(path)
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_role("heading", name="Page not found.")).to_be_visible()
    await page.get_by_role("link", name="Go to the start page").click()
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


async def test_a_program_gets_the_error_of_an_unknown_address_as_json(anna: Person) -> None:
    for path in ("/nowhere", "/assets/gone.js"):
        said = await anna.http.get(f"{anna.http.base_url.copy_with(path=path)}", headers={"Accept": "*/*"})
        assert (said.status_code, said.json()["error"]["code"]) == (404, "not_found")
    said = await anna.http.get("/nowhere", headers={"Accept": "text/html"})
    assert said.json()["error"]["code"] == "not_found"


async def test_what_goes_wrong_is_said_in_russian(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna, locale="ru-RU")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Прикрепить файлы").click()
    broken = FilePayload(name="broken.pdf", mimeType="application/pdf", buffer=b"%PDF-1.7\nnothing")
    strange = FilePayload(name="strange.bin", mimeType="application/octet-stream", buffer=bytes(range(256)) * 20)
    await (await chooser.value).set_files([broken, strange])
    await expect(page.get_by_text("Файл повреждён или не того типа.")).to_be_visible()
    await expect(page.get_by_text("Файлы этого типа не поддерживаются.")).to_be_visible()
    openai.script(fault="500")
    await page.get_by_role("textbox", name="Сообщение").fill("Сколько?")
    await page.get_by_role("button", name="Отправить", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("Модель"))
    await expect(page.get_by_role("alert")).not_to_contain_text(re.compile("[A-Za-z]{4}"))
    await shot(page, "russian-errors")


async def test_a_script_from_right_to_left_stands_on_the_right(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(reply="שלום לכולם.\n\n- אחת\n- שתיים\n\nAnd in English.\n\n1. مرحبا\n")
    await ask(page, "ما هذا؟")
    answer = await answered(page)
    direction = "(e) => getComputedStyle(e).direction"
    assert await page.locator(".message__bubble p").evaluate(direction) == "rtl"
    found = await answer.locator(".md > *").evaluate_all(f"(all) => all.map({direction})")
    assert found == ["rtl", "rtl", "ltr", "rtl"]
    assert await answer.locator("li").first.evaluate(direction) == "rtl"


async def test_tasks_and_footnotes(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    filling = "Some words.\n\n" * 40
    openai.script(reply=f"- [x] buy **bread**\n- [ ] bake\n\nIt is so[^why].\n\n{filling}[^why]: Because of *that*.\n")
    await ask(page, "List")
    answer = await answered(page)
    box = await answer.get_by_role("checkbox", name="Done").bounding_box()
    text = await answer.get_by_text("bread").bounding_box()
    assert box is not None
    assert text is not None
    assert abs((box["y"] + box["height"] / 2) - (text["y"] + text["height"] / 2)) < 6
    note = answer.get_by_role("note")
    await expect(note).to_have_text("why Because of that.")
    await answer.get_by_role("button", name="Footnote why").click()
    await expect(note).to_be_in_viewport()


async def test_a_way_back_to_the_stream_after_scrolling_up_early(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=[f"Line {number}.\n\n" for number in range(160)], delay=0.04)
    await ask(page, "Write much")
    await expect(answers(page).first).to_contain_text("Line 16.")
    await page.get_by_role("region", name="Chat", exact=True).hover()
    # A little, while there is hardly more than a window of it.
    await page.mouse.wheel(0, -120)
    down = page.get_by_role("button", name="Jump to latest")
    await expect(down).to_be_visible()
    await down.click()
    await expect(answers(page).first).to_contain_text("Line 60.")
    await expect(down).to_have_count(0)
    await page.get_by_role("button", name="Stop", exact=True).click()


async def test_a_screen_reader_hears_how_an_answer_ended(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    told = page.locator("[role=status].visually-hidden").first
    await ask(page, "Hello")
    await answered(page)
    openai.script(tokens=["Word "] * 200, delay=0.05)
    await ask(page, "Go on")
    await expect(told).to_have_text("Answering…")
    await expect(answers(page).nth(1)).to_contain_text("Word")
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(told).to_have_text("The answer was stopped.")
    openai.script(fault="500")
    await ask(page, "And now?")
    await expect(told).to_have_text("The answer failed.")
    openai.script(reply="Yes.")
    await ask(page, "Well?")
    await expect(told).to_have_text("The answer is complete.")


async def test_thoughts_are_folded_above_the_answer(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(tokens=["<think>", "Let me ", "see.", "</think>", "It is ", "42."], delay=0.4)
    await ask(page, "What is it?")
    await expect(page.get_by_text("Thinking…")).to_be_visible()
    answer = await answered(page)
    thoughts = answer.locator("details")
    await expect(thoughts.locator("summary")).to_have_text(re.compile(r"^Thought for [\d.]+ (sec|ms)$"))
    await expect(thoughts.get_by_text("Let me see.")).to_be_hidden()
    await expect(answer.locator(".md")).to_have_text("It is 42.")
    await thoughts.locator("summary").click()
    await expect(thoughts.get_by_text("Let me see.")).to_be_visible()
    await shot(page, "thoughts")
    await page.reload()
    # The seconds are kept with the answer.
    await expect(thoughts.locator("summary")).to_have_text(re.compile(r"^Thought for [\d.]+ (sec|ms)$"))
    await thoughts.locator("summary").click()
    await expect(answer.get_by_text("Let me see.")).to_be_visible()


async def test_every_way_to_close_a_document(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    """In a browser whose `scrollIntoView` returns a promise, an effect that returned it took the whole page down."""
    page = await open_page(anna)
    await attach(page, "manual.md", WARRANTY.encode())
    await ready(page, "manual.md")
    openai.script(reply="Two years [1].")
    await ask(page, "How long does the warranty last?")
    answer = await answered(page)
    panel = page.get_by_role("complementary", name="Document")
    source = answer.get_by_role("button", name="Source 1", exact=True)
    for close in ("button", "escape", "why"):
        await source.click()
        await expect(panel.locator("mark")).to_be_visible()
        if close == "button":
            await panel.get_by_role("button", name="Close").click()
        elif close == "escape":
            await page.keyboard.press("Escape")
        else:
            await answer.get_by_role("button", name="Why this answer").click()
            await expect(page.get_by_role("complementary", name="Why this answer")).to_be_visible()
        await expect(panel).to_have_count(0)
    await expect(page.get_by_text("Something went wrong on this page.")).to_have_count(0)


async def test_equal_titles_are_told_apart(open_page: OpenPage, anna: Person) -> None:
    for title in ("Minutes", "Minutes", "Plan"):
        await anna.http.post("/conversations", json={"title": title})
    page = await open_page(anna)
    rows = page.locator(".conversations .conversation__title")
    await expect(rows).to_have_count(3)
    texts = await rows.all_inner_texts()
    assert sorted(text.split()[0] for text in texts) == ["Minutes", "Minutes", "Plan"]
    assert [bool(re.search(r"\d:\d\d", text)) for text in texts] == [text.startswith("Minutes") for text in texts]


async def test_another_model_answers_in_place(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await ask(page, "Hello")
    answer = await answered(page)
    await expect(answer.locator(".meta")).to_contain_text("gpt-4")
    await answer.get_by_role("button", name="Answer with another model").click()
    await page.get_by_role("menuitemradio", name="gpt-4o-mini").click()
    await expect(answer.get_by_text("2 of 2")).to_be_visible()
    await expect(answer.locator(".meta")).to_contain_text("gpt-4o-mini")
    await expect(page.get_by_role("button", name="Model: gpt-4", exact=True)).to_be_visible()


async def test_a_drawing_is_as_large_as_it_is(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="```mermaid\ngraph TD\n  a --> b\n```")
    page = await open_page(anna)
    await ask(page, "Draw")
    answer = await answered(page)
    picture = answer.locator(".md-diagram img")
    await expect(picture).to_be_visible()
    await picture.evaluate("(image) => image.decode()")
    wide, column = await picture.evaluate("(image) => [image.clientWidth, image.parentElement.clientWidth]")
    assert 20 < wide < column / 2


async def test_files_beside_an_open_document_are_readable(open_page: OpenPage, anna: Person) -> None:
    name = "The minutes of the meeting of the board in March.txt"
    await anna.indexed(name, b"The board met in March.")
    page = await open_page(anna, "/files", viewport={"width": 1100, "height": 800})
    await page.get_by_role("button", name=name, exact=True).click()
    await expect(page.get_by_role("complementary", name="Document")).to_be_visible()
    box = await page.get_by_role("button", name=name, exact=True).bounding_box()
    assert box is not None
    assert box["width"] > 150
    assert box["height"] < 60


async def test_all_files_that_are_chosen_at_once_are_in_one_chat(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    names = [f"note{number}.txt" for number in range(6)]
    chosen: list[FilePayload] = [
        {"name": name, "mimeType": "text/plain", "buffer": f"This is {name}.".encode()} for name in names
    ]
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Attach files", exact=True).click()
    await (await chooser.value).set_files(chosen)
    attached = page.get_by_role("list", name="Attached files").get_by_role("listitem")
    await expect(attached.filter(has_text="Ready")).to_have_count(len(names))
    (thread,) = (await anna.get("/conversations"))["items"]
    files = (await anna.get("/files", conversation_id=thread["id"]))["items"]
    assert sorted(file["name"] for file in files) == names


async def test_a_double_click_sends_and_stops_nothing(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["word "] * 30, delay=0.05)
    page = await open_page(anna)
    await message(page).fill("Tell me.")
    await page.get_by_role("button", name="Send", exact=True).dblclick(delay=60)
    answer = await answered(page)
    await expect(answer).to_contain_text("word " * 30)
    await expect(page.get_by_text("You stopped this answer.")).to_have_count(0)


async def test_a_page_that_is_being_loaded_leaves_the_one_before(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await expect(message(page)).to_be_visible()
    comes = asyncio.Event()

    async def late(route: Route) -> None:
        await comes.wait()
        await route.continue_()

    await page.route("**/assets/AccountScreen*", late)
    async with page.expect_request("**/assets/AccountScreen*"):
        await page.get_by_role("button", name="Account menu").click()
        await page.get_by_role("menuitem", name="Account").click()
    await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert await message(page).is_visible()
    assert await page.get_by_role("navigation", name="Main").is_visible()
    comes.set()
    await expect(page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    # Its end is the end: what only screen readers see makes the document no longer than the window.
    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")


async def test_without_a_connection_nothing_looks_empty(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("manual.md", WARRANTY.encode())
    openai.script(reply="Two years.")
    thread = (await anna.ask("How long?"))["conversation_id"]
    page = await open_page(anna, path="/files")
    await expect(page.get_by_text("1 file ·")).to_be_visible()
    await page.get_by_role("button", name="New chat").click()
    await page.context.set_offline(True)
    await page.locator(f'a[href="/c/{thread}"]').click()
    away = page.locator(".notice--error")
    await expect(away.first).to_contain_text("can't be reached")
    await expect(page.get_by_text("What would you like to know?")).to_have_count(0)
    await page.context.set_offline(False)
    await expect(answers(page)).to_contain_text("Two years.")
    await expect(away).to_have_count(0)


async def test_who_asks_on_a_second_device_asks_behind_the_first(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="An answer.")
    thread = (await anna.ask("One"))["conversation_id"]
    here, there = await open_page(anna, path=f"/c/{thread}"), await open_page(anna, path=f"/c/{thread}")
    await answered(here)
    await answered(there)
    await ask(there, "Two, from there")
    await answered(there, 2)
    await ask(here, "Three, from here")
    await answered(here, 3)
    asked = here.get_by_role("article", name="You")
    await expect(asked).to_have_text([re.compile("One"), re.compile("Two, from there"), re.compile("Three, from here")])
    await expect(here.get_by_text("2 of 2")).to_have_count(0)
