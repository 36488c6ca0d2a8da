"""Projects, assistants and saved prompts, as people keep and use them."""

import re

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.e2e.asking import answered, ask, message
from tests.e2e.axe import accessible
from tests.e2e.conftest import OpenPage, shot
from tests.e2e.test_ui_chat import STREAM
from tests.integration.api.test_chat import messages
from tests.integration.api.test_personal import system_of
from tests.integration.api.test_projects import PNG, made
from tests.integration.api.test_scope import FOX, OWL, QUESTION
from tests.providers import OpenAIServer
from tests.support import Person, eventually

pytestmark = pytest.mark.e2e

PHONE = {"width": 390, "height": 844}


async def chats(page: Page) -> list[str]:
    """Return the titles in the list at the side."""
    return await page.get_by_role("region", name="Chats").locator(".conversation__title").all_inner_texts()


async def test_a_project_from_its_beginning_to_its_end(open_page: OpenPage, anna: Person, openai: OpenAIServer) -> None:
    await anna.indexed("owl.txt", OWL)
    await anna.indexed("fox.txt", FOX)
    page = await open_page(anna)
    await page.get_by_role("button", name="New project").click()
    await page.get_by_role("dialog").get_by_label("Name").fill("Forest")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Forest")).to_be_visible()
    await page.get_by_label("Instructions").fill("Answer in one word.")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("button", name="Save")).to_be_disabled()
    await page.get_by_role("region", name="Files").get_by_role("checkbox", name=re.compile("owl.txt")).click()
    await expect(page.get_by_text("No chats yet.")).to_be_visible()
    await accessible(page)
    await shot(page, "project-1280")
    await page.get_by_role("button", name="New chat in this project").click()
    await expect(page.get_by_role("link", name="Forest")).to_be_visible()
    scope = page.get_by_role("button", name=re.compile("^Search in"))
    await expect(scope).to_have_text(re.compile("Files of this chat ?1"))
    await ask(page, QUESTION)
    answer = await answered(page)
    await expect(answer.get_by_role("list", name=re.compile("Sources|Looked at"))).to_have_count(1)
    assert "Answer in one word." in system_of(openai)
    thread = (await anna.get("/conversations"))["items"][0]["id"]
    answers = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert {source["file_name"] for source in answers[-1]["sources"]} == {"owl.txt"}
    await expect(scope).to_have_text(re.compile("Files of this chat ?1"))
    # Another chat of the project that searches everything from its first question on.
    await page.get_by_role("link", name="Forest").click()
    await page.get_by_role("button", name="New chat in this project").click()
    await scope.click()
    await page.get_by_role("radio", name="All my files").click()
    await expect(scope).to_have_text(re.compile("All my files"))
    await page.keyboard.press("Escape")
    await ask(page, QUESTION)
    await answered(page)
    await expect(scope).to_have_text(re.compile("All my files"))
    thread = (await anna.get("/conversations"))["items"][0]["id"]
    answers = (await anna.get(f"/conversations/{thread}/messages"))["items"]
    assert {source["file_name"] for source in answers[-1]["sources"]} == {"owl.txt", "fox.txt"}
    assert (await anna.http.delete(f"/conversations/{thread}")).status_code == 204
    await page.goto("/")
    await page.get_by_role("button", name="Forest", exact=True).click()
    await expect(page.get_by_role("region", name="Chats").locator(".project-chats li")).to_have_count(1)
    assert await chats(page) == await page.locator(".project-chats .conversation__title").all_inner_texts()
    await page.get_by_role("button", name="Delete project").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator(".conversations .conversation")).to_have_count(1)
    await expect(page.get_by_role("button", name="Forest", exact=True)).to_have_count(0)


async def test_a_refused_first_question_is_asked_again_in_the_same_chat(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    project = await made(anna, "/projects", name="Forest")
    page = await open_page(anna, path=f"/projects/{project['id']}")
    await page.get_by_role("button", name="New chat in this project").click()
    error = {"code": "budget_exceeded", "message": "The budget is used up."}
    await page.route(STREAM, lambda route: route.fulfill(status=402, json={"error": error}))
    await ask(page, "Who is there?")
    await expect(page.locator(".notice--error")).to_have_text("The budget is used up.")
    await page.unroute(STREAM)
    await ask(page, "Who is there now?")
    await answered(page)
    (thread,) = (await anna.get("/conversations"))["items"]
    assert thread["project_id"] == project["id"]
    assert (await messages(anna, thread["id"]))[0]["content"] == "Who is there now?"


async def test_all_files_that_are_uploaded_into_a_project_are_in_it(open_page: OpenPage, anna: Person) -> None:
    project = await made(anna, "/projects", name="Forest")
    page = await open_page(anna, path=f"/projects/{project['id']}")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Upload files").click()
    leaves: list[FilePayload] = [
        {"name": f"leaf{n}.txt", "mimeType": "text/plain", "buffer": f"Leaf {n}.".encode()} for n in range(20)
    ]
    await (await chooser.value).set_files(leaves)
    await expect(page.locator(".file-chooser").get_by_role("checkbox", checked=True)).to_have_count(20)

    async def all_there() -> bool:
        (now,) = (await anna.get("/projects"))["items"]
        return sorted(now["file_ids"]) == sorted([file["id"] for file in (await anna.get("/files"))["items"]])

    await eventually(all_there)
    await page.reload()
    await expect(page.locator(".file-chooser").get_by_role("checkbox", checked=True)).to_have_count(20)


async def test_a_chat_moves_into_a_project_and_out_again(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    await made(anna, "/projects", name="Forest")
    page = await open_page(anna)
    await ask(page, "Of bears")
    await answered(page)
    row = page.locator(".conversations .conversation")
    await row.get_by_role("button", name=re.compile("Actions for")).click()
    await page.get_by_role("menuitem", name="Move to a project").click()
    await page.get_by_role("dialog").get_by_role("button", name="Forest").click()
    await expect(row).to_have_count(0)
    await expect(page.get_by_role("main").get_by_role("link", name="Forest")).to_be_visible()
    await page.get_by_role("main").get_by_role("link", name="Forest").click()
    await page.locator(".project-chats").get_by_role("button", name=re.compile("Actions for")).click()
    await page.get_by_role("menuitem", name="Move to a project").click()
    await page.get_by_role("button", name="Remove from its project").click()
    await expect(row).to_have_count(1)
    await expect(page.locator(".project-chats li")).to_have_count(0)


async def test_an_assistant_is_made_chatted_with_and_shared(
    open_page: OpenPage, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("owl.txt", OWL)
    ranger = f"Ranger {anna.name}"  # other people's shared ones are listed too
    page = await open_page(anna, "/assistants")
    await page.get_by_role("button", name="New assistant").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill(ranger)
    await dialog.get_by_label("Description").fill("Knows the forest")
    await dialog.get_by_label("System prompt").fill("You are a ranger.")
    await dialog.locator("input[type=file][accept='image/*']").set_input_files(
        {"name": "face.png", "mimeType": "image/png", "buffer": PNG}
    )
    await expect(dialog.locator("img.assistant-picture")).to_be_visible()
    await dialog.get_by_role("checkbox", name=re.compile("owl.txt")).check()
    await dialog.get_by_role("checkbox", name=re.compile("Share with everybody")).check()
    await expect(dialog.get_by_text("Others’ chats search only those")).to_be_visible()
    await accessible(page)
    await shot(page, "assistant-form-1280")
    await dialog.get_by_role("button", name="Save").click()
    card = page.locator(".card", has_text=ranger)
    await expect(card).to_contain_text("Knows the forest")
    await shot(page, "assistants-1280")
    await card.get_by_role("button", name="Chat").click()
    await expect(page.get_by_role("heading", name=ranger)).to_be_visible()
    await ask(page, QUESTION)
    await answered(page)
    assert system_of(openai).startswith("You are a ranger.")
    await expect(page.get_by_role("link", name=ranger)).to_be_visible()
    theirs = await open_page(boris, "/assistants", viewport=PHONE, color_scheme="dark")
    other = theirs.locator(".card", has_text=ranger)
    await expect(other).to_contain_text(f"by {anna.name}")
    await expect(other.get_by_role("button", name=re.compile("Actions"))).to_have_count(0)
    await shot(theirs, "assistants-390-dark")
    await card.or_(page.locator("body")).first.wait_for()
    await page.goto("/assistants")
    await card.get_by_role("button", name=re.compile("Actions")).click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(card).to_have_count(0)


async def test_saved_prompts_are_called_by_a_slash_and_filled_in(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna, "/prompts")
    await page.get_by_role("button", name="New prompt").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Translate")
    await dialog.get_by_label("Text").fill("Translate “{{text}}” into {{language}}.")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Translate")).to_be_visible()
    await made(anna, "/prompts", title="Tidy", content="Tidy this up.")
    await page.goto("/")
    await message(page).press_sequentially("/t")
    menu = page.get_by_role("listbox", name="Prompts")
    await expect(menu.get_by_role("option")).to_have_count(2)
    await accessible(page)
    await message(page).press_sequentially("ra")
    await expect(menu.get_by_role("option")).to_have_count(1)
    await shot(page, "prompt-menu-1280")
    await message(page).press("Enter")
    dialog = page.get_by_role("dialog", name="Translate")
    await dialog.get_by_label("text").fill("walnut")
    await dialog.get_by_label("language").fill("Latin")
    await dialog.get_by_role("button", name="Insert").click()
    await expect(message(page)).to_have_value("Translate “walnut” into Latin.")
    await message(page).fill("/tidy")
    await message(page).press("Escape")
    await expect(menu).to_have_count(0)
    await message(page).press("Enter")
    await answered(page)
    sent = [chat.body["messages"][-1]["content"] for chat in openai.chats]
    assert "/tidy" in sent, "who does not want a prompt sends what stands there"


async def test_a_temporary_chat_is_in_no_list_until_it_is_kept(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    page = await open_page(anna)
    await page.get_by_role("button", name="Temporary chat").click()
    await expect(page.get_by_text("Temporary", exact=True)).to_be_visible()
    await ask(page, "Between us")
    await answered(page)
    await expect(page.locator(".conversations .conversation")).to_have_count(0)
    await expect(page.get_by_text("Temporary", exact=True)).to_be_visible()
    await shot(page, "temporary-1280")
    await page.get_by_role("button", name="Keep", exact=True).click()
    await expect(page.locator(".conversations .conversation")).to_have_count(1)
    await expect(page.get_by_text("Temporary", exact=True)).to_have_count(0)


async def test_the_sidebar_is_folded_and_stays_so(open_page: OpenPage, anna: Person) -> None:
    page = await open_page(anna)
    await page.get_by_role("button", name="Hide the sidebar").click()
    await expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    await page.reload()
    await expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    await page.get_by_role("button", name="Open menu").click()
    await expect(page.get_by_role("navigation", name="Main")).to_be_visible()


async def test_a_chat_is_shared_read_by_another_and_taken_back(
    open_page: OpenPage, anna: Person, boris: Person, openai: OpenAIServer
) -> None:
    await anna.indexed("owl.txt", OWL)
    openai.script(reply="In hollow **spruces** [1].")
    page = await open_page(anna)
    await ask(page, QUESTION)
    await answered(page)
    row = page.locator(".conversations .conversation")
    await row.get_by_role("button", name=re.compile("Actions for")).click()
    await page.get_by_role("menuitem", name="Share…").click()
    dialog = page.get_by_role("dialog", name="Share this chat")
    await expect(dialog.get_by_text("without an account")).to_have_count(0)
    await dialog.get_by_role("checkbox", name="Show the passages behind the answers").check()
    await dialog.get_by_text("7 days").click()
    await dialog.get_by_role("button", name="Create link").click()
    link = await dialog.get_by_label("Link", exact=True).input_value()
    await expect(dialog.get_by_role("list", name="Links to this chat")).to_contain_text("signed-in users")
    await accessible(page)
    await shot(page, "share-1280")
    stranger = await open_page(path=link, viewport=PHONE, color_scheme="dark")
    await expect(stranger.get_by_role("heading", name="This link leads nowhere.")).to_be_visible()
    await stranger.get_by_role("link", name="Sign in").click()
    await stranger.get_by_label("Username or e-mail").fill(boris.name)
    await stranger.get_by_label("Password").fill(boris.password)
    await stranger.get_by_role("button", name="Sign in").click()
    shown = stranger.get_by_role("article", name="Answer")
    await expect(shown.locator("strong").first).to_have_text("spruces")
    await stranger.get_by_text("Sources").click()
    await expect(shown).to_contain_text(OWL.decode())
    await expect(stranger.get_by_text(f"Shared by {anna.name}")).to_be_visible()
    await accessible(stranger)
    await shot(stranger, "shared-390-dark")
    await dialog.get_by_role("button", name=re.compile("Revoke")).click()
    await expect(dialog.get_by_role("list", name="Links to this chat")).to_have_count(0)
    await stranger.reload()
    await expect(stranger.get_by_role("heading", name="This link leads nowhere.")).to_be_visible()


async def test_what_was_chosen_for_one_new_chat_is_no_choice_for_an_assistants(
    open_page: OpenPage, anna: Person, openai: OpenAIServer
) -> None:
    ranger = f"Ranger {anna.name}"
    await made(anna, "/assistants", name=ranger, model_source="openai", model_name="gpt-4")
    page = await open_page(anna)
    await page.get_by_role("button", name=re.compile("^Model")).click()
    await page.get_by_role("menuitemradio", name="gpt-4o-mini").click()
    await expect(page.get_by_role("button", name="Model: gpt-4o-mini")).to_be_visible()
    # From one new chat to the other without a page between them.
    await page.keyboard.press("Control+k")
    await page.keyboard.type(ranger)
    await expect(page.get_by_role("option", name=ranger)).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=ranger)).to_be_visible()
    await expect(page.get_by_role("button", name="Model: gpt-4", exact=True)).to_be_visible()
    await ask(page, "Hello")
    await expect((await answered(page)).locator(".meta")).to_contain_text(re.compile(r"gpt-4(?!o)"))
