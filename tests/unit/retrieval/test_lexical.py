"""Terms: by script, whole and in parts, the same for passages and questions."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.lexical import (
    asked_several_of,
    asks_for_several,
    mentions_files,
    name_terms,
    postings,
    query_terms,
    query_weights,
    subject_terms,
    terms,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("running shoes", "runs shoe"),
        ("городах России", "город Россия"),
        ("ёлки зелёные", "елки зеленые"),
        ("Café", "cafe"),
        ("Tesla's", "tesla"),
        ("Tesla’s", "tesla"),
        ("1,000,000", "1000000"),
        ("ﬁnance", "finance"),
        ("FULL", "full"),
    ],
)
def test_forms_of_a_word_are_one_term(one: str, other: str) -> None:
    assert terms(one) == terms(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getUserName", {"getusername", "get", "user", "name"}),
        ("snake_case_name", {"snake_case_name", "snake", "case", "name"}),
        ("os.path.join", {"os.path.join", "os", "path", "join"}),
        ("HTTPServer2", {"httpserver2", "http", "server", "2"}),
        ("COVID-19", {"covid-19", "covid", "19"}),
        ("3.14", {"3.14"}),
        ("2026-02-01", {"2026-02-01", "2026", "02", "01"}),
        ("e-mail", {"email", "e", "mail"}),
        ("C++ and C#", {"c++", "c#"}),
        ("user@example.com", {"user@example.com", "user", "exampl", "com"}),
    ],
)
def test_identifiers_are_kept_whole_and_in_parts(text: str, expected: set[str]) -> None:
    assert expected <= set(terms(text))


def test_scripts_without_spaces_give_pairs() -> None:
    assert terms("日本語の") == ["日本", "本語", "語の"]
    assert set(terms("日本")) <= set(terms("私は日本語を話す"))


def test_question_terms_come_once_and_in_order() -> None:
    assert query_terms("dogs and cats and a dog") == ["dog", "and", "cat", "a"]


def test_function_words_count_little() -> None:
    weights = query_weights("What is the revenue of Acme?")
    assert weights["revenu"] == weights["acm"] == 1.0
    assert all(weights[word] < 0.5 for word in ("what", "is", "the", "of"))
    weights = query_weights("Какая выручка у компании?")
    assert [w for w in weights.values() if w == 1.0] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("question", "count"),
    [("What is this document about?", 0), ("О чём этот файл?", 0), ("Who founded Acme Corporation?", 3), ("", 0)],
)
def test_subjects_leave_out_words_for_the_file(question: str, count: int) -> None:
    assert len(subject_terms(question)) == count


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Walnut_2023.pdf", {"walnut", "2023"}),
        ("Annual report 3 (final).docx", {"annual", "final"}),
        ("Договор_Орех.docx", {"договор", "орех"}),
        ("contract", {"contract"}),
        (".env", {"env"}),
    ],
)
def test_a_file_is_named_by_what_tells_it_from_others(name: str, expected: set[str]) -> None:
    assert name_terms(name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What notice do both contracts set?", True),
        ("Alpha vs. Beta", True),
        ("How do the offers differ?", True),
        ("Чем отличаются оба договора?", True),
        ("Сравните сроки", True),
        ("What notice does the contract set?", False),
        ("Какой срок в договоре?", False),
    ],
)
def test_words_that_ask_of_several_things(text: str, expected: bool) -> None:
    assert asks_for_several(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What notice do both contracts set?", "contract"),
        ("What do all three contracts say?", "contract"),
        ("How do the contracts differ?", "contract"),
        ("What is the difference between the two offers?", "offer"),
        ("Чем отличаются оба договора?", "договор"),
        ("Какой срок в обоих договорах?", "договор"),
        ("Which discount does every customer get?", None),
        ("Is the main office open every day?", None),
        ("Срок всё ещё действует по договору?", None),
        ("What did all participants agree on?", None),
    ],
)
def test_what_is_asked_for_in_several(text: str, expected: str | None) -> None:
    found = asked_several_of(text)
    assert found == [] if expected is None else expected in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sum up the files in five points", True),
        ("Что в приложенном документе?", True),
        ("Write a poem about a lighthouse", False),
        ("Переведи «добрый вечер»", False),
    ],
)
def test_words_that_speak_of_files(text: str, expected: bool) -> None:
    assert mentions_files(text) is expected


@given(st.text(max_size=300))
def test_any_text_has_terms_or_none(text: str) -> None:
    assert all(term and len(term) <= 64 and term == term.lower() for term in terms(text))


@given(st.lists(st.text(alphabet="ab c", max_size=30), max_size=8))
def test_postings_hold_what_the_passages_hold(passages: list[str]) -> None:
    index, lengths = postings(passages)
    assert lengths == [len(terms(p)) for p in passages]
    for term, (positions, counts) in index.items():
        assert list(positions) == [i for i, p in enumerate(passages) if term in terms(p)]
        assert list(counts) == [terms(passages[i]).count(term) for i in positions]


def test_indexes_fast_enough() -> None:
    text = " ".join(f"word{i % 5000} appears in the sentence number {i}." for i in range(40_000))
    terms(text)
    began = time.perf_counter()
    terms(text)
    assert len(text) / (time.perf_counter() - began) > 1_000_000  # 5 to 13 million alone on a core
