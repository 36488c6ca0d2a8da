"""Tools as people see them: switched on in the composer, steps above the answer, a card that asks before it acts."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Locator, Page, expect

from tests.conftest import Database
from tests.e2e.asking import answered, answers, ask
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.mcp_server import McpProcess, mcp_process
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e
LETTER = ("letters__send_letter", {"to": "Ada", "text": "The meeting is on Monday."})


@pytest.fixture(scope="module")
async def letters(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[McpProcess]:
    """A real MCP server."""
    async with mcp_process(tmp_path_factory.mktemp("mcp")) as running:
        yield running


@pytest.fixture
async def admin(anna: Person, database: Database, letters: McpProcess) -> AsyncIterator[Person]:
    """An administrator; the servers that they add are gone with the test."""
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", (anna.name,))
    await anna.sign_in()
    yield anna
    # Not in SQL: a request that is still changing one would wait for this process, which waits for the lock.
    for made in (await anna.get("/admin/mcp-servers"))["items"]:
        await anna.http.delete(f"/admin/mcp-servers/{made['id']}")


@pytest.fixture
async def with_letters(admin: Person, letters: McpProcess) -> Person:
    """An administrator with the server of letters."""
    made = await admin.http.post("/admin/mcp-servers", json={"name": "letters", "url": letters.url})
    assert made.json()["status"] == "ok"
    return admin


def menu(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Tools:"))


async def switch_on(page: Page, *names: str) -> None:
    await menu(page).click()
    for name in names:
        await page.get_by_role("checkbox", name=re.compile(f"^{name}")).check()
    await page.keyboard.press("Escape")
    await expect(menu(page)).to_be_focused()  # the menu gives the focus back when it has gone
    await expect(menu(page)).to_have_accessible_name(f"Tools: {len(names)} on")


def steps(page: Page) -> Locator:
    return answers(page).get_by_role("list", name="Steps").get_by_role("listitem")


def card(page: Page) -> Locator:
    return page.get_by_role("region", name="Allow “Send a letter”?")


async def test_a_tool_is_switched_on_used_and_explained(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await expect(menu(page)).to_have_accessible_name("Tools: none on")
    await switch_on(page, "Calculate")
    openai.script(rounds=[[("calculate", {"expression": "17 * 23"})]], reply="It is **391**.")
    await ask(page, "What is 17 times 23?")
    answer = await answered(page)
    await expect(answer).to_contain_text("It is 391.")
    step = steps(page)
    await expect(step).to_have_count(1)
    await expect(step).to_contain_text("Calculate")
    await expect(step).to_contain_text("17 * 23")
    await step.locator("summary").click()
    await expect(step.get_by_text("391", exact=True)).to_be_visible()
    await accessible(page, "an answer with steps")
    # It is still there when the page is opened anew, and the chat keeps its tools.
    await page.reload()
    await expect(steps(page)).to_contain_text("Calculate")
    await expect(menu(page)).to_have_accessible_name("Tools: 1 on")


async def test_what_a_search_brought_is_a_source(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("walnut.txt", b"The Walnut contract ends after 37 months.")
    page = await open_page(anna)
    await switch_on(page, "Search files")
    openai.script(rounds=[[("search_files", {"query": "Walnut contract"})]], reply="After 37 months [1].")
    await ask(page, "Hello, when does it end?")
    answer = await answered(page)
    await answer.get_by_role("button", name="Source 1", exact=True).click()
    panel = page.get_by_role("complementary").filter(has_text="walnut.txt")
    await expect(panel).to_contain_text("ends after 37 months")


async def test_a_call_waits_for_a_person_and_the_card_says_what_for(
    open_page: OpenPage, with_letters: Person, letters: McpProcess, openai: OpenAIServer
) -> None:
    before = letters.calls()
    page = await open_page(with_letters)
    await switch_on(page, "Send a letter")
    openai.script(rounds=[[LETTER]], reply="The letter is on its way.")
    await ask(page, "Write to Ada.")
    await expect(card(page)).to_contain_text("The meeting is on Monday.")
    await expect(page.get_by_role("status").filter(has_text="waiting for your decision").first).to_be_visible()
    await accessible(page, "an approval")
    assert letters.calls() == before
    # The same card, after a reload and on a phone.
    phone = await open_page(with_letters, page.url, viewport={"width": 390, "height": 844})
    await expect(card(phone)).to_contain_text("Ada")
    overflow = await phone.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    await page.reload()
    await card(page).get_by_role("button", name="Allow", exact=True).click()
    await expect(answers(page)).to_contain_text("The letter is on its way.")
    await expect(answers(phone)).to_contain_text("The letter is on its way.")
    await expect(card(page)).to_have_count(0)
    await expect(card(phone)).to_have_count(0)
    assert letters.calls() == [*before, "send_letter Ada"]


async def test_arguments_are_changed_before_they_are_used(
    open_page: OpenPage, with_letters: Person, letters: McpProcess, openai: OpenAIServer
) -> None:
    page = await open_page(with_letters)
    await switch_on(page, "Send a letter")
    openai.script(rounds=[[LETTER]])
    await ask(page, "Write to Ada.")
    await card(page).get_by_role("button", name="Change").click()
    field = card(page).get_by_role("textbox", name="Given")
    await field.fill("{nonsense")
    await expect(card(page)).to_contain_text("This is not a JSON object.")
    await expect(card(page).get_by_role("button", name="Allow", exact=True)).to_be_disabled()
    await field.fill('{"to": "Grace", "text": "Tuesday, please."}')
    await card(page).get_by_role("button", name="Allow", exact=True).click()
    await expect(answers(page)).to_contain_text("Sent to Grace")
    assert letters.calls()[-1] == "send_letter Grace"


async def test_a_call_is_not_allowed(
    open_page: OpenPage, with_letters: Person, letters: McpProcess, openai: OpenAIServer
) -> None:
    before = letters.calls()
    page = await open_page(with_letters)
    await switch_on(page, "Send a letter")
    openai.script(rounds=[[LETTER]])
    await ask(page, "Write to Ada.")
    await card(page).get_by_role("button", name="Don't allow").click()
    await expect(steps(page)).to_contain_text("not allowed")
    await expect(answers(page)).to_contain_text("did not allow")
    assert letters.calls() == before


async def test_always_in_this_chat(
    open_page: OpenPage, with_letters: Person, letters: McpProcess, openai: OpenAIServer
) -> None:
    page = await open_page(with_letters)
    await switch_on(page, "Send a letter")
    openai.script(rounds=[[LETTER]])
    await ask(page, "Write to Ada.")
    await card(page).get_by_role("button", name="Always in this chat").click()
    await answered(page)
    await ask(page, "And once more.")
    await answered(page, 2)
    await expect(card(page)).to_have_count(0)
    assert letters.calls()[-2:] == ["send_letter Ada"] * 2


async def test_a_model_that_calls_no_tools_says_so(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await switch_on(page, "Calculate")
    await page.get_by_role("button", name=re.compile("^Model")).click()
    await page.get_by_role("menuitemradio", name=re.compile("hub-chat")).click()
    await expect(menu(page)).to_have_accessible_name("Tools: not for this model")
    await menu(page).click()
    await expect(page.get_by_text("This model can't call tools.")).to_be_visible()


async def test_an_administrator_adds_a_server_in_the_page(
    open_page: OpenPage, admin: Person, letters: McpProcess
) -> None:
    page = await open_page(admin, "/admin")
    section = page.get_by_role("region", name="Tool servers (MCP)")
    await section.get_by_role("button", name="Add a server").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name", exact=True).fill("letters")
    await dialog.get_by_label("Address", exact=True).fill("http://127.0.0.1:1/mcp")
    await dialog.get_by_label("Secret header").fill("Authorization")
    await dialog.get_by_label("Its value").fill("Bearer secret-in-the-page")
    await shot(page, "mcp-dialog")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    await expect(section).to_contain_text("not reachable")
    await expect(section).to_contain_text("The server can't be reached.")
    await section.get_by_role("button", name="Actions for letters").click()
    await page.get_by_role("menuitem", name="Change").click()
    await expect(dialog).to_contain_text("Set: Authorization")
    await expect(dialog.get_by_label("Its value")).to_have_value("")
    # A secret was given for another address: it does not go along.
    await dialog.get_by_label("Address", exact=True).fill(letters.url)
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_contain_text("The headers were given for another server")
    await dialog.get_by_label("Secret header").fill("Authorization")
    await dialog.get_by_label("Its value").fill("Bearer secret-in-the-page")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    await expect(section).to_contain_text("reachable")
    await section.get_by_text("Tools: ").click()
    asks = section.get_by_role("checkbox", name="asks first: add")
    await expect(asks).not_to_be_checked()
    await asks.check()
    await expect(section.get_by_role("checkbox", name="asks first: add")).to_be_checked()
    await accessible(page, "the administration")
    await section.get_by_role("button", name="Actions for letters").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(section.get_by_text("letters", exact=True)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_pictures_of_steps_and_a_card(
    scheme: str, width: int, open_page: OpenPage, with_letters: Person, openai: OpenAIServer
) -> None:
    page = await open_page(with_letters, viewport={"width": width, "height": 844}, color_scheme=scheme, locale="ru-RU")
    await page.get_by_role("button", name=re.compile("^Инструменты")).click()
    await page.get_by_role("checkbox", name=re.compile("Калькулятор")).check()
    await page.get_by_role("checkbox", name=re.compile("Send a letter")).check()
    await shot(page, f"tools-menu-{width}-{scheme}")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name=re.compile("^Инструменты"))).to_be_focused()
    openai.script(
        rounds=[[("calculate", {"expression": "(1200 * 1.19) / 12 + 0 * " + "1" * 120}), LETTER]],
        preamble="Сейчас посчитаю.",
    )
    await page.get_by_role("textbox", name="Сообщение").fill("Посчитай и напиши Аде.")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="Разрешить «Send a letter»?")).to_be_visible()
    await shot(page, f"tools-card-{width}-{scheme}")
    wide = "[...document.querySelectorAll('.message *')].filter((e) => e.getBoundingClientRect().right > innerWidth)"
    assert await page.evaluate(f"{wide}.length") == 0
    await page.get_by_role("button", name="Запретить").click()
    await expect(page.get_by_text("запрещено")).to_be_visible()
