"""libraries: groups, shared libraries and their files, tools by group

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")
_IDS = postgresql.ARRAY(sa.Uuid())


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True)


def _to(table: str, column: str, **options: bool) -> sa.Column[Any]:
    return sa.Column(column, sa.Uuid(), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), **options)


def _time(name: str = "created_at") -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)


def upgrade() -> None:
    op.create_table(
        "groups",
        _id(),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("provider", sa.String(40)),
        sa.Column("claim", sa.String(255)),
        _time(),
    )
    op.create_index("uq_groups_name_lower", "groups", [sa.text("lower(name)")], unique=True)
    op.create_index("ix_groups_provider_claim", "groups", ["provider", "claim"])
    op.create_table(
        "group_members",
        _to("groups", "group_id", primary_key=True),
        _to("users", "user_id", primary_key=True),
        sa.Column("role", sa.String(10), server_default="member", nullable=False),
        sa.Column("via", sa.String(40)),
        _time(),
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"])
    op.create_table(
        "libraries",
        _id(),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.String(400)),
        _time(),
        _time("updated_at"),
    )
    op.create_table(
        "library_members",
        _id(),
        _to("libraries", "library_id", nullable=False),
        _to("users", "user_id"),
        _to("groups", "group_id"),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default="false", nullable=False),
        _time(),
        sa.CheckConstraint("num_nonnulls(user_id, group_id) = 1", name="one_member"),
    )
    op.create_index("ix_library_members_library_id", "library_members", ["library_id"])
    for member in ("user_id", "group_id"):
        name = f"uq_library_members_{member}_library_id"
        op.create_index(name, "library_members", [member, "library_id"], unique=True)
    op.create_table(
        "library_files",
        _to("libraries", "library_id", primary_key=True),
        _to("files", "file_id", primary_key=True),
        _time(),
    )
    op.create_index("ix_library_files_file_id", "library_files", ["file_id"])
    op.add_column("conversations", sa.Column("library_ids", _IDS))
    for table in ("projects", "assistants"):
        op.add_column(table, sa.Column("library_ids", _IDS, server_default="{}", nullable=False))
    op.add_column("mcp_servers", sa.Column("allowed_groups", _IDS))


def downgrade() -> None:
    op.drop_column("mcp_servers", "allowed_groups")
    for table in ("assistants", "projects", "conversations"):
        op.drop_column(table, "library_ids")
    for table in ("library_files", "library_members", "libraries", "group_members", "groups"):
        op.drop_table(table)
