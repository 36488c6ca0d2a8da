"""Nothing is wider than the phone, however long a model's name is."""

from tests.e2e.conftest import OpenPage
from tests.support import Person

LONG = "a-model-with-a-very-long-name-that-goes-on-and-on-instruct-q4_k_m"


async def test_a_long_model_name_does_not_push_send_off_the_screen(open_page: OpenPage, anna: Person) -> None:
    body = {"title": "Long", "model_source": "embedded", "model_name": LONG}
    thread = (await anna.http.post("/conversations", json=body)).json()["id"]
    page = await open_page(anna, f"/c/{thread}", viewport={"width": 390, "height": 844})
    await page.get_by_label("Message").wait_for()
    send = await page.get_by_role("button", name="Send").bounding_box()
    assert send is not None
    assert send["x"] + send["width"] <= 390
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
