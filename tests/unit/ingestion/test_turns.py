"""Whose file is read next, however many files each person has waiting."""

from uuid import UUID, uuid4

from ingestion.jobs import Turns


def served(turns: Turns, waiting: list[tuple[UUID, int]], now: int = 0) -> list[UUID]:
    """Give each its turn, and return the owners in the order in which a queue serves them."""
    given = [(turns.give(owner, now, again=False), at, owner) for owner, count in waiting for at in range(count)]
    return [owner for _, _, owner in sorted(given, key=lambda each: each[:2])]


def test_people_take_turns() -> None:
    anna, boris = uuid4(), uuid4()
    order = served(Turns(), [(anna, 100), (boris, 3)])
    assert order[:6].count(boris) == 3


def test_who_comes_later_neither_waits_for_all_nor_goes_before_all() -> None:
    turns, anna, boris = Turns(), uuid4(), uuid4()
    assert [turns.give(anna, 0, again=False) for _ in range(100)] == list(range(1, 101))
    assert [turns.give(boris, 50, again=False) for _ in range(100)] == list(range(51, 151))
    assert turns.give(anna, 50, again=False) == 101


def test_what_was_begun_has_the_next_turn_and_does_not_wait_for_its_owners_others() -> None:
    turns, anna = Turns(), uuid4()
    served(turns, [(anna, 100)])
    assert turns.give(anna, 7, again=True) == 8
    assert turns.give(None, 7, again=False) == 8
    assert turns.give(anna, 7, again=False) == 101


def test_nothing_is_remembered_of_who_has_nothing_waiting() -> None:
    turns, anna, boris = Turns(), uuid4(), uuid4()
    served(turns, [(anna, 5)])
    turns.give(boris, 100, again=False)
    assert turns.give(anna, 0, again=False) == 1
