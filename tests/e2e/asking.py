"""What people do on the page, in the words of its accessible names."""

from playwright.async_api import Locator, Page, expect

WARRANTY = """# Warranty

The warranty lasts two years from the day of purchase.

# Exclusions

Batteries are excluded. Damage by water is excluded too.
"""


def message(page: Page) -> Locator:
    """Return the composer's field."""
    return page.get_by_role("textbox", name="Message", exact=True)


def answers(page: Page) -> Locator:
    """Return the answers that are in the document."""
    return page.get_by_role("article", name="Answer", exact=True)


async def ask(page: Page, text: str) -> None:
    """Send a message."""
    await message(page).fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()


async def answered(page: Page, count: int = 1) -> Locator:
    """Wait until the answer with this number (from 1) is complete, and return it."""
    answer = answers(page).nth(count - 1)
    await expect(answer.get_by_role("button", name="Regenerate", exact=True)).to_be_enabled()
    return answer


async def attach(page: Page, name: str, content: bytes, mime: str = "text/plain") -> None:
    """Choose a file by the button for it."""
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Attach files", exact=True).click()
    await (await chooser.value).set_files({"name": name, "mimeType": mime, "buffer": content})


async def ready(page: Page, name: str) -> None:
    """Wait until an attached file is ready."""
    line = page.get_by_role("listitem").filter(has_text=name)
    await expect(line.get_by_text("Ready")).to_be_visible()
