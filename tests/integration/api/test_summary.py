"""What a long conversation's window drops is summarised before that, and the model reads the summary."""

from typing import Any

from graphs.state import WINDOW_MESSAGES
from tests.integration.api.test_chat import messages
from tests.integration.api.test_checkpoint_tree import asked, sent, talk
from tests.providers import OpenAIServer
from tests.support import Person, eventually

ASKS_FOR_SUMMARY = "What has to be remembered:"


def summaries_asked(openai: OpenAIServer, about: str) -> list[str]:
    """Return the prompts that asked for a summary of a talk in which these words stand."""
    last = [str(request.body["messages"][-1]["content"]) for request in openai.chats]
    return [content for content in last if content.endswith(ASKS_FOR_SUMMARY) and about in content]


async def summary_of(person: Person, thread: str) -> dict[str, Any] | None:
    """Return the summary in the newest state."""
    newest = (await person.get(f"/conversations/{thread}/checkpoints"))["items"][0]
    summary: dict[str, Any] | None = newest["values"].get("summary")
    return summary


async def imported(person: Person, exchanges: int) -> str:
    """Return a conversation that came from elsewhere, with as many questions and answers."""
    rows: list[dict[str, Any]] = []
    for number in range(exchanges * 2):
        rows.append(
            {
                "id": str(number),
                "parent_id": str(number - 1) if number else None,
                "role": "assistant" if number % 2 else "user",
                "content": f"Message {number} of the talk.",
            }
        )
    talk = {"format": "llama-service/conversation", "version": 1, "conversation": {"title": "Old"}, "messages": rows}
    answer = await person.http.post("/conversations/import", json=talk)
    return str(answer.json()["conversation_ids"][0])


async def test_a_short_conversation_has_none(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, *(f"Short question {number}?" for number in range(10)))
    assert await summary_of(anna, thread) is None
    assert summaries_asked(openai, "Short question") == []


async def test_the_model_reads_what_the_window_has_dropped(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, "My name is Vera and my llama is called Bruno.")
    for number in range(14):
        await anna.ask(f"Question {number}?", conversation_id=thread)
    openai.script(reply="Vera has a llama, Bruno.")
    summary = await eventually(lambda: summary_of(anna, thread))
    assert summary["text"] == "Vera has a llama, Bruno."
    (prompt,) = summaries_asked(openai, "My name is Vera")
    assert "My name is Vera" in prompt
    assert "Question 13?" not in prompt, "the newest messages are read as they are"
    openai.script()
    for number in range(14, 14 + WINDOW_MESSAGES // 2):
        await anna.ask(f"Question {number}?", conversation_id=thread)
    await anna.ask("What is my llama called?", conversation_id=thread)
    last = sent(openai, "What is my llama called?")
    assert "My name is Vera" not in str(last[1:]), "the window has dropped it"
    assert "Bruno" in last[0]["content"] or "Bruno" in str(summaries_asked(openai, "Bruno")[-1])


async def test_a_branch_has_the_summary_of_its_own_past(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, *(f"Question {number}?" for number in range(15)))
    await eventually(lambda: summary_of(anna, thread))
    second = (await messages(anna, thread))[2]
    await anna.ask("Another second question?", conversation_id=thread, edit_of=second["id"])
    assert asked(openai, "Another second question?")[:-1] == ["Question 0?"]
    assert "said earlier" not in sent(openai, "Another second question?")[0]["content"]


async def test_a_long_imported_conversation_is_summarised_from_its_messages(anna: Person, openai: OpenAIServer) -> None:
    thread = await imported(anna, 60)
    await anna.ask("Where were we?", conversation_id=thread)
    await eventually(lambda: summary_of(anna, thread))
    (prompt,) = summaries_asked(openai, "of the talk.")
    assert "Message 0 of the talk." in prompt, "also what no window has held"


async def test_where_the_model_gives_none_the_talk_goes_on(anna: Person, openai: OpenAIServer) -> None:
    thread = await talk(anna, *(f"Question {number}?" for number in range(14)))
    openai.script(fault="500")
    await anna.http.post("/chat", json={"message": "Fails.", "conversation_id": thread})
    openai.script()
    answer = await anna.ask("Question 15?", conversation_id=thread)
    assert answer["response"]
    assert await eventually(lambda: summary_of(anna, thread)), "made after a later answer"
