"""A browser, and pages that watch what they may not do."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright

from tests.e2e.browser import ROOT, launch
from tests.support import Person, Server

SHOTS = ROOT / ".artifacts" / "screenshots"
PATIENCE_MS = 20_000

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The folder of the built page; builds it where its sources have changed."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import build_ui
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    build_ui.build()
    return ROOT / "ui" / "dist"


@pytest.fixture(scope="session")
async def browser(built_page: Path) -> AsyncIterator[Browser]:
    """A Chromium."""
    async with async_playwright() as playwright:
        running = await launch(playwright)
        yield running
        await running.close()


class Watch:
    """What a page has asked the network for, and what went wrong in it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.strangers: list[str] = []
        self.failures: list[str] = []
        self.requests: list[str] = []

    def of(self, page: Page) -> None:
        """Watch a page."""
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.failures.append(str(error)))

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        if urlsplit(request.url).scheme in ("http", "https") and not request.url.startswith(self.origin):
            self.strangers.append(request.url)


@pytest.fixture
def watch(server: Server) -> Watch:
    """What the test's pages do."""
    return Watch(server.url)


@pytest.fixture
async def open_page(browser: Browser, server: Server, watch: Watch) -> AsyncIterator[OpenPage]:
    """Open a page in a context of its own, signed in as `person` where one is given.

    A test fails where its pages threw an error or asked another origin for anything.
    """
    contexts: list[BrowserContext] = []

    async def make(person: Person | None = None, path: str = "/", **options: Any) -> Page:
        options.setdefault("locale", "en-US")
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = await browser.new_context(base_url=server.url, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if person is not None:
            await sign_in(context, person)
        page = await context.new_page()
        watch.of(page)
        await page.goto(path)
        return page

    yield make
    for context in contexts:
        await context.close()
    assert watch.failures == []
    assert watch.strangers == []


async def sign_in(context: BrowserContext, person: Person) -> None:
    """Give a context the session cookie of an account."""
    answer = await context.request.post(
        "/api/v1/auth/login",
        data={"username": person.name, "password": person.password},
        headers={"X-Requested-With": "llama-service"},
    )
    assert answer.ok, await answer.text()


async def shot(page: Page, name: str) -> None:
    """Keep a picture of the page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")
