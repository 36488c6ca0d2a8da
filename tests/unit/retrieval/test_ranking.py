"""BM25 against a plain reading of its formula; fusion, threshold and packing by their promises."""

import math
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persistence.bm25 import K1, SCALES, B
from persistence.lexical import postings
from persistence.ranking import (
    FilePostings,
    Key,
    Place,
    Ranked,
    Span,
    each_first,
    fuse,
    lexical_hits,
    named,
    pack,
    together,
)

FILES = st.lists(st.lists(st.text(alphabet="abcd ", max_size=20), max_size=9), max_size=4)
WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.2, 1.0]), max_size=4)


def indexed(files: list[list[str]]) -> list[FilePostings]:
    return [FilePostings(lengths, index) for index, lengths in map(postings, files)]


def naive(files: list[list[list[str]]], weights: dict[str, float]) -> dict[Key, float]:
    """BM25 as the books write it, once for each scale, over windows that stay in their file."""
    keys = [(f, p) for f, file in enumerate(files) for p in range(len(file))]
    scores = dict.fromkeys(keys, 0.0)
    for reach, share in SCALES:
        windows = {
            (f, p): [t for passage in files[f][max(0, p - reach) : p + reach + 1] for t in passage] for f, p in keys
        }
        mean = sum(len(w) for w in windows.values()) / len(keys) or 1.0
        for term, factor in weights.items():
            holders = sum(term in passage for file in files for passage in file)
            idf = math.log(1 + (len(keys) - holders + 0.5) / (holders + 0.5))
            for key, window in windows.items():
                count = window.count(term)
                norm = count + K1 * (1 - B + B * len(window) / mean)
                scores[key] += share * factor * idf * count * (K1 + 1) / norm if count else 0.0
    return {key: score for key, score in scores.items() if score}


@given(FILES, WEIGHTS)
@settings(max_examples=300, deadline=None)
def test_bm25_is_exact(files: list[list[str]], weights: dict[str, float]) -> None:
    hits = lexical_hits(indexed(files), weights)
    expected = naive([[p.split() for p in file] for file in files], weights) if any(files) else {}
    found = hits.best(10_000)
    assert found.keys() == expected.keys()
    for key, score in found.items():
        assert score == pytest.approx(expected[key])
    assert all(0 <= share <= 1 + 1e-9 for share in hits.coverage)


def test_sparse_and_dense_windows_agree() -> None:
    chance = random.Random(1)
    files = [[" ".join(chance.choices("abcdefghij", [50, *[1] * 9], k=12)) for _ in range(90)] for _ in range(5)]
    weights = {"a": 1.0, "j": 1.0}
    expected = naive([[p.split() for p in file] for file in files], weights)
    for key, score in lexical_hits(indexed(files), weights).best(10_000).items():
        assert score == pytest.approx(expected[key])


def test_nothing_found_is_empty() -> None:
    assert lexical_hits([], {"a": 1.0}).best(5) == {}
    assert lexical_hits(indexed([["a"]]), {}).best(5) == {}


def test_a_file_that_was_read_again_meanwhile_gives_no_passages_to_its_neighbour_and_none_past_the_end() -> None:
    longer = FilePostings([3], {"a": ([0, 1, 7], [1, 1, 1])})
    assert set(lexical_hits([longer, FilePostings([3, 3], {})], {"a": 1.0}).best(9)) == {(0, 0)}
    assert set(lexical_hits([FilePostings([], {"a": ([0], [1])})], {"a": 1.0}).best(9)) == set()
    assert set(lexical_hits([FilePostings([3], {}), longer], {"a": 1.0}).best(9)) == {(1, 0)}
    assert lexical_hits(indexed([["a"]]), {"z": 1.0}).trust == 0.0


def test_best_is_ordered_and_limited() -> None:
    hits = lexical_hits(indexed([["a a", "b", "a"], ["a"]]), {"a": 1.0})
    scores = list(hits.best(2).values())
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)


def test_a_search_is_quick() -> None:
    chance = np.random.default_rng(1)
    files = []
    for _ in range(100):
        rows = {f"t{i}": np.flatnonzero(chance.random(50) < 1 / (i + 2)) for i in range(15)}
        files.append(FilePostings([80] * 50, {t: (p, np.ones(len(p), np.int64)) for t, p in rows.items()}))
    weights = {f"t{i}": 1.0 for i in range(15)}
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        lexical_hits(files, weights).best(100)
        best = min(best, time.perf_counter() - began)
    assert best < 0.05  # 5,000 passages: 6 ms alone on a core


KEYS = st.tuples(st.integers(0, 2), st.integers(0, 9))
SCORES = st.dictionaries(KEYS, st.floats(0.01, 30), max_size=12)


@given(SCORES, st.dictionaries(KEYS, st.floats(0.7, 0.9), max_size=12), st.floats(0, 1))
def test_fusion_sums_normalised_parts(lexical: dict[Key, float], vector: dict[Key, float], trust: float) -> None:
    ranked = fuse(lexical, vector, trust=trust)
    assert {r.key for r in ranked} == lexical.keys() | vector.keys()
    assert all(0 <= r.lexical <= 1 and 0 <= r.vector <= 1 for r in ranked)
    assert all(r.score == pytest.approx(r.lexical + r.vector) for r in ranked)
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)


def test_vectors_decide_where_words_find_next_to_nothing() -> None:
    ranked = fuse({(0, 1): 9.0}, {(0, 2): 0.9, (0, 3): 0.8}, trust=0.1)
    assert ranked[0].key == (0, 2)
    assert fuse({}, {(0, 2): 0.9})[0].key == (0, 2)
    assert fuse({}, {}) == []


def test_a_name_in_the_question_brings_its_file_first() -> None:
    names = [{"walnut", "2023"}, {"maple", "2023"}, {"cedar", "2023"}]
    texts = [{"margin"}, {"margin"}, {"margin"}]
    found = named(names, texts, {"walnut", "margin", "improv"})
    assert found == [1.0, 0.0, 0.0]
    # The words of the other files' passages fit better, but the question says whose margin it means.
    ranked = fuse({(1, 0): 9.0, (0, 0): 6.0}, {(1, 0): 0.86, (0, 0): 0.84, (2, 0): 0.8}, names=found)
    assert ranked[0].key == (0, 0)


def test_a_year_names_a_report_though_others_speak_of_it() -> None:
    names = [{"walnut", "2022"}, {"walnut", "2023"}, {"maple", "2022"}, {"maple", "2023"}]
    texts = [{"2022", "2023", "dividend"}] * 4
    found = named(names, texts, {"walnut", "dividend", "2022"})
    assert max(found) == found[0] > max(found[1:])
    # The last one, where the question says so: of the firm that it names, or of all.
    assert named(names, texts, {"walnut", "report"}, newest=True) == named(names, texts, {"walnut", "2023"})
    assert named([*names, {"maple", "2024"}], [set()] * 5, {"walnut"}, newest=True)[1] > 0.5
    assert named([*names, {"maple", "2024"}], [set()] * 5, set(), newest=True)[4] == 1.0
    assert named(names, texts, {"2022"}, newest=True) == named(names, texts, {"2022"}), "a year that is said counts"
    assert named([{"memo"}, {"plan"}], [set()] * 2, {"roof"}, newest=True) == [0.0, 0.0]


def test_a_name_that_all_files_share_tells_nothing() -> None:
    assert named([{"report", "2022"}, {"report", "2023"}], [set(), set()], {"report"}) == [0.0, 0.0]
    assert named([{"report"}], [set()], {"report"}) == [0.0]
    assert named([], [], {"report"}) == []
    assert named([{"report"}, {"memo"}], [set(), set()], set()) == [0.0, 0.0]
    assert named([{"war"}, {"peace"}], [{"war"}, {"war"}], {"war"}) == [0.0, 0.0], "a word that every text holds"


@st.composite
def shelves(draw: st.DrawFn) -> tuple[list[Ranked], dict[Key, Place]]:
    places: dict[Key, Place] = {}
    for file in range(draw(st.integers(1, 3))):
        end = 0
        for position in range(draw(st.integers(0, 12))):
            start = end + draw(st.integers(0, 3))
            end = start + draw(st.integers(1, 600))
            places[file, position] = Place(start, end)
    keys = draw(st.permutations(list(places)))
    return [Ranked(key, 100.0 - i, 0.0, 0.0) for i, key in enumerate(keys)], places


@given(shelves(), st.integers(1, 5000), st.integers(0, 2), st.integers(1, 3000))
def test_packing_keeps_its_promises(
    shelf: tuple[list[Ranked], dict[Key, Place]], budget: int, gap: int, longest: int
) -> None:
    ranked, places = shelf
    spans = pack(ranked, places, budget, gap=gap, longest=longest)
    inside = [(s.file, p) for s in spans for p in range(s.first_position, s.last_position + 1)]
    assert len(inside) == len(set(inside))
    cost = sum(places[key].end - places[key].start for key in inside)
    assert cost <= budget or len(inside) == 1
    for span in spans:
        assert span.start == places[span.file, span.first_position].start
        assert span.end == places[span.file, span.last_position].end
        assert span.end - span.start <= longest or span.first_position == span.last_position
        assert span.first_position <= span.best <= span.last_position
    assert [s.score for s in spans] == sorted((s.score for s in spans), reverse=True)
    if ranked:
        assert ranked[0].key == (spans[0].file, spans[0].best)
    begins = {(s.file, s.first_position): s for s in spans}
    for span in spans:
        following = begins.get((span.file, span.last_position + 1))
        if following is not None:
            one_more = places[following.file, following.first_position].end - span.start
            assert one_more > longest, "neighbours that fit are one span"


def test_a_short_gap_is_closed() -> None:
    places = {(0, p): Place(p * 100, p * 100 + 99) for p in range(6)}
    ranked = [Ranked((0, 1), 2.0, 1, 1), Ranked((0, 3), 1.0, 1, 0)]
    assert pack(ranked, places, 1000) == [Span(0, 1, 3, 100, 399, 2.0, 1)]
    assert len(pack(ranked, places, 1000, gap=0)) == 2
    assert len(pack(ranked, places, 200)) == 2


def test_a_small_difference_of_two_cosines_does_not_outweigh_a_name() -> None:
    near = {(0, 0): 0.83, (1, 0): 0.82}
    assert [item.key for item in fuse({}, near, names=[0.0, 1.0])] == [(1, 0), (0, 0)]
    assert [item.key for item in fuse({}, near)] == [(0, 0), (1, 0)]
    assert fuse({}, {(0, 0): 0.8})[0].vector == 1.0
    # Where the worst is far away the stretching is as ever.
    assert [item.vector for item in fuse({}, {(0, 0): 0.9, (0, 5): 0.8, (0, 9): 0.7})] == [1.0, pytest.approx(0.5), 0.0]


def test_the_best_passage_of_each_file_comes_first_and_scores_descend() -> None:
    ranked = [Ranked((file, at), score, 0.0, 0.0) for file, at, score in ((0, 1, 3), (0, 2, 2), (1, 4, 1), (2, 0, 0.5))]
    found = each_first(ranked, [1, 0, 7])
    assert [item.key for item in found] == [(0, 1), (1, 4), (0, 2), (2, 0)]
    assert [item.score for item in found] == [3, 3, 2, 0.5]
    assert each_first(ranked, []) == ranked
    assert each_first([], [1]) == []


WALNUT, ACORN, MINUTES = {"walnut"}, {"acorn"}, {"minut"}


@pytest.mark.parametrize(
    ("names", "sure", "asked", "several", "found"),
    [
        ([WALNUT, ACORN, MINUTES], [0], {"walnut", "acorn", "margin"}, True, [0, 1]),
        ([WALNUT, ACORN, MINUTES], [0, 1], {"walnut", "acorn", "margin"}, False, [0, 1]),
        ([WALNUT, ACORN, MINUTES], [0], {"walnut", "margin"}, True, []),
        ([{"walnut", "2022"}, {"walnut", "2023"}, ACORN], [0, 1], {"walnut"}, False, []),
        ([{"walnut", "2022"}, {"walnut", "2023"}, ACORN], [0, 1], {"walnut"}, True, [0, 1]),
        ([{str(at)} for at in range(9)], list(range(9)), {str(at) for at in range(9)}, True, []),
        ([], [], set(), True, []),
    ],
)
def test_files_that_a_question_asks_about_together(
    names: list[set[str]], sure: list[int], asked: set[str], several: bool, found: list[int]
) -> None:
    assert list(together(names, sure, asked, several=several, most=5)) == found
