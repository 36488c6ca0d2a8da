"""The page in a real Chromium, with much in it: its weight, first paint, answer to hands, and what streams cost.

Every figure has a control: the same probe over a page that is made bad on purpose. A probe that does not see it is
broken, and then there are no figures at all (`controls.NotCaught`).
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from playwright.async_api import async_playwright

from bench.report import Row
from bench.stage import Stage
from bench.ui import first_load, hands, streaming
from bench.ui.browser import House
from llama_service.runtime.process import package_root
from tests.e2e.browser import chromium_executable, launch
from tests.providers import OpenAIServer


async def _build() -> None:
    """Build the page where its sources have changed, so that it is these that are measured."""
    build = await asyncio.create_subprocess_exec(
        sys.executable, str(package_root() / "scripts" / "build_ui.py"), stdout=asyncio.subprocess.DEVNULL
    )
    if await build.wait() != 0:
        raise RuntimeError("the page could not be built")


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Measure one browser against one API process, one figure after the other."""
    await _build()
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(OpenAIServer(record=False))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await launch(playwright, chromium_executable())
        stack.push_async_callback(browser.close)
        api = await stage.serve(OPENAI_BASE_URL=model.url)
        house = House(browser, api.url, stage.postgres.dsn, model)
        crowd = await house.crowd()
        rows = await first_load.run(house, crowd, quick)
        rows += await hands.run(house, crowd, quick)
        rows += await streaming.run(house, crowd, quick)
        await api.child.stop()
    return rows
