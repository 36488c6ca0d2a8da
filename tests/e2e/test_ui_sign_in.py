"""Signing in through the company's provider, and with a second factor, as people do it in a browser."""

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pyotp
import pytest
from playwright.async_api import FilePayload, Page, expect

from llama_service.settings import Settings
from tests.conftest import Database
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, Watch, shot
from tests.integration.api.test_two_factor import switch_on
from tests.providers import OidcServer
from tests.support import Person, Server, serving

pytestmark = pytest.mark.e2e
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[Server]:
    """A server whose administrators need a second factor."""
    async with serving(settings.model_copy(update={"admin_two_factor": True})) as running:
        yield running


@pytest.fixture
def member(company: OidcServer, watch: Watch) -> str:
    """The name of somebody of the company who was never here."""
    company.reset()
    watch.origins.add(company.origin)
    name = f"m{uuid4().hex[:10]}"
    company.members.clear()
    company.join(name)
    return name


async def through_company(page: Page, name: str) -> None:
    await page.get_by_role("link", name="Continue with Company account").click()
    await page.get_by_role("button", name=name).click()


async def sign_out(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name).click()
    await page.get_by_role("menuitem", name="Sign out").click()


async def test_the_company_signs_in_and_out(open_page: OpenPage, company: OidcServer, member: str) -> None:
    # Where one wanted to go is where one comes out.
    page = await open_page(path="/files")
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    await accessible(page)
    await shot(page, "sign-in-company-1280-light")
    await through_company(page, member)
    await expect(page.get_by_role("heading", name="Files")).to_be_visible()
    assert page.url.endswith("/files")

    await page.goto("/account")
    await expect(page.get_by_role("heading", name="Company sign-in")).to_be_visible()
    await expect(page.locator(".session", has_text="Company account")).to_contain_text(f"{member}@company.example")
    # There is no password to change, to prove, or to be left with.
    await expect(page.get_by_role("heading", name="Change password")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Two-factor sign-in")).to_have_count(0)
    await expect(page.get_by_role("button", name="Remove Company account")).to_have_count(0)
    await accessible(page)
    await shot(page, "account-company-1280-light")

    await sign_out(page, member)
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    assert company.end_sessions(member) == []


async def test_what_went_wrong_is_said(open_page: OpenPage, member: str, anna: Person, company: OidcServer) -> None:
    page = await open_page(path="/sign-in")
    await through_company(page, "Cancel")
    await expect(page.get_by_role("alert")).to_contain_text("may not use this")
    company.spoil = lambda claims: claims.update(nonce="another")
    await through_company(page, member)
    await expect(page.get_by_role("alert")).to_contain_text("could not be completed")
    company.reset()
    company.join("namesake", email=anna.email)
    await through_company(page, "namesake")
    await expect(page.get_by_role("alert")).to_contain_text("already")
    await shot(page, "sign-in-problem-1280-light")


async def test_the_owner_adds_the_company_and_takes_it_away(open_page: OpenPage, member: str, anna: Person) -> None:
    page = await open_page(anna, path="/account")
    await page.get_by_role("link", name="Add Company account").click()
    await page.get_by_role("button", name=member).click()
    row = page.locator(".session", has_text=f"{member}@company.example")
    await expect(row).to_be_visible()
    await row.get_by_role("button", name="Remove Company account").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(row).to_have_count(0)


async def test_on_a_phone_in_russian(open_page: OpenPage, member: str) -> None:
    page = await open_page(path="/sign-in", locale="ru-RU", **PHONE)
    await expect(page.get_by_role("link", name="Войти через Company account")).to_be_visible()
    await accessible(page)
    await shot(page, "sign-in-company-390-dark-ru")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await page.get_by_role("link", name="Войти через Company account").click()
    await page.get_by_role("button", name=member).click()
    await expect(page.get_by_role("textbox")).to_be_visible()


async def test_what_is_wrong_is_said_in_russian(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(path="/sign-in", locale="ru-RU")
    await page.get_by_role("button", name="Создать", exact=True).click()
    name, told = page.get_by_label("Имя пользователя"), page.get_by_role("alert")
    rule = "3 до 64 символов: буквы, цифры, точки, дефисы и подчёркивания"
    await expect(name).to_have_accessible_description(f"От {rule}")
    await page.get_by_label("Эл. почта").fill(f"new-{anna.email}")
    await page.get_by_label("Пароль").fill(anna.password)
    for wanted, answer in (
        ("two words", f"Имя пользователя: от {rule}"),
        (anna.name, "Это имя пользователя уже занято."),
    ):
        await name.fill(wanted)
        await name.press("Enter")
        await expect(told).to_have_text(answer)
    await shot(page, "register-1280-ru")

    page = await open_page(anna, path="/files", locale="ru-RU")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Добавить файлы").first.click()
    await (await chooser.value).set_files(FilePayload(name="empty.txt", mimeType="text/plain", buffer=b""))
    await expect(page.locator(".attachment--failed")).to_contain_text("Файл пуст.")
    await page.goto("/")
    await page.get_by_role("textbox").fill("много " * 6000)
    await page.get_by_role("textbox").press("Enter")
    await expect(page.locator(".notice--error")).to_have_text(
        "Сообщение слишком длинное: допустимо не более 32\u00a0000 символов."
    )


async def test_an_account_is_deleted_without_a_password(open_page: OpenPage, member: str) -> None:
    page = await open_page(path="/account")
    await through_company(page, member)
    await page.get_by_role("button", name="Delete my account").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("within the last ten minutes")
    await dialog.get_by_role("button", name="Delete my account").click()
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_a_second_factor_is_set_up_and_asked_for(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, path="/account")
    await page.get_by_role("button", name="Switch on").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Password").fill(anna.password)
    await dialog.get_by_role("button", name="Next").click()
    picture = dialog.get_by_alt_text("QR code for the authenticator app")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    await accessible(page)
    await shot(page, "two-factor-set-up-1280-light")
    totp = pyotp.TOTP((await dialog.locator(".key code").inner_text()).replace(" ", ""))
    await dialog.get_by_label("Code").fill("000000")
    await dialog.get_by_role("button", name="Switch on").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("not right")
    await dialog.get_by_label("Code").fill(totp.at(for_time=int(time.time()), counter_offset=-1))
    await dialog.get_by_role("button", name="Switch on").click()
    codes = dialog.locator(".recovery-codes code")
    await expect(codes).to_have_count(10)
    await page.keyboard.press("Escape")
    await page.mouse.click(5, 5)
    await expect(codes).to_have_count(10)
    code = await codes.first.inner_text()
    await accessible(page)
    await shot(page, "two-factor-codes-1280-light")
    await dialog.get_by_role("button", name="Done").click()
    await expect(page.get_by_text("On. 10 recovery codes are left.")).to_be_visible()

    await sign_out(page, anna.name)
    await page.get_by_label("Username or e-mail").fill(anna.name)
    await page.get_by_label("Password").fill(anna.password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Two-factor sign-in")).to_be_visible()
    await expect(page.get_by_label("Code")).to_be_focused()
    await accessible(page)
    await shot(page, "two-factor-code-1280-light")
    await page.get_by_label("Code").fill("000000")
    await page.get_by_label("Code").press("Enter")
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("Code").fill(code)
    await page.get_by_label("Code").press("Enter")
    await expect(page.get_by_role("button", name=anna.name)).to_be_visible()
    await page.goto("/account")
    await expect(page.get_by_text("On. 9 recovery codes are left.")).to_be_visible()


async def test_an_administrator_resets_it(open_page: OpenPage, anna: Person, boris: Person, database: Database) -> None:
    await switch_on(anna)
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [boris.name])
    page = await open_page(boris, path="/admin")
    await page.get_by_label("Search users").fill(anna.name)
    await page.get_by_role("button", name=f"Actions for {anna.name}").click()
    await page.get_by_role("menuitem", name="Reset two-factor sign-in").click()
    await expect(page.get_by_role("menuitem")).to_have_count(0)
    await anna.sign_in()
    assert (await anna.get("/auth/sign-in"))["two_factor"] is False


async def test_an_administrator_without_a_second_factor_is_led_to_where_it_is_set_up(
    open_page: OpenPage, strict: Server, database: Database
) -> None:
    person = await Person.join(strict.url)
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (person.name,))
    page = await open_page(person, "/admin", base_url=strict.url)
    await expect(page.get_by_role("alert")).to_have_count(1)
    await page.get_by_role("main").get_by_role("link", name="Account").click()
    await expect(page.get_by_text("Administrators need two-factor sign-in here: nothing can be")).to_be_visible()
    await person.close()
