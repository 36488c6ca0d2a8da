"""The page's benchmark in its short form: what is not time is held here, what is time is only measured."""

import pytest
from playwright.async_api import Browser

from bench.report import Row
from bench.ui import first_load, hands, streaming
from bench.ui.browser import House
from bench.ui.controls import NotCaught, controlled
from tests.providers import OpenAIServer
from tests.support import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOT_TIME = ("JavaScript of the first load, compressed", "elements in the document")


async def test_the_page_keeps_its_weight_and_the_probes_see_bad_pages(
    browser: Browser, server: Server, postgres: str, openai: OpenAIServer
) -> None:
    house = House(browser, server.url, postgres, openai)
    crowd = await house.crowd()
    rows = [row for part in (first_load, hands, streaming) for row in await part.run(house, crowd, quick=True)]
    held = {row.figure: row for row in rows if row.figure in NOT_TIME}
    assert set(held) == set(NOT_TIME)
    assert [row for row in held.values() if row.verdict != "ok"] == []
    # A control that a probe had not caught would have raised.
    assert len([row for row in rows if "control: " in row.note]) == len([row for row in rows if row.goal is not None])


def test_a_blind_probe_is_told() -> None:
    row = Row("ui", "a figure", 5, "ms", 10)
    assert controlled(row, 11, "a bad page").note == "control: a bad page, 11 ms, caught"
    with pytest.raises(NotCaught):
        controlled(row, 9, "a bad page")
