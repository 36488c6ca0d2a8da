"""What the page remembers, says and hears: memory, two models, feedback, voices, notifications, without a network."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.conftest import Database, Join
from tests.e2e.asking import answered, answers, ask, message
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, Watch, shot
from tests.integration.api.test_personal import system_of
from tests.integration.api.test_projects import administrator
from tests.providers import OpenAIServer
from tests.support import Person, eventually

pytestmark = pytest.mark.e2e

# The browser's own services, which a headless one has not: what the page asks of them is noted.
VOICES = """() => {
    window.said = [];
    speechSynthesis.speak = (words) => {
        window.said.push([words.lang, words.text]);
        window.ends = () => words.onend();
    };
    window.SpeechRecognition = class {
        start() { window.hears = this; }
        stop() { this.onend(); }
    };
}"""
NOTES = """() => {
    window.notes = [];
    window.Notification = class {
        static permission = "granted";
        static requestPermission() { return Promise.resolve("granted"); }
        constructor(title, options) { window.notes.push(options.body); window.note = this; }
        close() {}
    };
    Object.defineProperty(document, "hidden", { get: () => window.away ?? false });
}"""


async def prepared(open_page: OpenPage, person: Person, script: str) -> Page:
    """Open the page with something of the browser replaced."""
    page = await open_page(person)
    await page.add_init_script(f"({script})()")
    await page.reload()
    await expect(message(page)).to_be_visible()
    return page


async def test_instructions_and_memory_are_read_and_changed(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna, "/account")
    await page.get_by_label("Instructions for all chats").fill("Begin with Ahoy.")
    await page.get_by_role("button", name="Save").first.click()
    await page.get_by_label("Something to remember").fill("I live in Riga.")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("list", name="Memory")).to_contain_text("I live in Riga.")
    await accessible(page)
    await shot(page, "personal-1280")
    await page.goto("/")
    await ask(page, "Hello")
    await answered(page)
    assert "Begin with Ahoy." in system_of(openai)
    assert "I live in Riga." in system_of(openai)
    await page.goto("/account")
    await page.get_by_role("button", name="Forget “I live in Riga.”").click()
    await expect(page.get_by_role("list", name="Memory")).to_have_count(0)
    await page.get_by_role("checkbox", name=re.compile("Use memory")).click()

    async def off() -> bool | None:
        return True if not (await anna.get("/profile"))["use_memory"] else None

    assert await eventually(off)


async def test_a_model_asks_before_it_remembers(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(rounds=[[("remember", {"fact": "Likes tea."})]])
    page = await open_page(anna)
    await page.get_by_role("button", name=re.compile("^Model")).click()
    await page.get_by_role("menuitemradio", name=re.compile("gpt-4")).first.click()
    await page.get_by_role("button", name=re.compile("^Tools")).click()
    await page.get_by_role("checkbox", name=re.compile("^Remember")).check()
    await page.keyboard.press("Escape")
    await ask(page, "I like tea")
    await expect(page.get_by_text("Allow “Remember”?")).to_be_visible()
    await page.get_by_role("button", name="Allow", exact=True).click()
    await answered(page)
    assert [memory["text"] for memory in (await anna.get("/memories"))["items"]] == ["Likes tea."]


async def test_two_models_answer_side_by_side_and_one_is_kept(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(tokens=["word "] * 10, delay=0.05)
    page = await open_page(anna)
    await page.get_by_role("button", name="Ask a second model too").click()
    await page.get_by_role("button", name="Model: Choose the second model").click()
    await page.get_by_role("menuitemradio", name="gpt-4o-mini").click()
    await ask(page, "Hello")
    dialog = page.get_by_role("dialog", name="Side by side")
    first, second = (dialog.get_by_role("region", name=name) for name in ("First model", "Second model"))
    keep = dialog.get_by_role("button", name="Keep this answer")
    await expect(keep).to_have_count(2)
    await expect(second).to_contain_text("word word")
    await accessible(page)
    await shot(page, "two-models-1280")
    kept = await first.locator(".md").inner_text()
    await keep.first.click()
    await expect(dialog).to_have_count(0)
    answer = answers(page).first
    await expect(answer.locator(".md")).to_have_text(kept)
    await expect(answer.get_by_text("1 of 2")).to_be_visible()
    await answer.get_by_role("button", name="Next version").click()
    await expect(answer.get_by_text("2 of 2")).to_be_visible()


async def test_feedback_with_its_reasons_reaches_the_administrators(
    open_page: OpenPage, anna: Person, join: Join, database: Database, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await ask(page, "Where is the tram?")
    answer = await answered(page)
    await answer.get_by_role("button", name="Bad answer").click()
    dialog = page.get_by_role("dialog", name="What was wrong?")
    await dialog.get_by_text("Not true").click()
    await dialog.get_by_label("What should it have been?").fill("In the depot")
    await dialog.get_by_text("Let administrators read").click()
    await accessible(page)
    await shot(page, "feedback-1280")
    await dialog.get_by_role("button", name="Send").click()
    await expect(answer.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    admin = await administrator(join, database)
    theirs = await open_page(admin, "/admin")
    entry = theirs.get_by_role("list", name="Feedback").get_by_role("listitem").filter(has_text="In the depot")
    await expect(entry).to_contain_text("Not true")
    await entry.get_by_text("Question and answer").click()
    await expect(entry).to_contain_text("Where is the tram?")
    await shot(theirs, "admin-feedback-1280")
    await answer.get_by_role("button", name="Bad answer").click()
    await page.get_by_role("button", name="Withdraw").click()
    await expect(answer.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")


async def test_an_answer_is_read_aloud_and_a_question_dictated(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="Ответ: **семь** лет.")
    page = await prepared(open_page, anna, VOICES)
    await page.get_by_role("button", name=re.compile("^Dictate")).click()
    await page.evaluate("hears.onresult({ resultIndex: 0, results: [[{ transcript: ' how long ' }]] })")
    await page.evaluate("hears.onresult({ resultIndex: 1, results: [[{}], [{ transcript: 'is it' }]] })")
    await expect(message(page)).to_have_value("how long is it")
    await page.get_by_role("button", name="Stop dictating").click()
    await expect(page.get_by_role("button", name=re.compile("^Dictate"))).to_be_visible()
    await message(page).press("Enter")
    answer = await answered(page)
    await answer.get_by_role("button", name="Read aloud").click()
    assert await page.evaluate("said") == [["ru-RU", "Ответ: семь лет."]]
    await expect(answer.get_by_role("button", name="Stop reading")).to_be_visible()
    await page.evaluate("ends()")
    await expect(answer.get_by_role("button", name="Read aloud")).to_be_visible()


async def test_the_system_tells_of_an_answer_that_nobody_looks_at(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(tokens=["word "] * 6, delay=0.1)
    page = await prepared(open_page, anna, NOTES)
    await ask(page, "Hello")
    await answered(page)
    assert await page.evaluate("notes") == [], "nobody has asked for that"
    await page.goto("/account")
    await page.get_by_role("checkbox", name=re.compile("Notify me")).check()
    await page.goto("/")
    await ask(page, "Hello")
    await answered(page)
    assert await page.evaluate("notes") == [], "who looks at the page sees it"
    await page.evaluate("away = true")
    await ask(page, "And now?")
    await answered(page, 2)
    assert await page.evaluate("notes") == ["Your answer is ready."]


async def test_where_a_page_may_not_notify_its_worker_does(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await prepared(open_page, anna, NOTES)
    await page.evaluate("localStorage.setItem('notify', 'on')")
    # As on Android.
    await page.evaluate(
        """() => {
            window.Notification = class {
                static permission = "granted";
                constructor() { throw new TypeError("Illegal constructor"); }
            };
            const worker = { showNotification: (title, options) => window.notes.push(options.body) };
            Object.defineProperty(navigator, "serviceWorker", { value: { getRegistration: async () => worker } });
        }"""
    )
    await page.evaluate("away = true")
    await ask(page, "And now?")
    await answered(page)
    assert await page.evaluate("notes") == ["Your answer is ready."]


async def test_without_a_connection_the_page_opens_and_says_so(open_page: OpenPage, anna: Person, watch: Watch) -> None:
    """The worker keeps the page's own files, and nothing of what was said."""
    page = await open_page(anna, service_workers="allow")
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await page.reload()
    await expect(message(page)).to_be_visible()
    manifest: dict[str, Any] = await page.evaluate("fetch('/manifest.webmanifest').then((found) => found.json())")
    for icon in manifest["icons"]:
        assert (await page.request.get(f"/{icon['src']}")).ok
    kept = await page.evaluate(
        "caches.keys().then((names) => Promise.all(names.map((name) => caches.open(name).then((c) => c.keys()))))"
        ".then((all) => all.flat().map((request) => new URL(request.url).pathname))"
    )
    assert kept
    assert not [path for path in kept if path.startswith("/api")]
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.get_by_text("The server can't be reached.")).to_be_visible()
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Reload").click()
    await expect(message(page)).to_be_visible()


async def test_own_messages_are_markdown_and_long_ones_fold(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    lines = "\n".join(f"line {number}" for number in range(60))
    await ask(page, f"Look at **this**:\n\n```python\nx = 1\n```\n{lines}")
    await answered(page)
    bubble = page.locator(".message__bubble")
    await expect(bubble.locator("strong")).to_have_text("this")
    await expect(bubble.locator("pre")).to_contain_text("x = 1")
    await expect(bubble.locator("br").first).to_be_attached()
    height = "(element) => element.getBoundingClientRect().height"
    folded = await bubble.evaluate(height)
    await bubble.get_by_role("button", name="Show all").click()
    assert await bubble.evaluate(height) > folded * 2
    await expect(bubble).to_contain_text("line 59")


async def test_a_links_host_is_asked_about_once_and_a_picture_is_loaded_when_wanted(
    open_page: OpenPage, anna: Person, openai: OpenAIServer, watch: Watch
) -> None:
    watch.origins.add("https://pictures.example")
    openai.script(
        reply="See [one](https://pictures.example/a) and [two](https://pictures.example/b).\n\n"
        "![a llama](https://pictures.example/llama.png)"
    )
    page = await open_page(anna)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40"/></svg>'
    await page.context.route(
        "https://pictures.example/**", lambda route: route.fulfill(body=svg, content_type="image/svg+xml")
    )
    await ask(page, "Where?")
    answer = await answered(page)
    first, second = answer.get_by_role("link", name="one"), answer.get_by_role("link", name="two")
    assert await first.get_attribute("href") == "https://pictures.example/a"
    assert await first.get_attribute("rel") == "noopener noreferrer nofollow"
    assert not [url for url in watch.requests if "pictures.example" in url], "nothing is loaded unasked"
    await first.click()
    async with page.context.expect_page() as opened:
        await page.get_by_role("dialog").get_by_role("button", name="Open").click()
    await (await opened.value).close()
    async with page.context.expect_page() as opened:
        await second.click()
    await (await opened.value).close()
    await answer.get_by_role("button", name=re.compile("a llama")).click()
    picture = answer.get_by_role("img", name="a llama")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 40


async def test_why_shows_a_passages_words(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("owl.txt", b"The owl of the northern forest sleeps in hollow spruces.")
    page = await open_page(anna)
    await ask(page, "Where does the owl sleep?")
    answer = await answered(page)
    await answer.get_by_role("button", name="Why this answer").click()
    panel = page.get_by_role("complementary", name="Why this answer")
    await panel.get_by_role("button", name="passage 1").click()
    await expect(panel.get_by_text("sleeps in hollow spruces", exact=False).first).to_be_visible()
    await panel.get_by_text("Try again with").click()
    await panel.get_by_role("button", name="Try again").click()
    dialog = page.get_by_role("dialog", name="Side by side")
    await expect(dialog.get_by_role("button", name="Keep this answer")).to_have_count(2)
    await shot(page, "why-1280")
    await dialog.get_by_role("button", name="Keep this answer").last.click()
    await expect(page.get_by_text("2 of 2")).to_be_visible()
