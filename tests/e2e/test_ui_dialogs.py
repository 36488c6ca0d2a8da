"""What dialogs keep, and where the focus is when they have closed."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.asking import message
from tests.e2e.conftest import OpenPage
from tests.integration.api.test_projects import made
from tests.support import Person

pytestmark = pytest.mark.e2e


async def press_escape(page: Page) -> None:
    await page.keyboard.press("Escape")


async def click_beside(page: Page) -> None:
    """Click on the veil."""
    await page.mouse.click(5, 5)


async def test_a_changed_form_stays_and_the_focus_goes_back(open_page: OpenPage, anna: Person) -> None:
    await made(anna, "/prompts", title="Letter", content="Write to {{whom}}.")
    page = await open_page(anna, "/assistants")
    opener, dialog = page.get_by_role("button", name="New assistant").first, page.get_by_role("dialog")
    for close in (press_escape, click_beside):
        await opener.click()
        await expect(dialog).to_have_count(1)
        await close(page)
        await expect(dialog).to_have_count(0)
        await expect(opener).to_be_focused()
    await opener.click()
    await dialog.get_by_label("System prompt").fill("Answer as a pirate would. " * 40)
    await click_beside(page)
    await page.keyboard.press("Escape")
    await expect(dialog.get_by_label("System prompt")).to_have_value("Answer as a pirate would. " * 40)
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    await expect(opener).to_be_focused()

    # A dialog that a menu has opened, which is gone by then.
    await page.goto("/")
    await page.get_by_role("button", name="Account menu").click()
    await page.get_by_role("menuitem", name="Keyboard shortcuts").click()
    await expect(dialog).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("button", name="Account menu")).to_be_focused()

    # One after the other: the palette, the help that it opens, and back.
    await message(page).focus()
    await page.keyboard.press("Control+k")
    await dialog.get_by_role("combobox").fill("Keyboard")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(message(page)).to_be_focused()
    # Letters that look for something are nothing to lose.
    await page.keyboard.press("Control+k")
    await dialog.get_by_role("combobox").fill("zzz")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)

    await message(page).fill("/let")
    await page.get_by_role("option", name="Letter").click()
    await dialog.get_by_label("whom").fill("the king")
    await dialog.get_by_role("button", name="Insert").click()
    await expect(message(page)).to_have_value("Write to the king.")
    await expect(message(page)).to_be_focused()
