"""sign in: accounts at providers, their tokens, and second factors

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")


def _user(**options: bool) -> sa.Column[sa.Uuid]:
    return sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, **options)


def _time(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[sa.DateTime]:
    default = {"server_default": _NOW} if now else {}
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, **default)


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _user(),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("email", sa.String(320)),
        _time("created_at", now=True),
        _time("last_sign_in_at", now=True),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])
    op.create_index("uq_identities_provider_subject", "identities", ["provider", "subject"], unique=True)
    op.create_table(
        "provider_sessions",
        sa.Column("session_id", sa.Uuid(), sa.ForeignKey("auth_sessions.id", ondelete="CASCADE"), primary_key=True),
        _user(),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("sid", sa.String(255)),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        _time("access_expires_at"),
        _time("created_at", now=True),
    )
    op.create_index("ix_provider_sessions_user_id", "provider_sessions", ["user_id"])
    op.create_index("ix_provider_sessions_provider_subject", "provider_sessions", ["provider", "subject"])
    op.create_table(
        "second_factors",
        _user(primary_key=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("recovery_hashes", postgresql.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False, server_default="0"),
        _time("created_at", now=True),
        _time("confirmed_at", nullable=True),
    )


def downgrade() -> None:
    for table in ("second_factors", "provider_sessions", "identities"):
        op.drop_table(table)
