"""What the last turns of this process left behind, so that the next one has nothing to read."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

CONVERSATIONS = 128
CHARACTERS = 4_000_000  # of talk, in all of them
SECONDS = 900.0  # without a question


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the branch above the question."""

    id: UUID
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation, as far as a turn needs to know it.

    `version` is that of its row (xmin, which every change moves): what was read with it is so while it is the same.
    """

    id: UUID
    title: str | None
    title_source: str
    model_source: str | None
    model_name: str | None
    system_prompt: str | None
    leaf_id: UUID | None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """A conversation and the branch that ends in its leaf, oldest message first.

    `room` is how many characters were looked for, None where there are no more messages that anybody would read.
    """

    thread: Thread
    branch: list[Said]
    room: int | None = None


class Recall:
    """The conversations that were used last, by owner. Nothing here is true before its version was compared."""

    def __init__(self, conversations: int = CONVERSATIONS, characters: int = CHARACTERS) -> None:
        self._most = conversations
        self._left = characters
        self._kept: OrderedDict[tuple[UUID, UUID], tuple[Recalled, int, float]] = OrderedDict()

    def get(self, user_id: UUID, conversation_id: UUID) -> Recalled | None:
        """Return what is remembered of somebody's conversation."""
        kept = self._kept.get((user_id, conversation_id))
        return kept[0] if kept is not None else None

    def put(self, user_id: UUID, recalled: Recalled) -> None:
        """Remember a conversation; the ones that were not used for longest make room."""
        self.drop(user_id, recalled.thread.id)
        size = sum(len(said.content) for said in recalled.branch)
        now = time.monotonic()
        self._kept[user_id, recalled.thread.id] = (recalled, size, now)
        self._left -= size
        while self._kept and (
            self._left < 0 or len(self._kept) > self._most or next(iter(self._kept.values()))[2] < now - SECONDS
        ):
            _, (_, freed, _) = self._kept.popitem(last=False)
            self._left += freed

    def drop(self, user_id: UUID, conversation_id: UUID) -> None:
        """Forget a conversation."""
        if (kept := self._kept.pop((user_id, conversation_id), None)) is not None:
            self._left += kept[1]

    def drop_all(self, user_id: UUID) -> None:
        """Forget all conversations of somebody."""
        for owner, conversation_id in list(self._kept):
            if owner == user_id:
                self.drop(owner, conversation_id)
