"""Every page and dialog under axe, in light English and dark Russian; what moves, and what is said aloud."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.e2e.asking import WARRANTY, answered, answers, ask, attach, message, ready
from tests.e2e.axe import accessible
from tests.e2e.conftest import Database, OpenPage, shot
from tests.files.pdf import pdf
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e

RICH = """Two years [1]. See [the manual](https://example.com/manual).

| a | b |
|--|--|
| 1 | 2 |

```python
x = 1  # one
```

$a^2$

- [ ] a task
"""
LOOKS = [
    pytest.param({"color_scheme": "light", "locale": "en-US"}, id="light-en"),
    pytest.param({"color_scheme": "dark", "locale": "ru-RU"}, id="dark-ru"),
]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


async def talk(person: Person, openai: OpenAIServer) -> str:
    """Give a person a PDF, and a conversation about it that shows all that an answer can; return its address."""
    thread = (await person.http.post("/conversations", json={"title": "Warranty"})).json()["id"]
    await person.indexed("warranty.pdf", pdf([WARRANTY]), conversation_id=thread)
    await person.indexed("warranty.md", WARRANTY.encode(), conversation_id=thread)
    openai.script(reply=RICH)
    await person.ask("How long does the warranty last?", conversation_id=thread)
    return f"/c/{thread}"


async def settled(page: Page) -> None:
    """Wait until the page in view has what it asked for."""
    await page.wait_for_load_state("networkidle")
    await expect(page.locator(".spinner")).to_have_count(0)


@pytest.mark.parametrize("look", LOOKS)
async def test_pages_for_strangers(open_page: OpenPage, look: dict[str, str]) -> None:
    page = await open_page(path="/sign-in", **look)
    await expect(page.get_by_role("heading")).to_be_visible()
    await accessible(page, "signing in")
    await shot(page, f"sign-in-1280-{look['color_scheme']}")
    await page.locator(".text-button").nth(1).click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await accessible(page, "forgotten password")
    await page.keyboard.press("Escape")
    await page.locator(".text-button").first.click()
    await accessible(page, "registration")
    await page.goto("/reset-password#token")
    await expect(page.get_by_role("heading")).to_be_visible()
    await accessible(page, "a new password")


@pytest.mark.parametrize("look", LOOKS)
async def test_the_chat_and_what_opens_from_it(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, look: dict[str, str]
) -> None:
    path, scheme = await talk(anna, openai), look["color_scheme"]
    page = await open_page(anna, **look)
    await expect(page.locator(".composer__text")).to_be_visible()
    await accessible(page, "a new chat")
    await shot(page, f"welcome-1280-{scheme}")
    await page.goto(path)
    await expect(page.locator(".hljs-comment")).to_be_visible()
    await expect(page.locator(".md-formula .katex")).to_be_visible()
    await accessible(page, "a chat")
    await shot(page, f"chat-1280-{scheme}")

    await page.locator(".citation--name").first.click()
    await expect(page.locator(".pdf-page__mark, .document mark").first).to_be_visible()
    await accessible(page, "a document")
    await shot(page, f"document-1280-{scheme}")
    await page.keyboard.press("Escape")
    await page.locator(".citation--number").first.hover()
    await expect(page.locator(".citation-tip").first).to_be_visible()
    await accessible(page, "a citation")

    # "Why this answer": reading aloud is there only where the browser has a voice.
    await page.locator(".message__actions").last.locator(".icon-button").last.click()
    await expect(page.locator(".prompt pre").last).to_be_visible()
    await accessible(page, "why this answer")
    await shot(page, f"why-1280-{scheme}")
    await page.locator(".again-fold summary").click()
    await page.locator(".again button[type=submit]").click()
    await expect(page.locator(".compare section[aria-busy=false] .katex")).to_have_count(2)
    await accessible(page, "side by side")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")

    await page.locator(".md-link").first.click()
    await expect(page.get_by_role("dialog")).to_contain_text("https://example.com/manual")
    await accessible(page, "a link")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+/")
    await expect(page.locator(".shortcuts")).to_be_visible()
    await accessible(page, "help")
    await page.keyboard.press("Escape")


@pytest.mark.parametrize("look", LOOKS)
async def test_what_pops_up(open_page: OpenPage, anna: Person, openai: OpenAIServer, look: dict[str, str]) -> None:
    await anna.http.post("/conversations", json={"title": "Alpha"})
    page = await open_page(anna, **look)
    for opener, place in (
        (".composer .icon-button[aria-haspopup=dialog]", "settings"),
        (".model-picker", "models"),
        (".conversations__search .icon-button", "list options"),
        (".conversation__menu", "a conversation's menu"),
        (".user-menu__button", "account menu"),
    ):
        await page.locator(opener).first.click()
        await expect(page.locator(".menu, .popover")).to_be_visible()
        await settled(page)
        await accessible(page, place)
        await page.keyboard.press("Escape")
        await expect(page.locator(".menu, .popover")).to_have_count(0)


@pytest.mark.parametrize("look", LOOKS)
async def test_all_other_pages(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, database: Database, look: dict[str, str]
) -> None:
    path, scheme = await talk(anna, openai), look["color_scheme"]
    database.execute("UPDATE users SET is_superuser = true WHERE username = %s", [anna.name])
    page = await open_page(anna, path="/files", **look)
    await expect(page.locator(".file-row").first).to_be_visible()
    await accessible(page, "files")
    await shot(page, f"files-1280-{scheme}")
    await page.goto("/account")
    await expect(page.locator(".session").first).to_be_visible()
    await settled(page)
    await accessible(page, "account")
    await shot(page, f"account-1280-{scheme}")
    await page.locator(".button--danger").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await accessible(page, "deleting an account")
    await page.goto("/admin")
    await expect(page.locator(".card").first).to_be_visible()
    await settled(page)
    await accessible(page, "administration")
    await shot(page, f"admin-1280-{scheme}")
    await page.locator(".user .icon-button").first.click()
    await page.get_by_role("menuitem", name=re.compile("password|пароль")).click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await accessible(page, "setting a password")
    await page.goto(f"/studio/{path.rpartition('/')[2]}")
    await expect(page.locator(".studio__json")).to_be_visible()
    await expect(page.locator(".md-diagram img")).to_be_visible()
    await accessible(page, "studio")
    await shot(page, f"studio-1280-{scheme}")
    await page.goto("/c/00000000-0000-7000-8000-000000000000")
    await expect(page.locator(".page-message h1")).to_be_visible()
    await accessible(page, "nothing")


@pytest.mark.parametrize("look", LOOKS)
async def test_pages_on_a_phone(open_page: OpenPage, anna: Person, openai: OpenAIServer, look: dict[str, str]) -> None:
    path, scheme = await talk(anna, openai), look["color_scheme"]
    page = await open_page(anna, **look, **PHONE)
    for address, there in (
        ("/", ".welcome"),
        (path, ".message--answer footer"),
        ("/files", ".file-row"),
        ("/account", ".session"),
        (f"/studio/{path.rpartition('/')[2]}", ".studio__json"),
    ):
        await page.goto(address)
        await expect(page.locator(there).first).to_be_visible()
        await settled(page)
        await accessible(page, f"{address} on a phone")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, address
        name = address.split("/")[1] or "welcome"
        await shot(page, f"{'chat' if name == 'c' else name}-390-{scheme}")


async def test_who_wants_no_motion_gets_none(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, reduced_motion="reduce")
    await expect(message(page)).to_be_focused()
    await page.keyboard.press("Control+/")
    await expect(page.get_by_role("dialog")).to_be_visible()
    lasting = "getComputedStyle(document.querySelector('.dialog')).animationDuration"
    assert await page.evaluate(lasting) == "0.001s"
    await page.emulate_media(reduced_motion="no-preference")
    assert await page.evaluate(lasting) != "0.001s"


async def test_an_answer_is_announced_once_and_not_word_by_word(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await page.evaluate(
        """
        () => {
          window.said = [];
          new MutationObserver(() => {
            const text = document.querySelector(".chat > [aria-live]")?.textContent ?? "";
            if (text && text !== window.said.at(-1)) window.said.push(text);
          }).observe(document.body, { subtree: true, childList: true, characterData: true });
        }
        """
    )
    openai.script(tokens=["word "] * 40, delay=0.02)
    await ask(page, "Say something")
    await answered(page)
    assert len(await page.evaluate("window.said")) == 2
    live = await page.locator(".md").first.evaluate("(e) => Boolean(e.closest('[aria-live]'))")
    assert live is False


@pytest.fixture
async def keyboard(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> Page:
    """A conversation with one answer that cites, with the cursor in the composer."""
    page = await open_page(anna)
    await attach(page, "warranty.md", WARRANTY.encode())
    await ready(page, "warranty.md")
    openai.script(reply="Two years [1].")
    await ask(page, "How long does the warranty last?")
    await answered(page)
    await message(page).focus()
    return page


async def test_the_focus_comes_back_to_the_citation(keyboard: Page) -> None:
    source = answers(keyboard).first.get_by_role("button", name="Source 1", exact=True)
    await source.focus()
    await keyboard.keyboard.press("Enter")
    panel = keyboard.get_by_role("complementary", name="Document")
    await expect(panel.get_by_role("heading")).to_be_focused()
    await expect(source).to_be_in_viewport()
    await keyboard.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await expect(source).to_be_focused()


async def test_every_action_of_an_answer_is_reached_by_tab(keyboard: Page) -> None:
    thread = keyboard.get_by_role("region", name="Chat", exact=True)
    await thread.focus()
    reached = []
    while True:
        await keyboard.keyboard.press("Tab")
        focused = keyboard.locator(":focus")
        if not await focused.evaluate("(e) => Boolean(e.closest('.thread'))"):
            break
        reached.append(await focused.evaluate("(e) => e.getAttribute('aria-label') ?? e.innerText"))
        outline = await focused.evaluate("(e) => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth")
        assert re.match(r"(solid|auto)[1-9]", outline), f"no visible focus on {reached[-1]}"
    wanted = {"Copy", "Edit", "Regenerate", "Good answer", "Bad answer", "Why this answer"}
    assert wanted <= set(reached)
    assert len([name for name in reached if "Source 1" in name]) == 2  # in the text, and below it
