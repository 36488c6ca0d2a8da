"""Retention in the page: limits that are checked before they are saved, a hold that its person meets, an erasure."""

import pytest
from playwright.async_api import expect

from tests.conftest import Database
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.e2e.test_ui_pages import choose
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_retention import OLD
from tests.integration.api.test_retention import keeper as keeper
from tests.support import Person

pytestmark = pytest.mark.e2e


async def test_limits_are_checked_saved_and_applied(
    open_page: OpenPage, keeper: Person, anna: Person, database: Database
) -> None:
    thread = (await anna.ask("Hello."))["conversation_id"]
    database.execute(f"UPDATE conversations SET updated_at = {OLD} WHERE id = %s", (thread,))
    page = await open_page(keeper, "/admin")
    part = page.get_by_role("region", name="Retention")
    await part.get_by_label("Audit log", exact=True).fill("30")
    await part.get_by_role("button", name="Check and save").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)  # the browser itself says that it is too short
    await part.get_by_label("Audit log", exact=True).fill("")
    await part.get_by_label("Chats", exact=True).fill("30")
    await part.get_by_role("button", name="Check and save").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Chats: 1 is deleted now. The oldest is of")
    await accessible(page)
    await shot(page, "retention-1280")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Limits saved.")).to_be_visible()
    await part.get_by_role("button", name="Delete now").click()
    await expect(dialog).to_contain_text("Chats: 1 is deleted now.")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("1 record deleted.")).to_be_visible()
    assert (await anna.http.get(f"/conversations/{thread}")).status_code == 404
    await page.reload()
    await expect(part.get_by_label("Chats", exact=True)).to_have_value("30")
    await page.set_viewport_size({"width": 390, "height": 844})
    await part.scroll_into_view_if_needed()
    await accessible(page)
    await shot(page, "retention-390")


async def test_a_chat_on_hold_cannot_be_deleted_and_its_owner_is_told(
    open_page: OpenPage, keeper: Person, anna: Person
) -> None:
    thread = (await anna.ask("Hello."))["conversation_id"]
    await anna.http.patch(f"/conversations/{thread}", json={"title": "Held"})
    hers = await open_page(anna, f"/c/{thread}")
    page = await open_page(keeper, "/admin")
    part = page.get_by_role("region", name="Retention")
    await part.get_by_role("button", name="Place a hold").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Hold on").select_option("A chat")
    await dialog.get_by_label("Address or id of the chat").fill(hers.url)
    await dialog.get_by_label("Reason").fill("Case 12")
    await accessible(page)
    await dialog.get_by_role("button", name="Place a hold").click()
    row = part.get_by_role("listitem").filter(has_text=f"A chat of {anna.name}")
    await expect(row).to_contain_text("Case 12")
    link = hers.get_by_role("navigation").get_by_role("link", name="Held")
    await choose(hers, "Held", "Delete")
    await expect(link).to_have_count(0)
    await expect(
        hers.get_by_text("This is under legal hold and can't be deleted until an administrator releases it.")
    ).to_be_visible()
    await expect(link).to_be_visible()
    await row.get_by_role("button", name="Release").click()
    await page.get_by_role("dialog").get_by_role("button", name="Release").click()
    await expect(row).to_have_count(0)
    assert (await anna.http.delete(f"/conversations/{thread}")).status_code == 204


async def test_a_person_is_erased_and_the_page_tells_what_went(
    open_page: OpenPage, keeper: Person, anna: Person
) -> None:
    await anna.ask("Hello.")
    page = await open_page(keeper, "/admin")
    await page.get_by_label("Search users").fill(anna.name)
    await page.get_by_role("button", name=f"Actions for {anna.name}").click()
    await page.get_by_role("menuitem", name="Erase…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("listitem").filter(has_text="Messages")).to_contain_text("2")
    await expect(dialog.get_by_role("button", name="Erase for good")).to_be_disabled()
    await dialog.get_by_label(f"Type {anna.name} to confirm").fill(anna.name)
    await accessible(page)
    await shot(page, "erase-1280")
    await page.set_viewport_size({"width": 390, "height": 844})
    await accessible(page)
    await shot(page, "erase-390")
    await dialog.get_by_role("button", name="Erase for good").click()
    await expect(dialog).to_contain_text(f"{anna.name} was erased")
    await expect(dialog.get_by_role("listitem").filter(has_text="Audit log")).to_contain_text("evidence")
    await dialog.get_by_role("button", name="Close").last.click()
    await expect(page.get_by_role("button", name=f"Actions for {anna.name}")).to_have_count(0)
    assert (await anna.http.get("/auth/me")).status_code == 401
