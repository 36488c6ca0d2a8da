"""personal: projects, assistants, prompts, instructions, memory, temporary chats, shares, feedback with reasons

Revision ID: 0010
Revises: 0009
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")


def _to(table: str, column: str, **options: bool) -> sa.Column[Any]:
    return sa.Column(column, sa.Uuid(), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, **options)


def _times(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False) for name in names]


def _shared() -> sa.Column[Any]:
    return sa.Column("shared", sa.Boolean(), server_default="false", nullable=False)


def _owned(table: str, *columns: sa.Column[Any]) -> None:
    op.create_table(table, sa.Column("id", sa.Uuid(), primary_key=True), _to("users", "user_id"), *columns)
    op.create_index(f"ix_{table}_user_id", table, ["user_id"])


def _files_of(one: str) -> None:
    table = f"{one}_files"
    op.create_table(table, _to(f"{one}s", f"{one}_id", primary_key=True), _to("files", "file_id", primary_key=True))
    op.create_index(f"ix_{table}_file_id", table, ["file_id"])


def upgrade() -> None:
    op.create_table(
        "profiles",
        _to("users", "user_id", primary_key=True),
        sa.Column("instructions", sa.Text()),
        sa.Column("use_memory", sa.Boolean(), server_default="true", nullable=False),
    )
    _owned("memories", sa.Column("text", sa.Text(), nullable=False), *_times("created_at"))
    _owned(
        "saved_prompts",
        sa.Column("title", sa.String(100), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        _shared(),
        *_times("created_at", "updated_at"),
    )
    _owned(
        "projects",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("instructions", sa.Text()),
        *_times("created_at", "updated_at"),
    )
    _owned(
        "assistants",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.String(400)),
        sa.Column("picture", sa.Text()),
        sa.Column("model_source", sa.String(20)),
        sa.Column("model_name", sa.String(200)),
        sa.Column("system_prompt", sa.Text()),
        sa.Column("tools", postgresql.ARRAY(sa.String(128))),
        _shared(),
        *_times("created_at", "updated_at"),
    )
    for table in ("saved_prompts", "assistants"):
        op.create_index(f"ix_{table}_shared", table, ["id"], postgresql_where=sa.text("shared"))
    _owned(
        "shares",
        _to("conversations", "conversation_id"),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("audience", sa.String(10), nullable=False),
        sa.Column("with_sources", sa.Boolean(), nullable=False),
        sa.Column("title", sa.String(200)),
        sa.Column("messages", postgresql.JSONB(), nullable=False),
        *_times("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_shares_conversation_id", "shares", ["conversation_id"])
    _files_of("project")
    _files_of("assistant")
    for one in ("project", "assistant"):
        op.add_column("conversations", sa.Column(f"{one}_id", sa.Uuid()))
        op.create_foreign_key(
            f"fk_conversations_{one}_id_{one}s", "conversations", f"{one}s", [f"{one}_id"], ["id"], ondelete="SET NULL"
        )
        op.create_index(f"ix_conversations_{one}_id", "conversations", [f"{one}_id"])
    op.add_column("conversations", sa.Column("temporary", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_conversations_temporary", "conversations", ["updated_at"], postgresql_where=sa.text("temporary")
    )
    op.drop_index("uq_runs_open_user_message_id", "runs")
    op.create_index(
        "uq_runs_open_question_model",
        "runs",
        [
            "user_message_id",
            sa.text("coalesce(request ->> 'model_source', '')"),
            sa.text("coalesce(request ->> 'model_name', '')"),
        ],
        unique=True,
        postgresql_where=sa.text("status IN ('running', 'waiting')"),
    )
    op.add_column("messages", sa.Column("rating_reasons", postgresql.ARRAY(sa.String(20))))
    op.add_column("messages", sa.Column("rating_shows_text", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("messages", sa.Column("rated_at", sa.DateTime(timezone=True)))
    # What was rated before has no time of its own; that of its answer is the nearest that is known.
    op.execute("UPDATE messages SET rated_at = created_at WHERE rating IS NOT NULL")
    op.create_index(
        "ix_messages_rated_at",
        "messages",
        [sa.text("rated_at DESC")],
        postgresql_where=sa.text("rated_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("uq_runs_open_question_model", "runs")
    op.create_index(
        "uq_runs_open_user_message_id",
        "runs",
        ["user_message_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('running', 'waiting')"),
    )
    for column in ("rated_at", "rating_shows_text", "rating_reasons"):
        op.drop_column("messages", column)
    for column in ("temporary", "assistant_id", "project_id"):
        op.drop_column("conversations", column)
    files = ("assistant_files", "project_files")
    for table in ("shares", *files, "assistants", "projects", "saved_prompts", "memories", "profiles"):
        op.drop_table(table)
