"""People at the page: accounts with a browser context of their own, and the debugger's view of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from playwright.async_api import APIRequestContext, Browser, BrowserContext, CDPSession, Locator, Page, expect

from bench.pages import fill_conversations
from tests.providers import OpenAIServer

CONVERSATIONS = 10_000
MESSAGES = 1_000
_PATIENCE_MS = 30_000
_OURS = {"X-Requested-With": "llama-service"}

ANSWER = """The figures of **{number}** are these:

| Part | Value |
|---|--:|
| first | {number} |

1. one
2. two

```python
value = {number}
```
"""


@dataclass(frozen=True, slots=True)
class Somebody:
    """An account, and its longest conversation where it has one."""

    name: str
    password: str
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that somebody has open, with the debugger at it."""

    page: Page
    debugger: CDPSession

    async def metric(self, name: str) -> float:
        """Return one of Chromium's own counters of this page."""
        found = await self.debugger.send("Performance.getMetrics")
        return float(next(entry["value"] for entry in found["metrics"] if entry["name"] == name))

    async def open(self, path: str) -> None:
        """Go to a page of the service and wait until there is something to write into."""
        await self.page.goto(path)
        await expect(self.message).to_be_visible()

    @property
    def message(self) -> Locator:
        """The field that a message is written in."""
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def answers(self) -> Locator:
        """The answers that are in the document."""
        return self.page.get_by_role("article", name="Answer", exact=True)

    async def ask(self, text: str) -> None:
        """Send a message."""
        await self.message.fill(text)
        await self.page.get_by_role("button", name="Send", exact=True).click()


@dataclass(frozen=True, slots=True)
class House:
    """A browser, the service at `url` with its database, and the model that it asks."""

    browser: Browser
    url: str
    dsn: str
    model: OpenAIServer

    async def join(self) -> tuple[Somebody, str]:
        """Register somebody; return them and their id."""
        name, password = f"b{uuid4().hex[:12]}", "correct horse battery"
        body = {"username": name, "email": f"{name}@example.com", "password": password}
        async with self._context() as context:
            made = await _post(context.request, "/auth/register", body)
        return Somebody(name, password), str(made["id"])

    async def crowd(self) -> Somebody:
        """Register somebody with ten thousand conversations and another one of a thousand messages."""
        somebody, user_id = await self.join()
        fill_conversations(self.dsn, user_id, CONVERSATIONS)
        messages = [
            {
                "id": str(number),
                "parent_id": str(number - 1) if number else None,
                "role": "assistant" if number % 2 else "user",
                "content": ANSWER.format(number=number) if number % 2 else f"Question {number}?",
            }
            for number in range(MESSAGES)
        ]
        talk = {"format": "llama-service/conversation", "version": 1, "messages": messages}
        async with self._context(somebody) as context:
            made = await _post(context.request, "/conversations/import", {**talk, "conversation": {"title": "Long"}})
        return Somebody(somebody.name, somebody.password, str(made["conversation_ids"][0]))

    @asynccontextmanager
    async def visit(self, somebody: Somebody) -> AsyncIterator[Visit]:
        """Open an empty page in a context of its own, with nothing in its cache, signed in as `somebody`."""
        async with self._context(somebody) as context:
            page = await context.new_page()
            debugger = await context.new_cdp_session(page)
            for domain in ("Performance", "Network"):
                await debugger.send(f"{domain}.enable")
            yield Visit(page, debugger)

    @asynccontextmanager
    async def _context(self, somebody: Somebody | None = None) -> AsyncIterator[BrowserContext]:
        context = await self.browser.new_context(
            base_url=self.url, locale="en-US", viewport={"width": 1280, "height": 800}
        )
        try:
            context.set_default_timeout(_PATIENCE_MS)
            if somebody:
                await _post(context.request, "/auth/login", {"username": somebody.name, "password": somebody.password})
            yield context
        finally:
            await context.close()


async def _post(client: APIRequestContext, path: str, body: object) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **_OURS}
    answer = await client.post(f"/api/v1{path}", data=json.dumps(body), headers=headers)
    if not answer.ok:
        raise ValueError(f"{path}: {answer.status} {await answer.text()}")
    made: dict[str, Any] = await answer.json()
    return made
