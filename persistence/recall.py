"""What the last turns of this process left behind, so that the next one has nothing to read."""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

CONVERSATIONS = 128
CHARACTERS = 4_000_000  # of talk, in all of them


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
    """A conversation and the branch that ends in its leaf, oldest message first."""

    thread: Thread
    branch: list[Said]


class Recall:
    """The conversations that were used last, by owner. Nothing here is true before its version was compared."""

    def __init__(self, conversations: int = CONVERSATIONS, characters: int = CHARACTERS) -> None:
        self._most = conversations
        self._left = characters
        self._kept: OrderedDict[tuple[UUID, UUID], tuple[Recalled, int]] = OrderedDict()

    def get(self, user_id: UUID, conversation_id: UUID) -> Recalled | None:
        """Return what is remembered of somebody's conversation."""
        key = (user_id, conversation_id)
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, user_id: UUID, recalled: Recalled) -> None:
        """Remember a conversation; the ones that were not used for longest make room."""
        self.drop(user_id, recalled.thread.id)
        size = sum(len(said.content) for said in recalled.branch)
        self._kept[user_id, recalled.thread.id] = (recalled, size)
        self._left -= size
        while self._left < 0 or len(self._kept) > self._most:
            _, (_, freed) = self._kept.popitem(last=False)
            self._left += freed

    def drop(self, user_id: UUID, conversation_id: UUID) -> None:
        """Forget a conversation."""
        if (kept := self._kept.pop((user_id, conversation_id), None)) is not None:
            self._left += kept[1]
