"""The conversation on the page: asking, streaming, citing, stopping, branching, coming back."""

import asyncio
import re
from uuid import uuid4

import pytest
from playwright.async_api import Route, expect

from tests.e2e.asking import WARRANTY, answered, answers, ask, attach, message, ready
from tests.e2e.conftest import OpenPage, shot
from tests.e2e.relay import Relay
from tests.providers import OpenAIServer
from tests.support import PASSWORD, Person, Server, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.newest]

STREAM = "**/api/v1/chat/stream"
LONG = [f"word{number} " for number in range(400)]


async def test_from_registration_to_signing_out(open_page: OpenPage, openai: OpenAIServer) -> None:
    page = await open_page()
    name = f"Grace{uuid4().hex[:8]}"
    await page.get_by_role("button", name="Create one").click()
    await page.get_by_label("Username", exact=True).fill(name)
    await page.get_by_label("E-mail").fill(f"{name}@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()

    await expect(message(page)).to_be_visible()
    await attach(page, "warranty.md", WARRANTY.encode())
    await ready(page, "warranty.md")
    openai.script(reply="The warranty lasts **two years** [1].")
    await ask(page, "How long does the warranty last?")
    answer = await answered(page)
    await expect(answer.locator("strong")).to_have_text("two years")

    await answer.get_by_role("button", name="Source 1", exact=True).click()
    document = page.get_by_role("complementary", name="Document")
    await expect(document.locator("mark")).to_contain_text("The warranty lasts two years")
    await shot(page, "citation-1280-light")
    await document.get_by_role("button", name="Close").click()

    await page.reload()
    answer = await answered(page)
    await expect(answer.get_by_role("button", name="Source 1", exact=True)).to_be_visible()
    await expect(page.get_by_text("How long does the warranty last?").first).to_be_visible()
    await expect(page.get_by_role("listitem").filter(has_text="warranty.md").first).to_be_visible()

    await page.get_by_role("button", name="Account menu").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    await page.goto("/")
    await page.wait_for_url("**/sign-in")


async def test_wrong_password_says_so(open_page: OpenPage, anna: Person) -> None:
    page = await open_page()
    await page.get_by_label("Username or e-mail").fill(anna.name)
    await page.get_by_label("Password").fill("something else")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Wrong name or password.")


async def test_the_page_asked_for_comes_after_signing_in(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(path="/account")
    await page.wait_for_url("**/sign-in?*")
    await page.get_by_label("Username or e-mail").fill(anna.name)
    await page.get_by_label("Password").fill(anna.password)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_url("**/account")


async def test_stop_keeps_what_was_said_and_continue_goes_on(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=LONG, delay=0.05)
    await ask(page, "Count, please")
    await expect(answers(page).first).to_contain_text("word5 ")
    await page.get_by_role("button", name="Stop", exact=True).click()
    answer = await answered(page)
    await expect(answer).to_contain_text("You stopped this answer")
    said = await answer.locator(".md").inner_text()
    assert "word5" in said
    assert "word399" not in said

    openai.script(reply="and so on.")
    await answer.get_by_role("button", name="Continue").click()
    await expect(answers(page).first.locator(".md")).to_contain_text("and so on.")
    whole = await (await answered(page)).locator(".md").inner_text()
    assert whole.startswith(said.strip())
    await page.reload()
    await expect((await answered(page)).locator(".md")).to_have_text(whole)


async def test_an_answer_at_its_length_limit_says_so_and_goes_on(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(tokens=[f"word{n} " for n in range(20)])
    thread = (await anna.ask("Count, please", max_tokens=8))["conversation_id"]
    page = await open_page(anna, f"/c/{thread}")
    answer = await answered(page)
    await expect(answer).to_contain_text("reached its length limit")
    openai.script(reply="and so on.")
    await answer.get_by_role("button", name="Continue").click()
    await expect(answers(page).first.locator(".md")).to_have_text(re.compile(r"^word0 .*word7 and so on\.$"))
    await expect(await answered(page)).not_to_contain_text("length limit")


async def test_edit_and_regenerate_make_versions(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(reply="First answer.")
    await ask(page, "First question")
    await answered(page)
    openai.script(reply="Second answer.")
    await page.get_by_role("button", name="Regenerate").click()
    answer = answers(page).first
    await expect(answer).to_contain_text("Second answer.")
    await expect(answer).to_contain_text("2 of 2")
    await answer.get_by_role("button", name="Previous version").click()
    await expect(answers(page).first).to_contain_text("First answer.")

    openai.script(reply="Edited answer.")
    await page.get_by_role("button", name="Edit", exact=True).click()
    await page.get_by_role("textbox", name="Edit message").fill("Edited question")
    await page.get_by_role("button", name="Send edited").click()
    await expect(answers(page).first).to_contain_text("Edited answer.")
    question = page.get_by_role("article", name="You")
    await expect(question).to_contain_text("Edited question")
    await answered(page)
    await question.get_by_role("button", name="Previous version").click()
    await expect(page.get_by_role("article", name="You")).to_contain_text("First question")
    await page.reload()
    await expect(page.get_by_role("article", name="You")).to_contain_text("First question")


async def test_reload_in_the_middle_loses_nothing(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(tokens=LONG[:120], delay=0.03)
    await ask(page, "Count, please")
    await expect(answers(page).first).to_contain_text("word10 ")
    await page.reload()
    await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    answer = await answered(page)
    await expect(answer.locator(".md")).to_have_text("".join(LONG[:120]).strip())


async def test_a_lost_network_loses_nothing(
    open_page: OpenPage, server: Server, anna: Person, openai: OpenAIServer
) -> None:
    async with Relay(int(server.url.rpartition(":")[2])) as network:
        page = await open_page(anna, base_url=network.url)
        openai.script(tokens=LONG[:150], delay=0.03)
        await ask(page, "Count, please")
        await expect(answers(page).first).to_contain_text("word10 ")
        await network.cut()
        await expect(page.get_by_text("Connection lost")).to_be_visible()
        await network.mend()
        answer = await answered(page)
        await expect(answer.locator(".md")).to_have_text("".join(LONG[:150]).strip())


async def test_a_question_whose_answer_nobody_heard_is_asked_once(
    open_page: OpenPage, server: Server, anna: Person, openai: OpenAIServer
) -> None:
    """The server has the question, and is gone before it says so: the page sends it again and finds its answer."""
    async with Relay(int(server.url.rpartition(":")[2])) as network:
        page = await open_page(anna, base_url=network.url)
        openai.script(tokens=LONG[:60], delay=0.02)
        await message(page).fill("Is it you?")
        await page.wait_for_load_state("networkidle")
        network.answers_are_lost = True
        await message(page).press("Enter")

        async def was_taken() -> bool:
            return len((await anna.get("/conversations"))["items"]) == 1

        await eventually(was_taken)
        await network.cut()
        await expect(page.get_by_text("Your question is being sent again")).to_be_visible()
        await network.mend()
        answer = await answered(page)
        await expect(answer.locator(".md")).to_have_text("".join(LONG[:60]).strip())
        (conversation,) = (await anna.get("/conversations"))["items"]
        asked = (await anna.get(f"/conversations/{conversation['id']}/messages"))["items"]
        assert [message["role"] for message in asked] == ["user", "assistant"]


async def test_a_question_that_does_not_get_through_is_not_lost(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    """Neither by stopping it, nor by closing the page while it is sent again and again."""
    page = await open_page(anna)
    await expect(message(page)).to_be_visible()
    await page.route(STREAM, lambda route: route.abort())
    sending = page.get_by_text("Your question is being sent again")
    await ask(page, "A question that took ten minutes to write")
    await expect(sending).to_be_visible()
    await message(page).fill("The next thought")
    await page.get_by_role("button", name="Stop", exact=True).click()
    whole = "A question that took ten minutes to write\n\nThe next thought"
    await expect(message(page)).to_have_value(whole)
    await expect(page.get_by_role("article")).to_have_count(0)

    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(sending).to_be_visible()
    await page.reload()
    await expect(message(page)).to_have_value(whole)
    await page.unroute(STREAM)
    openai.script(reply="Yes.")
    await page.get_by_role("button", name="Send", exact=True).click()
    await answered(page)
    await page.reload()
    await answered(page)
    await expect(message(page)).to_have_value("")


async def test_stop_holds_for_a_question_that_the_server_has_not_named_yet(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await expect(message(page)).to_be_visible()
    openai.script(tokens=LONG, delay=0.05)
    # What the server says reaches nobody until somebody has pressed Stop.
    pressed = asyncio.Event()
    taken = asyncio.Event()

    async def late(route: Route) -> None:
        # The run begins and is found again by its key.
        key, body = route.request.headers["idempotency-key"], route.request.post_data_json
        async with anna.http.stream("POST", "/chat/stream", json=body, headers={"Idempotency-Key": key}) as answer:
            await anext(answer.aiter_lines())
        taken.set()
        await pressed.wait()
        await route.continue_()

    await page.route(STREAM, late)
    await ask(page, "Count, please")
    await taken.wait()
    await page.get_by_role("button", name="Stop", exact=True).click()
    pressed.set()
    answer = await answered(page)
    await expect(answer).to_contain_text("You stopped this answer")
    await expect(message(page)).to_have_value("")
    assert "word399" not in await answer.inner_text()


async def test_an_answer_that_can_not_be_stopped_says_so(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(tokens=LONG, delay=0.05)
    await ask(page, "Count, please")
    await expect(answers(page).first).to_contain_text("word5 ")
    await page.route("**/api/v1/chat/runs/*/cancel", lambda route: route.abort())
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(page.get_by_role("status").get_by_text("The server can't be reached")).to_be_visible()
    await page.unroute("**/api/v1/chat/runs/*/cancel")
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(await answered(page)).to_contain_text("You stopped this answer")


async def test_what_nobody_answered_for_comes_by_itself(open_page: OpenPage, server: Server, anna: Person) -> None:
    """A list, and a part of the page that was never loaded: both are asked for again when the server is back."""
    await anna.ask("Where are the llamas?")
    async with Relay(int(server.url.rpartition(":")[2])) as network:
        page = await open_page(anna, base_url=network.url)
        chats = page.get_by_role("region", name="Chats")
        await expect(chats.get_by_role("link", name="Where are the llamas?")).to_be_visible()
        await page.wait_for_load_state("networkidle")
        await network.cut()
        await page.get_by_role("searchbox", name="Search chats").fill("llamas")
        await expect(chats.get_by_text("The server can't be reached")).to_be_visible()
        await page.get_by_role("link", name="Prompts", exact=True).click()
        await expect(page).to_have_url(f"{network.url}/prompts")
        await network.mend()
        await expect(chats.get_by_role("link", name="Where are the llamas?")).to_be_visible()
        await expect(page.get_by_role("heading", name="Prompts", exact=True)).to_be_visible()
        await expect(page.get_by_text("The server can't be reached")).to_have_count(0)


async def test_a_second_tab_shows_the_same(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(reply="One.")
    await ask(page, "First")
    await answered(page)
    other = await page.context.new_page()
    await other.goto(page.url)
    await answered(other)
    openai.script(tokens=LONG[:80], delay=0.03)
    await ask(page, "Second")
    await expect(answers(other).nth(1)).to_contain_text("word10 ")
    for tab in (page, other):
        await expect((await answered(tab, 2)).locator(".md")).to_have_text("".join(LONG[:80]).strip())


# Reports every change of a block that was not the last one when the change before it was shown.
FINISHED_BLOCKS = """
() => {
  const answer = [...document.querySelectorAll("article .md")].at(-1);
  window.touched = [];
  let last = answer.lastElementChild;
  const finished = (node) => Boolean(node.compareDocumentPosition(last) & Node.DOCUMENT_POSITION_FOLLOWING);
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const block = [...answer.children].find((child) => child.contains(target));
      if (block && finished(block)) window.touched.push(block.outerHTML);
    }
    last = answer.lastElementChild;
  }).observe(answer, { childList: true, subtree: true, characterData: true, attributes: true });
}
"""


async def test_streaming_leaves_what_is_written_alone(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    block = [
        "A paragraph ",
        "with **bold** ",
        "text.\n\n",
        "- one\n",
        "- two\n\n",
        "| a | b |\n",
        "|--|--|\n",
        "| 1 | 2 |\n\n",
    ]
    openai.script(tokens=["Start.\n\n", *block * 15, "The end."], delay=0.02)
    await ask(page, "Write")
    await expect(answers(page).first).to_contain_text("Start.")
    await page.evaluate(FINISHED_BLOCKS)
    answer = await answered(page)
    await expect(answer).to_contain_text("The end.")
    assert await page.evaluate("window.touched") == []


async def test_a_failing_model_is_told_and_can_be_asked_again(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    openai.script(fault="500")
    await ask(page, "Anybody there?")
    await expect(answers(page).first.get_by_role("alert")).to_be_visible()
    openai.script(reply="Here I am.")
    await answers(page).first.get_by_role("button", name="Try again").click()
    await expect(answers(page).first).to_contain_text("Here I am.")


async def test_a_draft_waits_for_its_conversation(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(reply="Yes.")
    await ask(page, "One")
    await answered(page)
    await message(page).fill("half a thought")
    await page.get_by_role("button", name="New chat").click()
    await expect(message(page)).to_have_value("")
    await page.go_back()
    await expect(message(page)).to_have_value("half a thought")


async def test_a_refused_question_leaves_what_was_typed_since(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    old = (await anna.ask("Older chat"))["conversation_id"]
    openai.script(reply="Yes.")
    here = (await anna.ask("One"))["conversation_id"]
    page = await open_page(anna, path=f"/c/{here}")
    await answered(page)
    comes = asyncio.Event()

    async def refuse(route: Route) -> None:
        await comes.wait()
        error = {"code": "budget_exceeded", "message": "The budget is used up."}
        await route.fulfill(status=402, json={"error": error})

    await page.route(STREAM, refuse)
    told = page.get_by_role("alert").get_by_text("The budget is used up.")
    await ask(page, "Two")
    await message(page).fill("the next thought")
    comes.set()
    await expect(told).to_be_visible()
    await expect(message(page)).to_have_value("Two\n\nthe next thought")

    # An edited question goes back to its editor.
    await page.get_by_role("button", name="Edit", exact=True).click()
    editor = page.get_by_role("textbox", name="Edit message")
    await editor.fill("One, edited")
    await page.get_by_role("button", name="Send edited").click()
    await expect(editor).to_have_value("One, edited")
    await expect(message(page)).to_have_value("Two\n\nthe next thought")
    await page.get_by_role("button", name="Cancel").click()

    # Who has gone to another chat is told there.
    comes.clear()
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.locator(f"[data-id='{old}']").click()
    await page.wait_for_url(f"**/c/{old}")
    comes.set()
    await expect(page.get_by_role("status").get_by_text("The budget is used up.")).to_be_visible()
    await expect(message(page)).to_have_value("")
    await page.go_back()
    await expect(message(page)).to_have_value("Two\n\nthe next thought")


async def test_escape_closes_what_is_open_before_it_stops_an_answer(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna, viewport={"width": 390, "height": 844})
    openai.script(tokens=[" one", " two", " three", " four"], delay=0.1, fault="hang_between")
    await ask(page, "Count.")
    stop = page.get_by_role("button", name="Stop", exact=True)
    await expect(answers(page).last).to_contain_text("two")
    menu = page.get_by_role("navigation", name="Main").get_by_role("button", name="Close menu")
    await page.get_by_role("button", name="Open menu").click()
    await expect(menu).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(menu).to_be_hidden()
    await expect(stop).to_be_visible()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(stop).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("You stopped this answer.")).to_be_visible()


async def test_a_refusal_to_go_on_is_told(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=[f"word{n} " for n in range(20)])
    thread = (await anna.ask("Count, please", max_tokens=8))["conversation_id"]
    page = await open_page(anna, f"/c/{thread}")
    answer = await answered(page)
    error = {"code": "budget_exceeded", "message": "The budget is used up."}
    await page.route(STREAM, lambda route: route.fulfill(status=402, json={"error": error}))
    await answer.get_by_role("button", name="Continue").click()
    await expect(page.locator(".notice--error")).to_have_text("The budget is used up.")


async def test_an_editor_takes_the_keyboard_once_and_keeps_its_text(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    openai.script(reply="\n\n".join(f"Paragraph {n}. " + "word " * 60 for n in range(12)))
    first = await anna.ask("Question 0")
    for number in range(1, 5):
        await anna.ask(f"Question {number}", conversation_id=first["conversation_id"])
    page = await open_page(anna, path=f"/c/{first['conversation_id']}")
    await expect(page.get_by_role("article", name="You").last).to_contain_text("Question 4")
    await page.get_by_role("button", name="Edit", exact=True).last.click()
    editor = page.get_by_role("textbox", name="Edit message")
    await expect(editor).to_be_focused()
    await editor.fill("Question 4, and more")
    await message(page).click()
    await page.keyboard.type("hello", delay=20)
    await expect(message(page)).to_have_value("hello")
    scroller = page.get_by_role("region", name="Chat", exact=True)
    await scroller.evaluate("element => element.scrollTo(0, 0)")
    await expect(page.get_by_text("Question 0", exact=True).last).to_be_in_viewport()
    await scroller.evaluate("element => element.scrollTo(0, element.scrollHeight)")
    await expect(editor).to_have_value("Question 4, and more")
    await expect(message(page)).to_be_focused()


async def test_escape_in_an_editor_stops_no_answer(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    thread = (await anna.ask("One"))["conversation_id"]
    page = await open_page(anna, path=f"/c/{thread}")
    await answered(page)
    await page.get_by_role("button", name="Edit", exact=True).click()
    editor = page.get_by_role("textbox", name="Edit message")
    openai.script(tokens=LONG, delay=0.05)
    await ask(page, "Count, please")
    answer = answers(page).nth(1)
    await expect(answer).to_contain_text("word5 ")
    await editor.fill("One, and more")
    await editor.press("Escape")
    await expect(editor).to_have_value("One, and more")
    await editor.fill("One")
    await editor.press("Escape")
    await expect(editor).to_have_count(0)
    await page.get_by_role("button", name=re.compile("^Actions for")).click()
    await page.get_by_role("menuitem", name="Rename").click()
    title = page.get_by_label("Title")
    await title.press("Escape")
    await expect(title).to_have_count(0)
    said = len((await answer.locator(".md").inner_text()).split())
    await expect(answer).to_contain_text(f"word{said + 20} ")
    await page.keyboard.press("Escape")
    await expect(answer).to_contain_text("You stopped this answer")


async def test_a_chat_that_begins_late_takes_nobody_away_from_another(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    old = (await anna.ask("Older chat"))["conversation_id"]
    page = await open_page(anna)
    begins = asyncio.Event()

    async def late(route: Route) -> None:
        await begins.wait()
        await route.continue_()

    await page.route(STREAM, late)
    openai.script(reply="Yes.")
    await ask(page, "Slow one")
    await page.get_by_role("link", name="Older chat").click()
    await page.wait_for_url(f"**/c/{old}")
    await message(page).fill("Typed here")
    begins.set()
    # By its address: the model gives it another title.
    slow = page.get_by_role("region", name="Chats").locator(f"a[href^='/c/']:not([href='/c/{old}'])")
    await expect(slow).to_be_visible()
    await expect(page.get_by_text("An answer in another chat is ready.")).to_be_visible()
    await expect(page).to_have_url(re.compile(old))
    await expect(message(page)).to_have_value("Typed here")
    await slow.click()
    await expect(await answered(page)).to_contain_text("Yes.")


async def test_why_this_answer_and_side_by_side(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await attach(page, "warranty.md", WARRANTY.encode())
    await ready(page, "warranty.md")
    openai.script(reply="Two years [1].")
    await ask(page, "How long does the warranty last?")
    await (await answered(page)).get_by_role("button", name="Why this answer").click()
    panel = page.get_by_role("complementary", name="Why this answer")
    for node in ("Retrieve", "Augment", "Generate", "Persist"):
        await expect(panel.get_by_text(node, exact=True)).to_be_visible()
    await expect(panel.get_by_text("warranty.md").first).to_be_visible()
    await expect(panel.locator(".prompt pre").last).to_contain_text("How long does the warranty last?")
    await shot(page, "why-1280-light")

    openai.script(reply="Two years, once more [1].")
    await panel.get_by_text("Try again with").click()
    await panel.get_by_role("spinbutton", name="Temperature").fill("0.2")
    await panel.get_by_role("button", name="Try again", exact=True).click()
    both = page.get_by_role("dialog", name="Side by side")
    await expect(both.get_by_text("Two years, once more")).to_be_visible()
    await expect(both.get_by_role("heading", name="This answer")).to_be_visible()
