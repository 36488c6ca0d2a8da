"""Rules for models in the page: set by one, met by another in the picker at the same time; prices."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.asking import answered, ask
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import group
from tests.integration.api.test_model_rules import ruler as ruler
from tests.integration.api.test_personal import system_of
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e


async def test_a_group_is_given_its_models_and_its_member_sees_no_others(
    open_page: OpenPage, ruler: Person, anna: Person, openai: OpenAIServer
) -> None:
    crowd = f"Interns {anna.name}"
    await group(ruler, crowd, anna)
    hers = await open_page(anna)
    picker = hers.get_by_role("button", name=re.compile("^Model"))
    await picker.click()
    await expect(hers.get_by_role("menuitemradio", name="gpt-4o-mini")).to_be_visible()
    await expect(hers.get_by_role("menuitemradio", name="llama3.2:latest")).to_be_visible()
    await hers.keyboard.press("Escape")
    page = await open_page(ruler, "/admin")
    part = page.get_by_role("region", name="Models by group")
    await part.get_by_role("button", name="Add a rule").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("For").select_option(crowd)
    await dialog.get_by_role("combobox", name="Models").select_option("Only these")
    await dialog.get_by_label("Allowed models").fill("openai/gpt-4\nnowhere")
    await dialog.get_by_label("Default model").fill("openai/gpt-4")
    await dialog.get_by_label("System prompt").fill("Never speak of Nightingale.")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("allowed.1.source: Input should be")
    await dialog.get_by_label("Allowed models").fill("openai/gpt-4\nembedded")
    await accessible(page)
    await shot(page, "model-rule-1280")
    await dialog.get_by_role("button", name="Save").click()
    row = part.get_by_role("listitem").filter(has_text=crowd)
    await expect(row).to_contain_text("openai/gpt-4, embedded · default openai/gpt-4 · system prompt")
    await page.set_viewport_size({"width": 390, "height": 844})
    await row.scroll_into_view_if_needed()
    await accessible(page)
    await shot(page, "model-rules-390")
    await hers.reload()
    await picker.click()
    await expect(hers.get_by_role("menuitemradio", name=re.compile("^gpt-4(?!o)"))).to_be_visible()
    for other in ("gpt-4o-mini", "llama3.2:latest"):
        await expect(hers.get_by_role("menuitemradio", name=other)).to_have_count(0)
    await expect(hers.get_by_role("menu")).not_to_contain_text("Ollama\n")
    await shot(hers, "model-picker-ruled")
    await hers.keyboard.press("Escape")
    await ask(hers, "Hello")
    await answered(hers)
    assert system_of(openai).startswith("Never speak of Nightingale.")
    await page.set_viewport_size({"width": 1280, "height": 800})
    await row.get_by_role("button", name="Change").click()
    await expect(dialog.get_by_label("Allowed models")).to_have_value("openai/gpt-4\nembedded")
    await dialog.get_by_role("combobox", name="Models").select_option("Every model")
    await dialog.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("Every model")
    await row.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)


async def test_prices_are_set(open_page: OpenPage, ruler: Person) -> None:
    page = await open_page(ruler, "/admin")
    part = page.get_by_role("region", name="Models by group")
    await part.get_by_role("button", name="Set a price").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Model", exact=True).fill("ollama/llama3.2:latest")
    await dialog.get_by_label("US dollars for a million tokens in").fill("0.1")
    await dialog.get_by_label("US dollars for a million tokens out").fill("2")
    await accessible(page)
    await dialog.get_by_role("button", name="Save").click()
    row = part.get_by_role("listitem").filter(has_text="ollama/llama3.2:latest")
    await expect(row).to_contain_text("$0.10 in, $2.00 out")
    await row.get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)
