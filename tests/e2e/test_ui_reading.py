"""Reading an answer: as it is written, its code, formulas and diagrams, its citations, and what can be done with it."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.asking import WARRANTY, answered, answers, ask, attach, ready
from tests.e2e.conftest import OpenPage, shot
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = [pytest.mark.e2e, pytest.mark.newest]

SHOWN_TEXTS = """
() => {
  window.shown = [];
  new MutationObserver(() => {
    const text = [...document.querySelectorAll("article .md")].at(-1)?.innerText ?? "";
    if (text !== window.shown.at(-1)) window.shown.push(text);
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}
"""
MARKED_UP = """The **battery of this machine** lasts *fourteen long* hours [1].

| Part | Warranty |
|---|--:|
| Battery | 12 months |

- run `npm install now` first
- then [read the manual](https://example.com/manual)

## In the end

All is ~~bad~~ **well**.
"""


async def test_no_markup_is_seen_while_it_is_written(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    pieces = [MARKED_UP[start : start + 3] for start in range(0, len(MARKED_UP), 3)]
    openai.script(tokens=pieces, delay=0.03)
    await page.evaluate(SHOWN_TEXTS)
    await ask(page, "Write")
    answer = await answered(page)
    await expect(answer.get_by_role("heading", name="In the end")).to_be_visible()
    shown = await page.evaluate("window.shown")
    assert len(shown) > 20
    assert [text for text in shown if any(mark in text for mark in ("**", "|", "`", "~~", "##", "](", "*"))] == []


async def test_code_is_coloured_and_copied(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    openai.script(reply="Here:\n\n```python\ndef f(x):\n    return x  # <b>\n```\n\nThat is all.")
    await ask(page, "Code?")
    answer = await answered(page)
    await expect(answer.locator(".hljs-keyword").first).to_have_text("def")
    await answer.get_by_role("button", name="Copy code").click()
    assert await page.evaluate("navigator.clipboard.readText()") == "def f(x):\n    return x  # <b>"
    await answer.get_by_role("button", name="Copy", exact=True).click()
    assert (await page.evaluate("navigator.clipboard.readText()")).endswith("That is all.")
    await expect(answer.get_by_role("status").filter(has_text="Copied").first).to_be_attached()


async def test_formulas_and_diagrams_are_drawn(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    diagram = "```mermaid\nflowchart LR\n  A[Question] --> B[Answer]\n```"
    openai.script(
        reply=f"It costs $5 or $6; $e^x$ grows.\n\n$$\\frac{{a}}{{b}}$$\n\n{diagram}\n\n```mermaid\nno such\n```"
    )
    await ask(page, "Draw")
    answer = await answered(page)
    await expect(answer.locator(".md-formula .katex")).to_have_count(2)
    await expect(answer).to_contain_text("It costs $5 or $6")
    drawn = answer.get_by_role("img", name="Question")
    await expect(drawn).to_be_visible()
    assert await drawn.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
    await expect(answer).to_contain_text("This diagram can't be drawn.")


async def test_a_citation_shows_its_passage(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await attach(page, "warranty.md", WARRANTY.encode())
    await ready(page, "warranty.md")
    openai.script(reply="Two years [1].")
    await ask(page, "How long does the warranty last?")
    answer = await answered(page)
    await answer.get_by_role("button", name="Source 1", exact=True).hover()
    tip = page.get_by_role("tooltip").first
    await expect(tip).to_contain_text("warranty.md")
    await expect(tip).to_contain_text("The warranty lasts two years from the day of purchase.")
    await expect(tip).not_to_contain_text("#")


async def test_a_document_is_read_from_its_own_side_and_closing_it_leaves_nothing(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await attach(page, "warranty.md", "האחריות נמשכת שנתיים (24 חודשים).\n\nThe warranty lasts two years.\n".encode())
    await ready(page, "warranty.md")
    openai.script(reply="Two years [1].")
    await ask(page, "How long does the warranty last?")
    answer = await answered(page)
    source = answer.get_by_role("button", name="Source 1", exact=True)
    panel = page.get_by_role("complementary", name="Document")
    # How far the words stand from the edge that their line begins at: the Hebrew ones right, the English ones left.
    edges = """(text) => {
        const range = document.createRange();
        range.selectNodeContents(text);
        const [box, words] = [text.getBoundingClientRect(), [...range.getClientRects()]];
        const [left, right] = ["left", "right"].map((side) => words.map((word) => word[side]));
        return [box.right - Math.max(...right), Math.min(...left) - box.left];
    }"""
    for close in ("Escape", None):
        await source.click()
        await expect(panel.locator(".document")).to_contain_text("The warranty lasts")
        await shot(page, "document-rtl-1280")
        assert max(await panel.locator(".document").evaluate(edges)) < 8
        if close:
            await page.keyboard.press(close)
        else:
            await panel.get_by_role("button", name="Close").click()
        await expect(source).to_be_focused()
        # Longer than a tip takes to open.
        await page.wait_for_timeout(500)
        await expect(page.get_by_role("tooltip")).to_have_count(0)
    # Who comes by the keyboard is shown what it cites.
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("tooltip")).to_contain_text("The warranty lasts")


async def test_an_answer_tells_what_it_took_and_takes_feedback(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(reply="Yes.")
    await ask(page, "Well?")
    answer = await answered(page)
    meta = answer.locator(".meta")
    await expect(meta).to_contain_text("gpt-4")
    await expect(meta).to_contain_text("tokens")
    await expect(meta.locator("time")).to_have_text(re.compile(r"^\d{1,2}:\d\d"))
    await expect(meta).to_contain_text(re.compile(r"\d+ ms|\d sec"))
    await answer.get_by_role("button", name="Good answer").click()
    await expect(answer.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    await page.reload()
    answer = await answered(page)
    await expect(answer.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    await answer.get_by_role("button", name="Bad answer").click()
    await page.get_by_role("dialog", name="What was wrong?").get_by_role("button", name="Close").click()
    await expect(answer.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    await expect(answer.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")


async def test_the_thread_follows_the_answer_and_lets_the_reader_go(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=[f"Line {number}.\n\n" for number in range(200)], delay=0.03)
    await ask(page, "Write much")
    thread = page.get_by_role("region", name="Chat", exact=True)
    left = "(e) => e.scrollHeight - e.scrollTop - e.clientHeight"
    await expect(answers(page).first).to_contain_text("Line 40.")
    assert await thread.evaluate(left) < 100
    await thread.hover()
    await page.mouse.wheel(0, -600)
    down = page.get_by_role("button", name="Jump to latest")
    await expect(down).to_be_visible()
    top = await thread.evaluate("(e) => e.scrollTop")
    await expect(answers(page).first).to_contain_text("Line 90.")
    assert await thread.evaluate("(e) => e.scrollTop") == top
    await down.click()
    await expect(down).to_have_count(0)
    await expect(answers(page).first).to_contain_text("Line 120.")
    assert await thread.evaluate(left) < 100
    await page.get_by_role("button", name="Stop", exact=True).click()


async def test_the_place_is_kept_when_a_document_opens(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    chapter = "The warranty of the battery lasts two years, and that of the machine lasts three. " * 40
    page = await open_page(anna)
    await attach(page, "manual.md", f"# Contents\n\nNothing here.\n\n# Warranty\n\n{chapter}".encode())
    await ready(page, "manual.md")
    paragraphs = "A paragraph of some length, which takes more lines where there is less room for it. " * 6
    filling = f"{paragraphs}\n\n" * 2
    openai.script(reply=f"{filling}Two years [1].\n\n{filling}")
    await ask(page, "How long does the warranty of the battery last?")
    answer = await answered(page)
    source = answer.get_by_role("button", name="Source 1", exact=True)
    await expect(source).to_be_in_viewport()
    await source.click()
    panel = page.get_by_role("complementary", name="Document")
    await expect(panel.locator("mark")).to_be_visible()
    await expect(source).to_be_in_viewport()
    # A long passage is shown from where it begins.
    first_line = "(mark) => mark.getClientRects()[0].top"
    top = await panel.locator("mark").evaluate(first_line)
    assert 0 < top < 400
    await panel.get_by_role("button", name="Close").click()
    await expect(panel).to_have_count(0)
    await expect(source).to_be_in_viewport()
    await expect(source).to_be_focused()
