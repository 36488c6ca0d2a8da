"""tools and pictures: what is on in a conversation, calls of a run, steps of an answer, MCP servers

Revision ID: 0007
Revises: 0006
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    names = postgresql.ARRAY(sa.String(length=128))
    op.add_column("conversations", sa.Column("tools", names, nullable=True))
    op.add_column("conversations", sa.Column("approved_tools", names, server_default="{}", nullable=False))
    op.add_column("messages", sa.Column("steps", postgresql.JSONB(), nullable=True))
    op.add_column("messages", sa.Column("images", postgresql.ARRAY(sa.Uuid()), nullable=True))
    op.create_table(
        "tool_calls",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_tool_calls_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "id", name=op.f("pk_tool_calls")),
    )
    op.create_table(
        "mcp_servers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("transport", sa.String(length=20), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=True),
        sa.Column("header_names", postgresql.ARRAY(sa.String(length=100)), server_default="{}", nullable=False),
        sa.Column("user_header", sa.String(length=100), nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("approval", sa.String(length=10), server_default="per_tool", nullable=False),
        sa.Column("tool_approval", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("tools", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mcp_servers")),
        sa.UniqueConstraint("name", name=op.f("uq_mcp_servers_name")),
    )


def downgrade() -> None:
    op.drop_table("mcp_servers")
    op.drop_table("tool_calls")
    op.drop_column("messages", "images")
    op.drop_column("messages", "steps")
    op.drop_column("conversations", "approved_tools")
    op.drop_column("conversations", "tools")
