import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from chains.providers.aihub_limits import MAX_HISTORY_CHARS, MAX_MESSAGES, MAX_PROMPT_CHARS, fit
from llama_service.errors import BadRequest, ContextTooLong

MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda n, c: HumanMessage(c * n), st.integers(1, 9000), st.sampled_from("aя中")),
        st.builds(lambda n: AIMessage("b" * n), st.integers(0, 9000)),
        st.builds(lambda n: SystemMessage("s" * n), st.integers(1, 900)),
    ),
    max_size=30,
)


@given(MESSAGES, st.integers(1, 30_000))
def test_whatever_the_history_the_limits_hold(history: list[BaseMessage], length: int) -> None:
    told, notices = fit([*history, HumanMessage("q" * length)])
    assert len(told) <= MAX_MESSAGES
    assert sum(len(message["text"]) for message in told) <= MAX_PROMPT_CHARS
    assert told[-1] == {"role": "user", "text": "q" * length}
    systems = [message for message in told if message["role"] == "system"]
    assert len(systems) == any(isinstance(message, SystemMessage) for message in history)
    middle = told[len(systems) : -1]
    assert all(len(message["text"]) <= MAX_HISTORY_CHARS for message in middle)
    asked = [message for message in history if not isinstance(message, SystemMessage) and message.text]
    assert bool(notices) == (len(middle) < len(asked) or any(len(m.text) > MAX_HISTORY_CHARS for m in asked[-9:]))


def test_the_newest_of_the_history_stays() -> None:
    history: list[BaseMessage] = []
    for number in range(10):
        history += [HumanMessage(f"question {number}"), AIMessage(f"answer {number}")]
    told, notices = fit([SystemMessage("rules"), *history, HumanMessage("now")])
    assert [message["text"] for message in told] == [
        "rules",
        *(f"{kind} {number}" for number in range(6, 10) for kind in ("question", "answer")),
        "now",
    ]
    assert notices == ["12 older messages were left out: AI HUB takes 10 messages and 50,000 characters."]


def test_long_history_is_cut_and_told() -> None:
    told, notices = fit([HumanMessage("x" * 3000), AIMessage("fine"), HumanMessage("now")])
    assert len(told[0]["text"]) == MAX_HISTORY_CHARS
    assert told[0]["text"].endswith("x…")
    assert notices == ["1 older messages were cut to 2,000 characters for AI HUB."]


def test_question_that_is_too_long_is_refused_not_cut() -> None:
    with pytest.raises(ContextTooLong):
        fit([SystemMessage("s"), HumanMessage("x" * MAX_PROMPT_CHARS)])


def test_nothing_to_answer_is_refused() -> None:
    with pytest.raises(BadRequest):
        fit([SystemMessage("s")])
