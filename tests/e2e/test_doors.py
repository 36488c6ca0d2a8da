"""The pages that are not ours: LangServe's playground and Swagger, behind the same sign-in and without other hosts."""

from tests.e2e.conftest import OpenPage
from tests.integration.api.test_chat import messages
from tests.providers import OpenAIServer
from tests.support import Person


async def test_the_playground_chats_after_sign_in(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    openai.script(reply="Hello from the playground.")
    page = await open_page(anna, "/langserve/chat/playground/")
    box = page.get_by_placeholder("Send a message")
    await box.fill("Who is there?")
    await box.press("Enter")
    await page.get_by_text("Hello from the playground.").first.wait_for()
    thread = (await anna.get("/conversations"))["items"][0]["id"]
    talk = await messages(anna, thread)
    assert [message["content"] for message in talk] == ["Who is there?", "Hello from the playground."]


async def test_swagger_works_without_another_host(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna, "/docs")
    await page.get_by_text("/api/v1/chat/stream").first.wait_for()
    await page.get_by_role("button", name="Authorize").wait_for()
