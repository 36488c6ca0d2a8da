"""Budgets in the page: set by an administrator, seen before it hurts by who spends them, told when they are used up."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.asking import answered, ask
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.integration.api.test_libraries import admin as admin
from tests.providers import OpenAIServer
from tests.support import Person

pytestmark = pytest.mark.e2e


async def test_a_budget_is_set_seen_and_used_up(
    open_page: OpenPage, admin: Person, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(admin, "/admin")
    budgets = page.get_by_role("region", name="Budgets")
    await expect(budgets.get_by_text("Nothing limits what may be spent on models.")).to_be_visible()
    await budgets.get_by_role("button", name="Set a budget").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("For").select_option("One person")
    await dialog.get_by_role("textbox", name="Person").fill(anna.name)
    await dialog.get_by_label("Tokens").fill("200")
    await accessible(page)
    await dialog.get_by_role("button", name="Save").click()
    await expect(budgets.get_by_text(f"{anna.name}, a day")).to_be_visible()
    await expect(budgets.get_by_text("0 of 200 tokens")).to_be_visible()
    await shot(page, "budgets-1280")
    # She is told before it hurts, and when it is used up.
    hers = await open_page(anna)
    openai.script(tokens=["word "] * 150)
    await ask(hers, "Go on.")
    await answered(hers)
    notice = hers.get_by_role("status").filter(has_text=re.compile(r"\d+% of your budget for models is used"))
    await expect(notice).to_be_visible()
    await ask(hers, "And once more.")
    await expect(hers.get_by_text("Your budget for this day is used up")).to_be_visible()
    await accessible(hers)
    await shot(hers, "budget-used-1280")
    await hers.goto("/account")
    await expect(hers.get_by_text("Your budget, a day")).to_be_visible()
    await budgets.get_by_role("button", name="Delete").click()
    await expect(budgets.get_by_text("Nothing limits what may be spent on models.")).to_be_visible()
