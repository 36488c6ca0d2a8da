"""How a conversation is to be answered: model, fallback, system prompt, parameters, presets; and what was cut."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from llama_service.settings import Settings
from tests.e2e.asking import answered, answers, ask, message
from tests.e2e.conftest import OpenPage
from tests.providers import OpenAIServer
from tests.support import Person, Server, serving

pytestmark = pytest.mark.e2e


async def open_settings(page: Page) -> None:
    """Open what can be set for a conversation."""
    await page.get_by_role("button", name="Chat settings").click()
    await expect(page.get_by_role("dialog", name="Chat settings")).to_be_visible()


async def test_settings_reach_the_model_and_stay(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    openai.script(reply="Yes.")
    await ask(page, "First")
    await answered(page)
    await open_settings(page)
    await page.get_by_role("button", name="Precise").click()
    await expect(page.get_by_role("button", name="Precise")).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_role("spinbutton", name="Temperature")).to_have_value("0.1")
    await page.get_by_role("spinbutton", name="Max length").fill("77")
    await page.get_by_role("textbox", name="System prompt").fill("Answer like a pirate.")
    await page.keyboard.press("Escape")
    await open_settings(page)
    await expect(page.get_by_role("textbox", name="System prompt")).to_have_value("Answer like a pirate.")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    await page.keyboard.press("Escape")
    await page.reload()
    await answered(page)
    await ask(page, "Second")
    await answered(page, 2)
    sent = next(chat.body for chat in reversed(openai.chats) if "Second" in str(chat.body["messages"][-1]))
    assert sent["temperature"] == 0.1
    assert 77 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert "Answer like a pirate." in sent["messages"][0]["content"]
    # Another conversation has settings of its own.
    await page.get_by_role("button", name="New chat").click()
    await open_settings(page)
    await expect(page.get_by_role("spinbutton", name="Temperature")).to_have_value("")


async def test_models_are_told_with_what_they_can(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    page = await open_page(anna)
    await page.get_by_role("button", name=re.compile("^Model")).click()
    menu = page.get_by_role("menu")
    await expect(menu.get_by_role("menuitemradio", name="gpt-4o-mini")).to_contain_text("128,000 tokens of context")
    await expect(menu.get_by_role("menuitemradio", name="gpt-4o-mini")).to_contain_text("images")
    await expect(menu).to_contain_text("Built-in model")
    await expect(menu.locator(".badge")).to_have_text("demo")
    await expect(menu).to_contain_text("not available")


@pytest.fixture
async def falling_back(settings: Settings) -> AsyncIterator[Server]:
    """A server whose default provider is not there, and that has another one to turn to."""
    nobody = {"default_model_source": "ollama", "embeddings_baseurl": "http://127.0.0.1:9"}
    async with serving(settings.model_copy(update={**nobody, "model_fallback_sources": ["openai"]})) as running:
        yield running


async def test_a_fallback_is_told_with_the_answer(
    open_page: OpenPage, falling_back: Server, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna, base_url=falling_back.url)
    await expect(message(page)).to_be_focused()
    openai.script(reply="From somebody else.")
    await ask(page, "Who are you?")
    answer = await answered(page)
    await expect(answer).to_contain_text("From somebody else.")
    await expect(answer.locator(".fallback")).to_contain_text("Ollama")
    await expect(answer.locator(".fallback")).to_contain_text("OpenAI")
    await page.reload()
    answer = await answered(page)
    await expect(answer.locator(".fallback")).to_contain_text("Ollama")
    await answer.get_by_role("button", name="Why this answer").click()
    panel = page.get_by_role("complementary", name="Why this answer")
    await expect(panel.locator(".timeline")).to_contain_text("Generate · Ollama · failed")
    await expect(panel.locator(".timeline")).to_contain_text("Generate · OpenAI")
    # Told once, where it begins.
    await ask(page, "And who are you now?")
    await expect((await answered(page, 2)).locator(".fallback")).to_have_count(0)
    await expect(answer.locator(".fallback")).to_have_count(1)


async def test_what_was_cut_is_told(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    chapters = [f"# Chapter {n}\n\n" + f"The llama of chapter {n} eats grass of sort {n}. " * 60 for n in range(40)]
    rows = [
        {
            "id": str(number),
            "parent_id": str(number - 1) if number else None,
            "role": "assistant" if number % 2 else "user",
            "content": f"Words of message {number}. " * 200,
        }
        for number in range(60)
    ]
    talk = {"format": "llama-service/conversation", "version": 1, "conversation": {"title": "Long"}, "messages": rows}
    thread = (await anna.http.post("/conversations/import", json=talk)).json()["conversation_ids"][0]
    await anna.indexed("llamas.md", "\n\n".join(chapters).encode(), conversation_id=thread)
    openai.script(reply="Grass [1].")
    last = (await anna.get(f"/conversations/{thread}"))["leaf_id"]
    question = "What does the llama of each chapter eat?"
    await anna.ask(question, conversation_id=thread, parent_message_id=last, top_k=50)
    page = await open_page(anna, path=f"/c/{thread}")
    await expect(answers(page).last).to_contain_text("Grass")
    await answers(page).last.get_by_role("button", name="Why this answer").click()
    panel = page.get_by_role("complementary", name="Why this answer")
    await expect(panel.get_by_role("heading", name="What did not fit")).to_be_visible()
    await expect(panel.locator(".candidate")).to_have_count(8)
    await panel.get_by_role("button", name="Load more").click()
    assert await panel.locator(".candidate").count() > 8
    bars = await panel.locator(".candidate__bar > span").evaluate_all("(bars) => bars.map((bar) => bar.clientWidth)")
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > bars[-1]
