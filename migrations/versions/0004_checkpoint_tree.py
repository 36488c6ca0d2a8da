"""the checkpoint behind each message; runs that are taken over, and runs that wait for a person

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("checkpoint_id", sa.String(length=64), nullable=True))
    op.add_column("runs", sa.Column("attempt", sa.Integer(), server_default="1", nullable=False))
    op.add_column("runs", sa.Column("interrupts", postgresql.JSONB(), nullable=True))
    op.add_column("runs", sa.Column("resume", postgresql.JSONB(), nullable=True))
    op.create_index(
        "uq_runs_open_user_message_id",
        "runs",
        ["user_message_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('running', 'waiting')"),
    )
    op.drop_index("uq_runs_running_user_message_id", table_name="runs")
