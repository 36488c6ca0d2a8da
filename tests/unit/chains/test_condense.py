"""What a model writes instead of a question does not become one."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from chains.condense import clean_query, needs_context


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("How long is the warranty?", "How long is the warranty?"),
        ('Question: "How long is it?"\nIt is long.', "How long is it?"),
        ("<think>\nOkay, the user means 2023.\n</think>\n\nКакая выручка в 2023 году?", "Какая выручка в 2023 году?"),
        ("<think>\nOkay, the user", None),
        ("—\n", None),
        ("", None),
        ("word " * 200, None),
    ],
)
def test_only_a_question_is_taken(raw: str, query: str | None) -> None:
    assert clean_query(raw) == query


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("And in 2023?", True),
        ("А в 2023 году?", True),
        ("What does it cost to repair the roof of a small house?", True),
    ],
)
def test_what_leans_on_the_talk(question: str, leans: bool) -> None:
    talk = [HumanMessage("What was the revenue in 2022?"), AIMessage("Ten.")]
    assert needs_context(question, talk) == leans
    assert not needs_context(question, [])
