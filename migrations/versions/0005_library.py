"""whether a file belongs to its owner's library; which question a conversation's file came with; what clients
keep with their threads

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("files", sa.Column("in_library", sa.Boolean(), server_default="true", nullable=False))
    # So far a file was the library's as long as no conversation had it: nobody finds more than he did.
    op.execute("UPDATE files SET in_library = false WHERE id IN (SELECT file_id FROM conversation_files)")
    op.add_column("conversations", sa.Column("client_metadata", postgresql.JSONB(), nullable=True))
    op.add_column("conversation_files", sa.Column("message_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_conversation_files_message_id_messages"),
        "conversation_files",
        "messages",
        ["message_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_conversation_files_message_id"), "conversation_files", ["message_id"])
    # The files of talks that have begun came with their first question, as far as anybody knows.
    op.execute(
        """
        UPDATE conversation_files f SET message_id = first.id
        FROM (SELECT DISTINCT ON (conversation_id) conversation_id, id FROM messages
              WHERE role = 'user' ORDER BY conversation_id, created_at, id) first
        WHERE first.conversation_id = f.conversation_id
        """
    )


def downgrade() -> None:
    op.drop_column("conversation_files", "message_id")
    op.drop_column("conversations", "client_metadata")
    op.drop_column("files", "in_library")
