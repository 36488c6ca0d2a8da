"""The page under a path (`ROOT_PATH=/ai`): each address that it asks for, shows or leads to has the path."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import expect

from llama_service.settings import Settings, load_settings
from tests.e2e.conftest import OpenPage, Watch, shot
from tests.files.pdf import pdf
from tests.providers import OidcServer, OpenAIServer
from tests.support import Person, Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.newest]


@pytest.fixture(scope="module")
async def below(settings: Settings) -> AsyncIterator[Server]:
    """A server under a path, with a worker of its own."""
    given = settings.model_dump(exclude={"root_path"}, exclude_unset=True)
    async with serving(load_settings(_env_file=None, **given, root_path="/ai")) as running:
        yield running


async def test_everything_lies_under_the_path(
    open_page: OpenPage, below: Server, company: OidcServer, openai: OpenAIServer, watch: Watch
) -> None:
    company.reset()
    name = f"below{uuid4().hex[:6]}"
    company.join(name)
    watch.origins.add(company.origin)
    # Deep in the page, signed out: first the sign-in, then where one wanted to go.
    page = await open_page(base_url=below.url, path="/ai/files")
    await page.get_by_role("link", name="Continue with Company account").click()
    await page.get_by_role("button", name=name).click()
    await expect(page.get_by_role("heading", name="Files")).to_be_visible()
    assert urlsplit(page.url).path == "/ai/files"

    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Upload files").click()
    content = pdf(["The lighthouse keeper kept bees for eleven years."])
    await (await chooser.value).set_files({"name": "bees.pdf", "mimeType": "application/pdf", "buffer": content})
    await expect(page.get_by_text("bees.pdf").first).to_be_visible()
    await expect(page.locator(".file-row[data-status=completed]").first).to_be_visible()

    openai.script(reply="Eleven years [1].")
    await page.get_by_role("link", name="llama-service").click()
    assert urlsplit(page.url).path == "/ai/"
    await page.get_by_role("textbox", name="Message", exact=True).fill(
        "For how long did the lighthouse keeper keep bees?"
    )
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Answer")).to_be_visible()
    await page.wait_for_url("**/ai/c/*")
    await page.get_by_role("button", name="Source 1", exact=True).first.click()
    await expect(page.locator("canvas")).to_be_visible()
    await shot(page, "root-path-1280-light")
    await page.reload()
    await expect(page.get_by_role("article", name="Answer")).to_be_visible()

    await page.goto("/ai/studio")
    for address in ("/ai/langserve/chat/playground/", "/ai/docs"):
        await expect(page.locator(f'.studio__links a[href="{address}"]')).to_be_visible()
    await page.get_by_role("button", name=name).click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    assert urlsplit(page.url).path == "/ai/sign-in"

    ours = [urlsplit(address).path for address in watch.requests if address.startswith(below.url)]
    assert [path for path in ours if not path.startswith("/ai/")] == []


async def test_a_password_leads_back_too(open_page: OpenPage, below: Server) -> None:
    person = await Person.join(f"{below.url}/ai")
    page = await open_page(base_url=below.url, path="/ai/files?open=nothing")
    await page.get_by_label("Username or e-mail").fill(person.name)
    await page.get_by_label("Password").fill(person.password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/ai/files?open=nothing")
    await expect(page.get_by_role("heading", name="Files")).to_be_visible()
    await person.close()
