"""API keys under Account: made, copied once, used by a program, revoked."""

import httpx
import pytest
from playwright.async_api import expect

from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.support import Person, Server

pytestmark = pytest.mark.e2e
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


async def asks(server: Server, key: str) -> int:
    """Return what a program with this key is told."""
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1") as client:
        return (await client.get("/conversations", headers={"x-api-key": key})).status_code


async def test_a_key_is_made_used_and_revoked(open_page: OpenPage, anna: Person, server: Server) -> None:
    page = await open_page(anna, path="/account")
    await page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Nightly import")
    await dialog.get_by_label("Read chats").check()
    await dialog.get_by_label("30 days").check()
    await accessible(page)
    await shot(page, "api-key-new-1280-light")
    await dialog.get_by_role("button", name="Create a key").click()
    await expect(dialog).to_contain_text("It is not shown again.")
    key = await dialog.locator(".key code").inner_text()
    assert key.startswith("ls_")
    await shot(page, "api-key-shown-1280-light")
    await page.mouse.click(5, 5)
    await expect(dialog.get_by_text(key)).to_be_visible()
    await dialog.get_by_role("button", name="Done").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    row = page.locator(".session", has_text="Nightly import")
    await expect(row).to_contain_text(key[:11])
    await expect(row).to_contain_text("never used")
    assert await asks(server, key) == 200

    await page.reload()
    await expect(row).to_contain_text("last used")
    await expect(page.locator("body")).not_to_contain_text(key)
    await accessible(page)
    await row.get_by_role("button", name="Revoke Nightly import").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(row).to_have_count(0)
    assert await asks(server, key) == 401


async def test_a_key_is_copied_over_plain_http_too(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/account", permissions=["clipboard-read", "clipboard-write"])
    read = "navigator.clipboard.readText()"
    await page.evaluate("navigator.clipboard.writeText('what was there before')")
    await page.evaluate("Object.defineProperty(window, 'isSecureContext', {get: () => false})")
    await page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Nightly import")
    await dialog.get_by_role("button", name="Create a key").click()
    key = await dialog.locator(".key code").inner_text()
    copy = dialog.get_by_role("button", name="Copy the key")
    await copy.click()
    await expect(dialog.get_by_text("Copied")).to_have_count(1)
    assert await page.evaluate(read) == key
    await expect(copy).to_be_focused()
    # A browser that does not let it be copied is not said to have done so.
    await expect(dialog.get_by_text("Copied")).to_have_count(0)
    await page.evaluate("document.execCommand = () => false")
    await copy.click()
    await expect(page.locator(".toast")).to_contain_text("did not let this be copied")
    await expect(dialog.get_by_text("Copied")).to_have_count(0)


async def test_it_can_be_done_on_a_phone(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/account", **PHONE)
    await page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Phone")
    await shot(page, "api-key-new-390-dark")
    for label in ("Chat", "List models"):
        await dialog.get_by_label(label, exact=True).uncheck()
    await expect(dialog.get_by_role("button", name="Create a key")).to_be_disabled()
    await dialog.get_by_label("Read and search files").check()
    await dialog.get_by_role("button", name="Create a key").click()
    await shot(page, "api-key-shown-390-dark")
    await dialog.get_by_role("button", name="Done").click()
    await expect(page.locator(".session", has_text="Phone")).to_contain_text("files:read")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
