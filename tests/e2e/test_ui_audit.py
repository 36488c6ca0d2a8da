"""The audit log in the page: filtered, and downloaded."""

import json

import pytest
from playwright.async_api import expect

from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import library
from tests.support import Person

pytestmark = pytest.mark.e2e


async def test_an_administrator_finds_who_did_what(open_page: OpenPage, admin: Person, anna: Person) -> None:
    await library(anna, "Forest")
    page = await open_page(admin, "/admin")
    log = page.get_by_role("region", name="Audit log", exact=True)
    await expect(log.get_by_role("row").filter(has_text="Library created").first).to_contain_text(anna.name)
    await log.get_by_label("Name or id").fill(anna.name)
    await expect(log.get_by_role("row")).to_have_count(4)  # its head, and what she did
    await log.get_by_label("Action").select_option("Signed in")
    await expect(log.get_by_role("row")).to_have_count(2)
    await accessible(page)
    await log.scroll_into_view_if_needed()
    await shot(page, "audit-1280")
    async with page.expect_download() as downloading:
        await log.get_by_role("link", name="Download").click()
    path = await (await downloading.value).path()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["actor"], row["action"]) for row in rows] == [(anna.name, "signed_in")]
    await log.get_by_label("Name or id").fill("nobody")
    await expect(log.get_by_text("Nothing fits.")).to_be_visible()
    await page.set_viewport_size({"width": 390, "height": 844})
    await accessible(page)
