"""Accounts: a forgotten password, sessions; and what an administrator does with others and sees of the system."""

import re
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from auth.users import UserManager
from tests.e2e.asking import message
from tests.e2e.conftest import Database, OpenPage
from tests.providers import OpenAIServer
from tests.support import Person, Server

pytestmark = pytest.mark.e2e

NEW_PASSWORD = "a brand new passphrase"


async def test_a_forgotten_password_is_set_anew(open_page: OpenPage, server: Server, anna: Person) -> None:
    page = await open_page(path="/sign-in")
    await page.get_by_role("button", name="Forgot password?").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("E-mail").fill(anna.email)
    await dialog.get_by_role("button", name="Send the link").click()
    await expect(dialog.get_by_role("status")).to_contain_text("on its way")

    resources = server.app.state.resources
    async with resources.database.transaction() as session:
        user = await UserManager(session, resources.hasher).user_db.get_by_name(anna.name)
    assert user is not None
    await page.goto(f"/reset-password#{resources.tokens.reset_token(user)}")  # as the letter has it
    await page.get_by_label("New password").fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/sign-in")
    await sign_in(page, anna.name, NEW_PASSWORD)
    await expect(message(page)).to_be_visible()

    await page.goto("/reset-password#nonsense")
    await page.get_by_label("New password").fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_be_visible()


async def sign_in(page: Page, name: str, password: str) -> None:
    """Fill in the form of the sign-in page."""
    await page.get_by_label("Username or e-mail").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def test_sessions_are_ended_one_by_one_and_all_at_once(open_page: OpenPage, anna: Person) -> None:
    elsewhere = await open_page(anna)
    await expect(message(elsewhere)).to_be_visible()
    page = await open_page(anna, path="/account")
    rows = page.locator(".session")
    await expect(rows).to_have_count(3)  # the two pages and the tests' own client
    await expect(rows.get_by_text("this one")).to_have_count(1)
    for left in (2, 1):
        await rows.get_by_role("button", name="End", exact=True).first.click()
        await expect(rows).to_have_count(left)
    assert (await anna.http.get("/auth/me")).status_code == 401
    await elsewhere.reload()
    await elsewhere.wait_for_url("**/sign-in")

    await page.get_by_role("button", name="End all sessions").click()
    await page.wait_for_url("**/sign-in")
    await page.goto("/")
    await page.wait_for_url("**/sign-in")


async def test_the_next_person_at_a_browser_finds_nothing_of_the_one_before(
    open_page: OpenPage, anna: Person, boris: Person
) -> None:
    page = await open_page(anna)
    await message(page).fill("Anna wants to leave the company")
    await page.goto("/account")
    await page.get_by_role("button", name="End all sessions").click()
    await page.wait_for_url("**/sign-in")
    await sign_in(page, boris.name, boris.password)
    await expect(message(page)).to_have_value("")

    # A session that ends by itself leaves the page, and what is in its memory, standing.
    await page.get_by_role("button", name="Chat settings").click()
    await page.get_by_role("button", name="Precise").click()
    await page.keyboard.press("Escape")
    await message(page).fill("Boris wants to stay")
    await page.context.clear_cookies()
    await page.get_by_role("link", name="Files", exact=True).click()
    await page.wait_for_url("**/sign-in*")
    await sign_in(page, anna.name, anna.password)
    await page.get_by_role("button", name="New chat").click()
    await expect(message(page)).to_have_value("")
    await page.get_by_role("button", name="Chat settings").click()
    await expect(page.get_by_role("button", name="Precise")).to_have_attribute("aria-pressed", "false")


async def test_a_sign_out_that_does_not_reach_the_server_is_none(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await message(page).fill("Not yet sent")
    await page.route("**/api/v1/auth/logout", lambda route: route.abort())
    await page.get_by_role("button", name="Account menu").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await expect(page.locator(".toast")).to_contain_text("reach")
    await expect(message(page)).to_have_value("Not yet sent")


async def test_another_tab_shows_who_is_signed_in_now(open_page: OpenPage, anna: Person, boris: Person) -> None:
    page = await open_page(anna)
    await expect(page.get_by_role("button", name="Account menu")).to_contain_text(anna.name)
    await message(page).fill("A thought of Anna's")
    other = await page.context.new_page()
    await other.goto("/")
    await other.get_by_role("button", name="Account menu").click()
    await other.get_by_role("menuitem", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    await page.goto("/")
    await page.wait_for_url("**/sign-in")
    await sign_in(page, anna.name, anna.password)
    # A session may become another's without a sign-out.
    await page.context.clear_cookies()
    await other.goto("/sign-in")
    await sign_in(other, boris.name, boris.password)
    await expect(other.get_by_role("button", name="Account menu")).to_contain_text(boris.name)
    await expect(page.get_by_role("button", name="Account menu")).to_contain_text(boris.name)
    await expect(message(page)).to_have_value("")


async def test_an_administrator_helps_others(
    open_page: OpenPage, anna: Person, boris: Person, database: Database
) -> None:
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [anna.name])
    page = await open_page(anna, path="/admin")
    await page.get_by_role("searchbox", name="Search users").fill(boris.name)
    row = page.locator(".user").filter(has_text=boris.name)

    async def do(action: str) -> None:
        await page.get_by_role("button", name=f"Actions for {boris.name}").click()
        await page.get_by_role("menuitem", name=action, exact=True).click()

    await do("Make admin")
    await expect(row).to_contain_text("admin")
    await do("Remove admin rights")
    await expect(row.get_by_text("admin", exact=True)).to_have_count(0)
    await do("Set a new password")
    await page.get_by_role("dialog").get_by_label("New password").fill("short")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.get_by_role("dialog").get_by_label("New password").fill(NEW_PASSWORD)
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await do("Deactivate")
    await expect(row).to_contain_text("deactivated")
    await do("Activate")
    await expect(row).not_to_contain_text("deactivated")

    # Oneself out of office: not possible by accident.
    await page.get_by_role("searchbox", name="Search users").fill(anna.name)
    await page.get_by_role("button", name=f"Actions for {anna.name}").click()
    await expect(page.get_by_role("menuitem", name="Deactivate")).to_be_disabled()
    await page.keyboard.press("Escape")

    his = await open_page(path="/sign-in")
    await sign_in(his, boris.name, NEW_PASSWORD)
    await expect(message(his)).to_be_visible()


async def test_the_system_shows_how_it_is(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, database: Database
) -> None:
    openai.script(reply="Yes.")
    await anna.ask("Is this counted?")
    openai.script(fault="500")
    failed = await anna.http.post("/chat", json={"message": "And this?"}, headers={"X-Request-ID": "seen-by-ui-01"})
    assert failed.status_code == 502
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [anna.name])
    page = await open_page(anna, path="/admin")
    for title in ("Providers", "Queue", "Index: Chroma", "Sizes"):
        await expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    providers = page.locator(".card").filter(has_text="Providers")
    await expect(providers.get_by_role("listitem").filter(has_text="OpenAI")).to_contain_text("available")
    error = page.get_by_role("row").filter(has_text="seen-by-ui-01")
    await expect(error.first).to_contain_text("provider_error")
    days = page.get_by_role("table", name="Tokens by day")
    await expect(days.get_by_role("row")).not_to_have_count(0)
    heights = "(columns) => columns.map((column) => Number(column.getAttribute('height')))"
    assert max(await page.locator(".chart__in").evaluate_all(heights)) > 0
    await expect(page.get_by_role("table", name="By model")).to_contain_text("gpt-4")


async def test_the_studio_tells_steps_apart(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="A checkpointed reply.")
    first = await anna.ask("Is this kept?")
    page = await open_page(anna, path="/studio")
    await page.get_by_label("Chat", exact=True).select_option(str(UUID(first["conversation_id"])))
    await page.wait_for_url(f"**/studio/{first['conversation_id']}")
    steps = page.locator(".checkpoint")
    await expect(steps.nth(3)).to_be_visible()
    await expect(steps.last).to_have_attribute("aria-pressed", "true")
    change = page.locator(".changes__new").filter(has_text="A checkpointed reply.")
    for index in range(await steps.count()):
        await steps.nth(index).click()
        await expect(steps.nth(index)).to_have_attribute("aria-pressed", "true")
        if await change.count():
            break
    await expect(change.first).to_be_visible()
    await expect(page.get_by_role("link", name="API documentation")).to_have_attribute("href", "/docs")
    await page.get_by_role("link", name="LangServe playground").click()
    await page.wait_for_url(re.compile("/langserve/chat/playground/"))
