import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage

from chains.counting import count_prompt, count_tokens

# Tokens counted by Qwen2.5's own tokenizer.
COUNTED: list[tuple[str, int]] = [
    ("The cat sat on the mat while rain fell softly over the old harbour, and nobody noticed it.", 20),
    ("Вчера вечером мы долго гуляли по набережной и говорили о том, как изменился город.", 29),
    ("所有人生来自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。", 27),  # noqa: RUF001
    ("Die Bundesregierung hat am Mittwoch beschlossen, die Verordnung grundlegend zu überarbeiten.", 23),
    ("def add(a: int, b: int) -> int:\n    return a + b\n\n\nprint(add(1, 2))\n", 27),
    ('[{"id": 1, "value": 37.5}, {"id": 2, "value": 75.0}]', 31),
    ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι.", 43),  # noqa: RUF001
]


def test_empty_text_has_no_tokens() -> None:
    assert count_tokens("") == 0
    assert count_tokens("a") == 1


@pytest.mark.parametrize(("text", "tokens"), COUNTED)
def test_estimates_lie_near(text: str, tokens: int) -> None:
    assert tokens * 0.75 <= count_tokens(text) <= tokens * 1.25


def test_long_texts_are_counted_fast() -> None:
    text = "Съешь ещё этих мягких французских булок, да выпей чаю. " * 20_000
    begun = time.process_time()
    assert count_tokens(text) > 100_000
    assert time.process_time() - begun < 0.5


def test_prompt_counts_its_messages() -> None:
    assert count_prompt([SystemMessage("a b c"), HumanMessage("d")]) >= 8


@given(st.text(st.characters(max_codepoint=127), min_size=1))
def test_plain_text_is_counted_as_any_other(text: str) -> None:
    # A letter of another alphabet takes the slower way: it may add a token, and changes nothing else.
    assert 0 <= count_tokens(text + "\u0434") - count_tokens(text) <= 1
