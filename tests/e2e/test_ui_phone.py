"""Nothing is wider than the phone, however long a name is, and everything is reached on one that lies."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_projects import made
from tests.support import Person

pytestmark = pytest.mark.e2e

LONG = "a-model-with-a-very-long-name-that-goes-on-and-on-instruct-q4_k_m"


async def test_a_long_model_name_does_not_push_send_off_the_screen(open_page: OpenPage, anna: Person) -> None:
    body = {"title": "Long", "model_source": "embedded", "model_name": LONG}
    thread = (await anna.http.post("/conversations", json=body)).json()["id"]
    page = await open_page(anna, f"/c/{thread}", viewport={"width": 390, "height": 844})
    await page.get_by_label("Message").wait_for()
    send = await page.get_by_role("button", name="Send").bounding_box()
    assert send is not None
    assert send["x"] + send["width"] <= 390
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_the_chats_are_reached_where_the_screen_is_low(open_page: OpenPage, anna: Person) -> None:
    for number in range(2):
        await made(anna, "/projects", name=f"Project {number}")
    titles = [f"Chat {number}" for number in range(30)]
    for title in titles:
        await anna.http.post("/conversations", json={"title": title})
    page = await open_page(anna, viewport={"width": 844, "height": 390})
    search = page.get_by_role("searchbox", name="Search chats")
    for width, height in ((844, 390), (640, 400)):
        await page.set_viewport_size({"width": width, "height": height})
        if width < 700:
            await page.get_by_role("button", name="Open menu").click()
        # Both are clicked at their middle, where nothing may lie upon them.
        await search.click()
        await page.get_by_role("link", name=titles[-1], exact=True).hover()
        assert (await page.get_by_role("region", name="Chats").bounding_box() or {"height": 0})["height"] > 150
        await page.get_by_role("button", name="Account menu").hover()
        await search.scroll_into_view_if_needed()
        await shot(page, f"sidebar-{width}x{height}")


async def test_nothing_is_cut_off_in_russian(open_page: OpenPage, anna: Person) -> None:
    thread = (await anna.http.post("/conversations", json={"title": "Files", "search_library": False})).json()["id"]
    for number in range(12):
        await anna.upload(f"{number}-{'a-very-long-name-' * 6}.txt", f"Text {number}.".encode(), conversation_id=thread)
    await made(anna, "/projects", name="A-very-long-name-" * 5)
    page = await open_page(anna, f"/c/{thread}", viewport={"width": 390, "height": 844}, locale="ru-RU")
    await page.get_by_role("textbox").first.wait_for()
    scope = page.locator(".scope__count").first
    await expect(scope).to_have_text("12")
    assert await scope.evaluate("(e) => e.getClientRects().length === 1 && e.offsetHeight < 30")
    await page.get_by_role("button", name="Настройки беседы").click()
    await shot(page, "settings-390-ru")
    cut = "(e) => e.scrollWidth - e.clientWidth"
    assert await page.locator(".popover").evaluate(cut) <= 0
    await page.keyboard.press("Escape")
    # Long names are shortened, wherever they stand.
    assert await page.locator(".projects").evaluate(cut) <= 0
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox").fill("very-long")
    await expect(page.get_by_role("option")).to_have_count(7)
    assert await page.locator(".palette").evaluate(cut) <= 0
    await page.goto("/assistants")
    await page.get_by_role("button", name="Новый ассистент").first.click()
    await expect(page.get_by_role("dialog").get_by_role("checkbox", name=re.compile("^11-"))).to_be_attached()
    assert await page.locator(".file-chooser__list").evaluate(cut) <= 0
    await shot(page, "file-chooser-390-ru")
