"""What a waiting run asks of a person, and what the answer decides: plain data, as the run and its clients have it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from persistence.audit import Actor

VERDICTS: Final = ("approve", "deny", "edit")


class UnknownStep(Exception):
    """An answer decides about a step that nobody asks about."""

    def __init__(self, step_id: str) -> None:
        super().__init__(step_id)
        self.step_id = step_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run goes on with (plain data, what its interrupt returns), who says so, and by which protocol."""

    given: Any
    by: Actor
    protocol: str | None = None


def waiting_step_ids(interrupts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the steps that interrupts ask about; they may ask something else."""
    asked = [interrupt["value"].get("steps") for interrupt in interrupts if isinstance(interrupt["value"], dict)]
    steps = [step for found in asked if isinstance(found, list) for step in found]
    return [step["step_id"] for step in steps if isinstance(step, dict) and "step_id" in step]


def decisions_of(given: Any) -> dict[str, dict[str, Any]]:
    """Return what a person decided about each step; what a client of another protocol sends may be no decision."""
    items = given.get("decisions") if isinstance(given, dict) else given
    return {
        str(item.get("step_id")): item
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict) and item.get("decision") in VERDICTS
    }


def decided(interrupts: Sequence[Mapping[str, Any]], given: Any) -> dict[str, str] | None:
    """Return the decision about each step that an answer decides about; None where it decides nothing.

    Of interrupts that ask about no steps every answer is a decision. Raises UnknownStep.
    """
    asked = waiting_step_ids(interrupts)
    if not asked:
        return {}
    found: dict[str, str] = {}
    for answer in _answers(interrupts, given):
        for step_id, decision in decisions_of(answer).items():
            if step_id not in asked:
                raise UnknownStep(step_id)
            found[step_id] = decision["decision"]
    return found or None


def _answers(interrupts: Sequence[Mapping[str, Any]], given: Any) -> Sequence[Any]:
    """Return what each interrupt is answered: LangGraph takes one answer, or a mapping of interrupts' ids to theirs."""
    ids = {interrupt["id"] for interrupt in interrupts}
    return list(given.values()) if isinstance(given, dict) and given and given.keys() <= ids else [given]
