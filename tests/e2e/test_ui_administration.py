"""Administration in the page: people are invited, several accounts are chosen, usage is looked at."""

import asyncio

import pytest
from playwright.async_api import Route, ViewportSize, expect

from tests.e2e.asking import answered, ask
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_administration import invited
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import user_id
from tests.support import PASSWORD, Person

pytestmark = pytest.mark.e2e


async def test_somebody_comes_by_an_invitation(open_page: OpenPage, admin: Person) -> None:
    page = await open_page(admin, "/admin")
    await page.get_by_role("button", name="Invite people").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("For whom").fill("Clara")
    await dialog.get_by_role("button", name="Make a link").click()
    link = await dialog.get_by_label("Link").input_value()
    await accessible(page)
    await dialog.get_by_role("button", name="Close").last.click()
    row = page.get_by_role("list", name="Invitations").get_by_role("listitem").filter(has_text="Clara").first
    await expect(row).to_contain_text("1 use left")
    hers = await open_page(None, link)
    name = f"clara{(await user_id(admin))[-8:]}"
    await hers.get_by_label("Username").fill(name)
    await hers.get_by_label("E-mail").fill(f"{name}@example.com")
    await hers.get_by_label("Password").fill(PASSWORD)
    await accessible(hers)
    await hers.get_by_role("button", name="Create account").click()
    await expect(hers.get_by_role("button", name=f"Account menu: {name}")).to_be_visible()
    late = await open_page(None, link)
    await expect(late.get_by_role("alert")).to_contain_text("This invitation has expired or was used already")


async def test_an_invitation_that_is_looked_up_shows_no_form_yet(open_page: OpenPage, admin: Person) -> None:
    """A form that turned into another one took what was typed into it."""
    token = (await invited(admin, note="Clara"))["token"]
    page = await open_page(None, "/files")
    await expect(page.get_by_role("textbox", name="Username or e-mail")).to_be_visible()
    answers = asyncio.Event()

    async def held(route: Route) -> None:
        await answers.wait()
        await route.continue_()

    await page.route("**/api/v1/auth/invitations/*", held)
    await page.goto(f"/sign-in?invitation={token}")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    # What a form would wait for has been answered, and drawn.
    await page.evaluate("fetch('/api/v1/auth/methods').then(answer => answer.json())")
    await page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    await expect(page.get_by_role("textbox")).to_have_count(0)
    answers.set()
    await expect(page.get_by_role("button", name="Create account")).to_be_visible()


@pytest.mark.parametrize("locale", ["en-US", "ru-RU"])
async def test_it_fits_a_phone(open_page: OpenPage, admin: Person, locale: str) -> None:
    page = await open_page(admin, "/admin", locale=locale, viewport=ViewportSize(width=390, height=844))
    await expect(page.locator(".audit tbody tr").first).to_be_visible()
    assert await page.locator(".admin").evaluate("element => element.scrollWidth - element.clientWidth") == 0
    row = page.get_by_role("listitem").filter(has_text=admin.email)
    name, menu = (
        await row.get_by_text(admin.name, exact=True).bounding_box(),
        await row.get_by_role("button").bounding_box(),
    )
    assert name
    assert menu
    assert menu["y"] < name["y"] + name["height"] + menu["height"], "the menu stands beside the name"
    assert menu["x"] > name["x"] + name["width"]
    await shot(page, f"admin-390-{locale[:2]}")


async def test_it_names_what_keeps_the_vector_index(open_page: OpenPage, admin: Person) -> None:
    page = await open_page(admin, "/admin")
    await expect(page.get_by_role("heading", name="Index: Chroma")).to_be_visible()


async def test_several_accounts_are_switched_off(
    open_page: OpenPage, admin: Person, anna: Person, boris: Person
) -> None:
    await anna.indexed("a.txt", b"The owl sleeps.")
    page = await open_page(admin, "/admin")
    for person in (anna, boris):
        await page.get_by_label(f"Choose {person.name}").click()
    bar = page.get_by_role("group", name="What is done to the chosen accounts")
    await expect(bar).to_contain_text("2 chosen")
    await shot(page, "bulk-1280")
    await accessible(page)
    await bar.get_by_role("button", name="Deactivate").click()
    await expect(page.get_by_text("Done: 2, not done: 0")).to_be_visible()
    assert (await anna.http.get("/auth/me")).status_code in (401, 403)
    await page.get_by_role("button", name=f"Actions for {anna.name}").click()
    await page.get_by_role("menuitem", name="Usage").click()
    await expect(page.get_by_role("dialog")).to_contain_text("15 bytes")
    await page.set_viewport_size({"width": 390, "height": 844})
    await accessible(page)


async def test_everybody_is_told_something(open_page: OpenPage, admin: Person, anna: Person) -> None:
    page = await open_page(admin, "/admin")
    words = f"Maintenance tonight, says {admin.name}"
    await page.get_by_label("Tell everybody").fill(words)
    await page.get_by_role("button", name="Tell", exact=True).click()
    await expect(page.get_by_role("list", name="Announcements")).to_contain_text(words)
    hers = await open_page(anna)
    told = hers.get_by_role("region", name="Announcements").get_by_text(words)
    await expect(told).to_be_visible()
    await accessible(hers)
    await shot(hers, "announcement-1280")
    await told.locator("..").get_by_role("button", name="Put away").click()
    await expect(told).to_have_count(0)
    await hers.reload()
    await expect(hers.get_by_role("button", name="New chat")).to_be_visible()
    await expect(told).to_have_count(0)
    row = page.get_by_role("list", name="Announcements").get_by_role("listitem").filter(has_text=words)
    await row.get_by_role("button", name="Take back").click()
    await expect(row).to_have_count(0)


async def test_however_much_is_told_the_chat_keeps_its_place(open_page: OpenPage, admin: Person, anna: Person) -> None:
    made = [await admin.http.post("/admin/announcements", json={"text": "0" * 500}) for _ in range(6)]
    for width, height in ((390, 844), (1280, 800)):
        hers = await open_page(anna)
        await hers.set_viewport_size({"width": width, "height": height})
        await expect(hers.get_by_role("region", name="Announcements")).to_be_visible()
        await ask(hers, "Is anybody there?")
        await answered(hers)
        await expect(hers.get_by_text("Is anybody there?").last).to_be_in_viewport()
        await expect(hers.get_by_role("textbox", name="Message")).to_be_in_viewport(ratio=1)
        await accessible(hers)
        await shot(hers, f"announcements-{width}")
    for one in made:
        assert (await admin.http.delete(f"/admin/announcements/{one.json()['id']}")).status_code == 204
