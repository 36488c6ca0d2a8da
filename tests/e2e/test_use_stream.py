"""LangGraph's React hook, unchanged, in a page that is not ours: it asks, streams and stops through `/langgraph`."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.e2e.browser import ROOT, node_executable
from tests.e2e.conftest import OpenPage
from tests.integration.api.test_api_keys import make_key
from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e
SOURCE = Path(__file__).parent / "use_stream" / "main.jsx"
_BUNDLE = """
import { build } from "vite";
const [root, entry, outDir] = process.argv.slice(2);
await build({
  configFile: false, root, logLevel: "error",
  define: { "process.env.NODE_ENV": '"production"' },
  resolve: { alias: ["@langchain/langgraph-sdk/react", "react", "react-dom/client"].map(
    (find) => ({ find: new RegExp(`^${find}$`), replacement: import.meta.resolve(find).replace("file://", "") })) },
  build: { outDir, emptyOutDir: true, lib: { entry, formats: ["iife"], name: "page", fileName: () => "page.js" } },
});
"""


@pytest.fixture(scope="module")
async def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page's script, bundled with the packages that the page of the service is built with."""
    out = tmp_path_factory.mktemp("use-stream")
    # Beside the packages that it imports.
    bundler = ROOT / "ui" / "node_modules" / ".cache" / "use-stream.mjs"
    bundler.parent.mkdir(exist_ok=True)
    bundler.write_text(_BUNDLE)
    child = await asyncio.create_subprocess_exec(node_executable(), bundler, ROOT / "ui", SOURCE, out)
    assert await child.wait() == 0
    return (out / "page.js").read_text(encoding="utf-8")


@pytest.fixture
async def chat(open_page: OpenPage, anna: Person, script: str) -> Page:
    """The stranger's page, with a key of anna's."""
    key = (await make_key(anna, "chat", "conversations:read", "conversations:write"))["key"]
    page = await open_page()

    async def serve(route: Route) -> None:
        body = f"<!doctype html><body><script>window.API_KEY = '{key}'</script><script>{script}</script></body>"
        await route.fulfill(content_type="text/html", body=body)

    await page.route("**/stranger.html", serve)
    await page.goto("/stranger.html")
    return page


async def test_it_asks_and_shows_the_answer(chat: Page, anna: Person, openai: OpenAIServer) -> None:
    openai.script(tokens=["Hello, ", "hook."], delay=0.05)
    await chat.get_by_role("button", name="Ask").click()
    await expect(chat.locator(".ai")).to_have_text("Hello, hook.")
    await expect(chat.locator("output")).to_have_text("idle")
    await expect(chat.locator(".human")).to_have_text("Who are you?")
    await chat.get_by_role("button", name="Ask").click()
    await expect(chat.locator(".ai")).to_have_count(2)
    await expect(chat.locator("output")).to_have_text("idle")
    (thread,) = (await anna.get("/conversations"))["items"]
    assert [row["role"] for row in await messages(anna, thread["id"])] == ["user", "assistant"] * 2


async def test_it_shows_text_while_it_comes(chat: Page, openai: OpenAIServer) -> None:
    openai.script(tokens=[f"{number} " for number in range(400)], delay=0.02)
    await chat.get_by_role("button", name="Ask").click()
    await expect(chat.locator(".ai")).to_contain_text("3 4 5")
    await expect(chat.locator("output")).to_have_text("loading")
    await chat.get_by_role("button", name="Stop").click()
    await expect(chat.locator("output")).to_have_text("idle")
