"""The palette: a chat, a file or an action by a few letters and the keyboard alone."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.asking import answers
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e


async def palette(page: Page) -> Locator:
    await expect(page.get_by_role("searchbox", name="Search chats")).to_be_visible()
    await page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Go to")
    await expect(field).to_be_focused()
    return field


async def test_a_chat_is_gone_to_by_what_was_said_in_it(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="A capybara is the largest rodent.")
    asked = await anna.ask("Tell me about rodents")
    await anna.http.patch(f"/conversations/{asked['conversation_id']}", json={"title": "Animals"})
    openai.script(reply="Granite is hard.")
    await anna.ask("Something else")
    page = await open_page(anna)
    field = await palette(page)
    await field.fill("capybara")
    await expect(page.get_by_role("option")).to_have_count(1)
    await accessible(page, "the palette")
    await shot(page, "palette")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(asked["conversation_id"]))
    await expect(answers(page)).to_contain_text("largest rodent")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_file_and_an_action(open_page: OpenPage, anna: Person) -> None:
    await anna.indexed("walnut-contract.txt", b"The Walnut contract ends after 37 months.")
    page = await open_page(anna)
    field = await palette(page)
    await field.fill("walnut")
    await page.get_by_role("option", name="walnut-contract.txt").click()
    await expect(page.get_by_role("complementary").filter(has_text="37 months")).to_be_visible()
    await (await palette(page)).fill("dark theme")
    await page.keyboard.press("Enter")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    field = await palette(page)
    await field.fill("zzz nothing")
    await expect(page.get_by_text("Nothing fits.")).to_be_visible()
    await field.fill("")
    # Up from the first is the last.
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("option", selected=True)).to_have_text("Keyboard shortcuts")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
