"""model rules: which models a group may use, its default, and a system prompt that can't be removed; prices of models

Revision ID: 0017
Revises: 0016
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "model_rules",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("group_id", sa.Uuid(), sa.ForeignKey("groups.id", ondelete="CASCADE")),
        sa.Column("allowed", postgresql.JSONB(none_as_null=True)),
        sa.Column("default_source", sa.String(20)),
        sa.Column("default_name", sa.String(200)),
        sa.Column("system_prompt", sa.Text()),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
    )
    op.create_index(
        "uq_model_rules_subject",
        "model_rules",
        [sa.text("coalesce(group_id, '00000000-0000-0000-0000-000000000000')")],
        unique=True,
    )
    op.create_table(
        "model_prices",
        sa.Column("model_source", sa.String(20), primary_key=True),
        sa.Column("model_name", sa.String(200), primary_key=True),
        sa.Column("input", sa.Float(), nullable=False),
        sa.Column("output", sa.Float(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("model_prices")
    op.drop_table("model_rules")
