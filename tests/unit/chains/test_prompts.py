"""What people say once for all is part of a prompt, and leaves room for the rest."""

from chains import prompts
from chains.counting import count_tokens
from persistence.personal import Personal


def head(personal: Personal, context_tokens: int = 4096) -> str:
    """Return the system prompt of a short question."""
    made = prompts.build(
        system_prompt=None,
        personal=personal,
        history=[],
        question="Why?",
        sources=[],
        nothing_found=False,
        unfinished="",
        context_tokens=context_tokens,
        answer_tokens=512,
        count=count_tokens,
    )
    assert made.tokens < context_tokens
    return str(made.messages[0].content)


def test_project_user_and_memories_stand_in_this_order() -> None:
    personal = Personal("Be brief.", "It is about bears.", ["Newer.", "Older."])
    text = head(personal)
    places = [text.index(words) for words in ("It is about bears.", "Be brief.", "- Older.", "- Newer.")]
    assert places == sorted(places)
    assert head(Personal()) == prompts.SYSTEM


def test_a_quarter_of_the_window_is_the_most_and_the_oldest_memory_goes_first() -> None:
    memories = [f"Fact {number}: " + "blah " * 60 for number in range(99, -1, -1)]
    text = head(Personal("Be brief.", None, memories))
    assert "Be brief." in text
    assert "Fact 99:" in text
    assert "Fact 0:" not in text
    assert count_tokens(text) < 4096 / 4 + 100


def test_instructions_that_do_not_fit_are_left_out_whole() -> None:
    """Half an instruction may say the opposite; the next part may fit."""
    text = head(Personal("never " * 2000, "It is about bears.", ["Short."]), context_tokens=2048)
    assert "never" not in text
    assert "It is about bears." in text
    assert "Short." in text
