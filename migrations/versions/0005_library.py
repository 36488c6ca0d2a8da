"""whether a file belongs to its owner's library, so that one that is used in a conversation stays in it

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("files", sa.Column("in_library", sa.Boolean(), server_default="true", nullable=False))
    # So far a file was the library's as long as no conversation had it: nobody finds more than he did.
    op.execute("UPDATE files SET in_library = false WHERE id IN (SELECT file_id FROM conversation_files)")


def downgrade() -> None:
    op.drop_column("files", "in_library")
