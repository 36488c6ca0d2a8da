"""budgets: limits, what was spent, what is reserved

Revision ID: 0012
Revises: 0011
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)


def _to(table: str, column: str, **options: bool) -> sa.Column[Any]:
    return sa.Column(column, sa.Uuid(), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), **options)


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _to("users", "user_id"),
        _to("groups", "group_id"),
        sa.Column("each", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("period", sa.String(5), nullable=False),
        sa.Column("tokens", sa.BigInteger()),
        sa.Column("requests", sa.BigInteger()),
        sa.Column("money", sa.Float()),
        sa.Column("created_at", _MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("num_nonnulls(user_id, group_id) <= 1", name="one_subject"),
    )
    subject = sa.text("coalesce(user_id, group_id, '00000000-0000-0000-0000-000000000000')")
    op.create_index("uq_budgets_subject", "budgets", [subject, "each", "period"], unique=True)
    op.create_table(
        "budget_use",
        _to("budgets", "budget_id", primary_key=True),
        sa.Column("holder", sa.Uuid(), primary_key=True),
        sa.Column("began", _MOMENT, primary_key=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("money", sa.Float(), nullable=False),
    )
    op.create_table(
        "budget_reservations",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _to("budgets", "budget_id", primary_key=True),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("began", _MOMENT, nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("money", sa.Float(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_budget_reservations_expires_at", "budget_reservations", ["expires_at"])


def downgrade() -> None:
    for table in ("budget_reservations", "budget_use", "budgets"):
        op.drop_table(table)
