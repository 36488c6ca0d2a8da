"""What is remembered of a turn's caller."""

from uuid import UUID

from graphs.tools.spec import ToolFailed
from persistence import personal
from persistence.session import Database


class CallerMemory:
    """Remembers sentences for a user; nothing in a temporary conversation, nor for who does not want it."""

    def __init__(self, database: Database, user_id: UUID, *, is_off: bool) -> None:
        self._database = database
        self._user_id = user_id
        self._is_off = is_off

    async def remember(self, text: str) -> None:
        """Remember a sentence. Raises ToolFailed where nothing is to be remembered, Conflict where there is much."""
        if self._is_off:
            raise ToolFailed("This chat is temporary: nothing is remembered from it.")
        async with self._database.transaction() as session:
            if not (await personal.profile(session, self._user_id)).use_memory:
                raise ToolFailed("The user has switched memory off.")
            await personal.remember(session, self._user_id, text)
