"""A browser, and pages that watch what they may not do."""

import fcntl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from tests.e2e.browser import ROOT, chromium_executable, launch, newest_executable
from tests.support import Person, Server

SHOTS = ROOT / ".artifacts" / "screenshots"
PATIENCE_MS = 20_000

Database = psycopg.Connection[Any]
OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The folder of the built page; builds it where its sources have changed. One process of the tests at a time."""
    SHOTS.parent.mkdir(exist_ok=True)
    with (SHOTS.parent / ".page-lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        subprocess.run([sys.executable, str(ROOT / "scripts" / "build_ui.py")], check=True, stdout=subprocess.DEVNULL)
    return ROOT / "ui" / "dist"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `newest` in the newest Chromium of the system too, where there is one.

    The pinned browser is the same everywhere, and therefore older than the one that people use.
    """
    if "browser_kind" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("newest") is not None and newest_executable() is not None
        metafunc.parametrize("browser_kind", ["pinned", "newest"] if both else ["pinned"], scope="session")


@pytest.fixture(scope="session")
async def browser(browser_kind: str, built_page: Path) -> AsyncIterator[Browser]:
    """A Chromium: the pinned one, or the newest of the system."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        path = newest_executable() if browser_kind == "newest" else chromium_executable()
        running = await launch(playwright, path)
        yield running
        await running.close()


class Watch:
    """What a page has asked the network for, and what went wrong in it."""

    def __init__(self) -> None:
        self.origins: set[str] = set()
        self.strangers: list[str] = []
        self.failures: list[str] = []
        self.requests: list[str] = []

    def of(self, page: Page) -> None:
        """Watch a page."""
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.failures.append(str(error)))

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and f"{address.scheme}://{address.netloc}" not in self.origins:
            self.strangers.append(request.url)


@pytest.fixture
def watch() -> Watch:
    """What the test's pages do."""
    return Watch()


@pytest.fixture
async def open_page(browser: Browser, server: Server, watch: Watch) -> AsyncIterator[OpenPage]:
    """Open a page in a context of its own, signed in as `person` where one is given.

    A test fails where its pages threw an error or asked another origin for anything.
    """
    contexts: list[BrowserContext] = []

    async def make(person: Person | None = None, path: str = "/", **options: Any) -> Page:
        options.setdefault("locale", "en-US")
        options.setdefault("viewport", {"width": 1280, "height": 800})
        # What a service worker asks for is not seen by the watch, nor by what tests put in its way.
        options.setdefault("service_workers", "block")
        options.setdefault("base_url", server.url)
        watch.origins.add(options["base_url"])
        context = await browser.new_context(**options)
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
