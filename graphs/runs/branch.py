"""The message tree, as the graph rebuilds its state from it."""

from uuid import UUID

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage

from graphs.pictures import question_message
from graphs.state import WINDOW_MESSAGES
from persistence.session import Database, Statement

_KINDS: dict[str, type[AIMessage | SystemMessage]] = {"assistant": AIMessage, "system": SystemMessage}

_UP = Statement(
    """
    WITH RECURSIVE up AS (
        SELECT id, parent_id, role, content, images, 1 AS depth FROM messages
        WHERE id = CAST(:leaf AS uuid) AND conversation_id = CAST(:conversation AS uuid)
        UNION ALL
        SELECT m.id, m.parent_id, m.role, m.content, m.images, up.depth + 1
        FROM up JOIN messages m ON m.id = up.parent_id
        WHERE up.depth < :most
    )
    SELECT id, role, content, images FROM up WHERE content <> '' ORDER BY depth DESC
    """
)


class ConversationBranch:
    """The messages of one conversation, which was checked to be the caller's."""

    def __init__(self, database: Database, conversation_id: UUID) -> None:
        self._database = database
        self._conversation_id = conversation_id

    async def recent(self, message_id: str, most: int = WINDOW_MESSAGES) -> list[AnyMessage]:
        """Return the newest messages of the branch that ends in `message_id`, at most `most` of them, oldest first."""
        values = {"leaf": UUID(message_id), "conversation": self._conversation_id, "most": most}
        async with self._database.raw(transaction=False) as connection:
            rows = await connection.rows(_UP, values)
        return [
            question_message(row["id"], row["content"], row["images"] or ())
            if row["role"] == "user"
            else _KINDS[row["role"]](row["content"], id=str(row["id"]))
            for row in rows
        ]
