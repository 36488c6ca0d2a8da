"""The studio page: states with their sources, and runs from any of them."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.providers import OpenAIServer
from tests.support import Person, eventually

pytestmark = pytest.mark.e2e


async def test_a_conversation_is_forked_and_run_again_from_a_state(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("hall.txt", b"The ceiling of the hall is nine metres high.")
    openai.script(reply="Nine metres [1].")
    first = await anna.ask("How high is the ceiling of the hall?")
    thread = first["conversation_id"]
    page = await open_page(anna, path=f"/studio/{thread}")
    states = page.get_by_role("region", name="Checkpoints")
    await states.get_by_role("button", name="generate").click()
    await expect(states.get_by_role("region", name="Sources")).to_contain_text("hall.txt")
    await expect(states.get_by_text("Changes since the previous step")).to_be_visible()
    await accessible(page, "the studio with a state")

    openai.script(reply="Nine metres, once more [1].")
    await states.get_by_role("button", name="Run again from here").click()
    await expect(states.get_by_role("link", name="Open the chat")).to_be_visible()
    items = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert items[-1]["content"] == "Nine metres, once more [1]."
    assert len(items[-1]["sibling_ids"]) == 2

    await states.get_by_role("textbox", name="Another question from here").fill("How wide is the hall?")
    openai.script(reply="It does not say.")
    await states.get_by_role("button", name="Ask", exact=True).click()

    async def forked() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await anna.get(f"/conversations/{thread}/messages"))["items"]
        return items if items[-1]["content"] == "It does not say." else None

    items = await eventually(forked)
    await expect(states.get_by_role("textbox", name="Another question from here")).to_have_value("")
    assert [item["content"] for item in items] == ["How wide is the hall?", "It does not say."]
    assert len(items[0]["sibling_ids"]) == 2
    await shot(page, "studio-run-from")
