"""Everything around the conversation: its list, files, account, administration, studio, phone, keyboard, languages."""

import asyncio
import json
import re
from itertools import count
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Page, Route, expect

from tests.e2e.asking import WARRANTY, answered, ask, attach, message, ready
from tests.e2e.axe import accessible
from tests.e2e.conftest import Database, OpenPage, shot
from tests.files.pdf import pdf
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import group, library
from tests.providers import OpenAIServer
from tests.support import Person, eventually

pytestmark = pytest.mark.e2e

PHONE = {"width": 390, "height": 844}


async def asked(page: Page, openai: OpenAIServer, question: str, reply: str) -> None:
    openai.script(reply=reply)
    await ask(page, question)
    await answered(page)


async def choose(page: Page, title: str, action: str) -> None:
    """Choose an action from a conversation's menu."""
    link = page.get_by_role("navigation").get_by_role("link", name=title)
    await link.hover()
    await page.get_by_role("button", name=f"Actions for {title}").click()
    await page.get_by_role("menuitem", name=action, exact=True).click()


async def test_conversations_are_kept_in_order(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    for title in ("Alpha", "Beta", "Gamma"):
        await anna.http.post("/conversations", json={"title": title})
    page = await open_page(anna)
    menu = page.get_by_role("navigation")
    await expect(menu.get_by_role("link", name="Gamma")).to_be_visible()

    await choose(page, "Alpha", "Pin")
    await expect(menu.get_by_text("Pinned")).to_be_visible()
    await choose(page, "Beta", "Rename")
    await page.get_by_role("textbox", name="Title").fill("Delta")
    await page.keyboard.press("Enter")
    await expect(menu.get_by_role("link", name="Delta")).to_be_visible()
    await choose(page, "Gamma", "Archive")
    await expect(menu.get_by_role("link", name="Gamma")).to_have_count(0)
    await page.get_by_role("button", name="List options").click()
    await page.get_by_role("menuitem", name="Show archived").click()
    await expect(menu.get_by_role("link", name="Gamma")).to_be_visible()

    await choose(page, "Delta", "Delete")
    await expect(menu.get_by_role("link", name="Delta")).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(menu.get_by_role("link", name="Delta")).to_be_visible()
    await choose(page, "Delta", "Delete")
    await expect(page.get_by_text("Chat deleted")).to_have_count(0, timeout=10_000)

    async def is_gone() -> bool:  # the page asks for it once the offer to undo has left
        items = (await anna.get("/conversations", include_archived=True))["items"]
        return sorted(item["title"] for item in items) == ["Alpha", "Gamma"]

    await eventually(is_gone)


async def test_what_was_deleted_is_gone_when_one_signs_out_at_once(open_page: OpenPage, anna: Person) -> None:
    gone = (await anna.ask("Delete me"))["conversation_id"]
    page = await open_page(anna)
    await page.get_by_role("button", name="Actions for Delete me").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await expect(page.get_by_role("button", name="Undo")).to_be_visible()
    await page.get_by_role("button", name="Account menu").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    assert (await anna.http.get(f"/conversations/{gone}")).status_code == 404


async def test_search_marks_its_hits(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="A capybara is the largest rodent.")
    await anna.ask("Tell me about rodents")
    page = await open_page(anna)
    await expect(message(page)).to_be_focused()
    await page.get_by_role("searchbox", name="Search chats").fill("capybara")
    hit = page.get_by_role("navigation").locator("mark").first
    await expect(hit).to_have_text(re.compile("capybara", re.IGNORECASE))
    await hit.click()
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("largest rodent")


async def test_an_exported_conversation_comes_back(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, tmp_path: Path
) -> None:
    openai.script(reply="A reply to keep.")
    first = await anna.ask("To be exported")
    await anna.http.patch(f"/conversations/{first['conversation_id']}", json={"title": "Keepsake"})
    page = await open_page(anna)
    async with page.expect_download() as download:
        await choose(page, "Keepsake", "Export as JSON")
    file = tmp_path / "export.json"
    await (await download.value).save_as(file)
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="List options").click()
        await page.get_by_role("menuitem", name="Import a chat").click()
    await (await chooser.value).set_files(file)
    await page.wait_for_url("**/c/*")
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("A reply to keep.")


async def test_files_have_a_library(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna, path="/files")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Upload files").click()
    files: list[FilePayload] = [
        {"name": "warranty.md", "mimeType": "text/markdown", "buffer": WARRANTY.encode()},
        {"name": "nothing.txt", "mimeType": "text/plain", "buffer": b""},
    ]
    await (await chooser.value).set_files(files)
    await ready(page, "warranty.md")
    await expect(page.get_by_text("The file is empty")).to_be_visible()
    await shot(page, "files-1280-light")
    await accessible(page)

    await page.get_by_role("button", name="warranty.md", exact=True).click()
    await expect(page.get_by_role("complementary", name="Document")).to_contain_text("Batteries are excluded.")
    await page.get_by_role("complementary").get_by_role("button", name="Close").click()

    await page.get_by_role("button", name="Actions for warranty.md").click()
    await page.get_by_role("menuitem", name="Use in a chat").click()
    await page.get_by_role("dialog").get_by_role("button", name="New chat").click()
    await page.wait_for_url("**/c/*")
    await ready(page, "warranty.md")

    await page.goto("/files")
    await page.get_by_role("button", name="Actions for warranty.md").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    # While the dialog is open, what lies behind it is not there for anybody.
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="warranty.md", exact=True)).to_have_count(0)
    assert (await anna.get("/files"))["items"] == []


async def test_a_citation_opens_the_pdf_at_its_page(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    lines = [f"Llama number {number} gives wool of quality {number % 7}." for number in range(48)]
    wool, half = "\n".join(lines), "\n".join(lines[:24])
    pages = [wool, wool.replace("wool", "milk"), f"{half}\nThe warranty of a llama lasts seven years.\n{half}"]
    page = await open_page(anna)
    await attach(page, "llamas.pdf", pdf(pages), "application/pdf")
    await ready(page, "llamas.pdf")
    await asked(page, openai, "How many years does the warranty last?", "Seven years [1].")
    await page.get_by_role("button", name="Source 1", exact=True).first.click()
    panel = page.get_by_role("complementary", name="Document")
    await expect(panel.get_by_text("Page 3 / 3")).to_be_visible()
    await expect(panel.locator(".pdf-page__mark").first).to_be_visible()
    await shot(page, "pdf-1280-light")
    await panel.get_by_role("button", name="Previous page").click()
    await expect(panel.get_by_text("Page 2 / 3")).to_be_visible()
    await panel.get_by_role("button", name="Text", exact=True).click()
    await expect(panel.locator("mark")).to_contain_text("seven years")


async def test_the_model_picker_names_sources_and_keeps_the_choice(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await page.get_by_role("button", name=re.compile("^Model")).click()
    await page.get_by_role("menuitemradio", name="gpt-4o-mini").click()
    await asked(page, openai, "Hello", "Hello.")
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("gpt-4o-mini")
    await page.reload()
    await expect(page.get_by_role("button", name="Model: gpt-4o-mini")).to_be_visible()


async def test_the_account_page(open_page: OpenPage, anna: Person, tmp_path: Path) -> None:
    page = await open_page(anna, path="/account")
    await expect(page.get_by_text(anna.email)).to_be_visible()
    await accessible(page)
    await page.get_by_role("radio", name="Dark").check()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await accessible(page)
    await page.get_by_role("radio", name="Русский").check()
    await expect(page.get_by_role("heading", name="Учётная запись")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Учётная запись")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await shot(page, "account-1280-dark-ru")
    await page.get_by_role("radio", name="English").check()

    await expect(page.get_by_text("this one")).to_have_count(1)
    await page.get_by_label("Current password").fill(anna.password)
    await page.get_by_label("New password").fill("another long passphrase")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_text("Password changed")).to_be_visible()

    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export all my data").click()
    await (await download.value).save_as(tmp_path / "export.json")
    assert json.loads((tmp_path / "export.json").read_text())["profile"]["username"] == anna.name

    await page.get_by_role("button", name="Delete my account").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Password").fill("another long passphrase")
    await dialog.get_by_role("button", name="Delete my account").click()
    await page.wait_for_url("**/sign-in")


async def test_administration_is_for_administrators(
    open_page: OpenPage, anna: Person, boris: Person, database: Database
) -> None:
    page = await open_page(anna, path="/admin")
    await expect(page.get_by_text("for administrators")).to_be_visible()
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [anna.name])
    await page.reload()
    await page.get_by_role("searchbox", name="Search users").fill(boris.name)
    actions = page.get_by_role("button", name=f"Actions for {boris.name}")
    await actions.click()
    await page.get_by_role("menuitem", name="Confirm e-mail address").click()
    await actions.click()
    await expect(page.get_by_role("menuitem", name="Withdraw confirmation of e-mail address")).to_be_visible()
    await page.get_by_role("menuitem", name="Deactivate").click()
    await expect(page.get_by_text("deactivated")).to_be_visible()
    assert (await boris.http.get("/auth/me")).status_code in (401, 403)
    await expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    await accessible(page)
    await shot(page, "admin-1280-light")


async def test_the_studio_draws_the_graph_and_its_checkpoints(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="Yes.")
    first = await anna.ask("Is this kept?")
    page = await open_page(anna, path=f"/studio/{first['conversation_id']}")
    drawing = page.get_by_role("img", name=re.compile("retrieve[\\s\\S]*augment[\\s\\S]*generate[\\s\\S]*persist"))
    await expect(drawing).to_be_visible()
    await page.get_by_role("button", name=re.compile("persist")).click()
    await expect(page.get_by_role("heading", name="State")).to_be_visible()
    await accessible(page)
    await shot(page, "studio-1280-light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone(open_page: OpenPage, anna: Person, openai: OpenAIServer, scheme: str) -> None:
    page = await open_page(anna, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    await attach(page, "warranty.md", WARRANTY.encode())
    await ready(page, "warranty.md")
    await asked(page, openai, "How long does the warranty last?", "Two years [1].")
    await shot(page, f"chat-390-{scheme}")
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await page.get_by_role("button", name="Source 1", exact=True).first.tap()
    document = page.get_by_role("complementary", name="Document")
    await expect(document.locator("mark")).to_be_visible()
    await document.get_by_role("button", name="Close").tap()
    await page.get_by_role("button", name="Open menu").tap()
    await expect(page.get_by_role("button", name="New chat")).to_be_in_viewport()
    await shot(page, f"menu-390-{scheme}")
    await accessible(page)
    await page.get_by_role("button", name="New chat").tap()
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


async def test_by_keyboard_alone(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await expect(message(page)).to_be_focused()
    openai.script(reply="First.")
    await page.keyboard.type("A question")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("in two lines")
    await page.keyboard.press("Enter")
    await answered(page)
    await expect(page.get_by_role("article", name="You")).to_contain_text(
        "A question\nin two lines", use_inner_text=True
    )

    await message(page).focus()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("textbox", name="Edit message")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+/")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")

    openai.script(tokens=["word "] * 300, delay=0.05)
    await message(page).focus()
    await page.keyboard.type("Go on")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Answer").nth(1)).to_contain_text("word")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("You stopped this answer")).to_be_visible()
    await page.keyboard.press("Control+Shift+O")
    await page.wait_for_url(re.compile(r"/$"))
    await page.keyboard.press("Alt+ArrowDown")
    await page.wait_for_url("**/c/*")


async def test_in_russian(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna, locale="ru-RU")
    await expect(page.get_by_role("heading", name="Что вы хотите узнать?")).to_be_visible()
    openai.script(reply="Два года.")
    await page.get_by_role("textbox", name="Сообщение").fill("Сколько длится гарантия?")
    await page.get_by_role("button", name="Отправить").click()
    await expect(page.get_by_role("article", name="Ответ")).to_contain_text("Два года.")
    await expect(page.get_by_role("button", name="Ответить заново")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "ru")


SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { hadRecentInput, sources } of list.getEntries())
    for (const { node } of sources)
      if (!hadRecentInput && node?.parentElement?.closest("main")) window.shifts.push(node.textContent);
}).observe({ type: "layout-shift", buffered: true });
"""


async def test_nothing_moves_under_the_pointer_while_a_page_is_filled(
    open_page: OpenPage, admin: Person, anna: Person
) -> None:
    """Its lists arrive one by one; a button that they push down meanwhile can't be pressed."""
    await admin.upload("warranty.md", WARRANTY.encode())
    assert (await admin.http.post("/prompts", json={"title": "Short", "content": "Be short."})).status_code == 201
    where = await library(admin, f"Moving {admin.name}")
    crowd = f"Movers {admin.name}"
    await group(admin, crowd, anna)
    page = await open_page(admin)
    await page.add_init_script(SHIFTS)
    asked = count()

    async def one_by_one(route: Route) -> None:
        await asyncio.sleep(next(asked) * 0.015)
        await route.continue_()

    pages = ("admin", "account", "files", "libraries", f"libraries/{where}", "groups", "prompts", "assistants")
    for path in pages:
        asked = count()
        await page.route("**/api/v1/**", one_by_one)
        await page.goto(f"/{path}")
        await expect(page.get_by_role("main").get_by_role("button").last).to_be_visible()
        await page.unroute_all(behavior="wait")
        # Two frames on, what has arrived is drawn.
        await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert await page.evaluate("shifts") == [], path


async def test_what_is_not_there_says_so(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/c/00000000-0000-7000-8000-000000000000")
    await expect(page.get_by_text("Page not found.")).to_be_visible()
